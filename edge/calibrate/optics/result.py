"""What `parfocal calibrate optics` found, as it is shown and as it is kept."""

import msgspec

from parfocal.calib.models.levels import LevelFit
from parfocal.calib.models.planes import Apart
from parfocal.calib.value import Level
from parfocal.edge.calibrate.optics.dust import Dust

LEVEL_WORDS: dict[Level, str] = {
    "shipped": "the model as it is",
    "line": "gain and offset",
    "condenser": "the condenser",
    "head": "the head taught on the stacks",
}


class StackCurve(msgspec.Struct, frozen=True):
    """The focus curve of a stack, and what the model said about its pictures, with and without the correction, um.

    `true_um` is the distance from each picture to the sharpest plane.
    """

    z_um: tuple[float, ...]
    sharpness: tuple[float, ...]
    true_um: tuple[float, ...] = ()
    shipped_um: tuple[float, ...] = ()
    corrected_um: tuple[float, ...] = ()


class RawOptics(msgspec.Struct, frozen=True):
    """What the optics were computed from; `passed_over` says why fields gave no stack, `refused` why nothing was kept.

    `earlier` is the number of stacks of earlier runs that were used besides those shown here.
    """

    model: str
    levels: tuple[LevelFit, ...] = ()
    chosen: Level | None = None
    stacks: tuple[StackCurve, ...] = ()
    passed_over: tuple[str, ...] = ()
    earlier: int = 0
    refused: str | None = None


class OpticsResult(msgspec.Struct, frozen=True):
    """The levels beside each other and the one that was taken. `raw` and `file` are what was written beside the store.

    A value that the level does not have is None. Errors are against the sharpest plane of held-out stacks, um.
    `refused` says why the model must not be used on this microscope, None if it may. `apart`: how far the sharpest
    plane lies above that of least wavefront variance, None if the model does not say.
    """

    model: str
    levels: tuple[LevelFit, ...]
    chosen: Level
    error_um: float
    gain: float | None
    offset_um: float | None
    condenser: float | None
    n_stacks: int
    images: int
    elapsed_s: float
    raw: str
    file: str
    refused: str | None = None
    apart: Apart | None = None


class OpticsResults(msgspec.Struct, frozen=True):
    """What was found with the stacks: for the two-shot model, and for the single-shot model if it was calibrated too.

    `without_single` says why it was not, "" if it was or none is configured. `dust` was evened out in the stacks; None
    if none was found.
    """

    two_shot: OpticsResult
    single: OpticsResult | None = None
    without_single: str = ""
    dust: Dust | None = None
