"""How focusing one field ended."""

from typing import Literal

import msgspec

from parfocal.edge.errors import EdgeError
from parfocal.edge.focus.judging.rule import Seen
from parfocal.edge.focus.shots import Shot

Outcome = Literal["focused", "recovered", "blank", "lost"]


class Attempt(msgspec.Struct, frozen=True):
    """One pair of shots, its estimate, and the rule that followed from it.

    `sigma_um`: standard uncertainty of the distance. `believed`: whether the estimate was; `doubt`: why not, else "".
    Both are None if the model does not tell.
    """

    z1_um: float
    z2_um: float
    predictions_um: tuple[float, ...]
    distance_um: float
    spread_um: float
    rule: str
    sigma_um: float | None = None
    believed: bool | None = None
    doubt: str | None = None


class FocusResult(msgspec.Struct, frozen=True):
    """How focusing one field ended.

    `outcome`: "focused" by predictions, "recovered" by a sweep, "blank" if the field is empty, "lost" if no focus
    was found. `z_um` is where the stage stands now, `path_um` where it went on the way. `start` and `end` are the
    shots at the pivot and at the end, if they were taken. `reason` says why a field was lost. `remarks`: what camera or
    lamp did to pictures that were then taken again. `seen` is the sharpness of every shot. `left_um`: how far above
    `z_um` the focus is by what was measured. `single_off_um`: how far above the focus by a pair the single shot on
    arrival put it, None where that was not compared near the focus.
    """

    outcome: Outcome
    z_um: float
    images: int
    attempts: tuple[Attempt, ...]
    path_um: tuple[float, ...]
    reason: str | None = None
    start: Shot | None = None
    end: Shot | None = None
    remarks: tuple[str, ...] = ()
    seen: tuple[Seen, ...] = ()
    left_um: float = 0.0
    single_off_um: float | None = None

    @property
    def sigma_um(self) -> float | None:
        """Standard uncertainty of the height, if an estimate led there and the model tells it."""
        return self.attempts[-1].sigma_um if self.outcome == "focused" and self.attempts else None

    @property
    def believed(self) -> bool | None:
        """Whether every estimate was believed; None if there was none, or the model does not tell."""
        told = [attempt.believed for attempt in self.attempts if attempt.believed is not None]
        return all(told) if told else None


class FocusLost(EdgeError):
    """No focus was found. `result` says what was tried; None if no field could be focused at all."""

    def __init__(self, message: str, result: FocusResult | None = None) -> None:
        """`result`: of the one field that was lost."""
        super().__init__(message)
        self.result = result
