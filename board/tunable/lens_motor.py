"""A tunable lens under the seam of a motor: steps are heights, and a move sets a current."""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.board.clock import Clock
from parfocal.board.errors import MoveRefused
from parfocal.board.lens import Lens, LensCurve
from parfocal.board.motor import MotorRatings, Rates, Standstill

UM_PER_STEP = 0.05  # a driver of 12 bits and 290 mA resolves 0.07 mA; at 0.3 um per mA that is 0.02 um

UNMEASURED_SETTLE_S = 0.05  # twice what liao2021 3.1 gives


class LensMount(msgspec.Struct, frozen=True):
    """How a lens is used: where the Z motor stands, the hysteresis of the lens, and how long it takes to be at rest."""

    park_um: float
    play_um: float
    settle_s: float


class LensMotor:
    """The lens as a `Motor` above a Z motor that stands still.

    A height is that of the Z motor, `park_um`, and what the lens adds. The first move brings the Z motor there, from
    below. The hysteresis of the lens is its play: heights are exact where they are reached upwards.
    """

    def __init__(self, lens: Lens, curve: LensCurve, under: Axis, mount: LensMount, clock: Clock) -> None:
        """`under`: the Z axis below the lens. Nothing moves, no current is set."""
        self._lens, self._curve, self._under, park_um = lens, curve, under, mount.park_um
        self._park_um, self._settle_s = park_um, mount.settle_s
        self._clock = clock
        self._height_um, self._seen_epoch = 0.0, under.epoch
        low_um, high_um = curve.range_um
        self.ratings = MotorRatings(
            min_steps=steps_from_um(park_um + low_um, UM_PER_STEP) + 1,
            max_steps=steps_from_um(park_um + high_um, UM_PER_STEP) - 1,
            has_homing=False,
        )

    @property
    def epoch(self) -> int:
        """That of the Z motor: what forgets its position may turn the current off as well."""
        return self._under.epoch

    def turn(self) -> AbstractContextManager[None]:
        """Hold the board's motors. A STOP sent after this call ends a move of the Z motor requested inside."""
        return self._under.turn()

    def move(self, target_steps: int, delta_steps: int, rates: Rates) -> float:  # noqa: ARG002  # a current has no speed
        """Set the current for `target_steps`, wait until the lens is at rest; return the host time, s.

        It is waited for at the start of an approach, too: a lens that swings has not come from below yet.
        Raises MoveRefused and others as `Axis.approach_up`, for the Z motor; BoardError for the lens.
        """
        at_rest_s = self._under.approach_up(self._park_um)  # it does nothing if it stands there
        self._clock.sleep_s(at_rest_s - self._clock.now_s())
        height_um = um_from_steps(target_steps, UM_PER_STEP) - self._park_um
        self._lens(self._curve.ma_from_um(height_um))
        self._height_um, self._seen_epoch = height_um, self.epoch
        self._clock.sleep_s(self._settle_s)
        return self._clock.now_s()

    def home(self, rates: Rates) -> float:  # noqa: ARG002  # a lens has no rates
        """Refuse: a lens has no switch. Raises MoveRefused."""
        raise MoveRefused("homing of the lens refused: it has no switch; nothing moved.")

    def standstill(self) -> Standstill:
        """Where the lens stands; homed as the Z motor is. After its position was forgotten there is no current."""
        if self._seen_epoch != self.epoch:
            self._lens(0.0)
            self._height_um, self._seen_epoch = 0.0, self.epoch
        pos_steps = steps_from_um(self._park_um + self._height_um, UM_PER_STEP)
        return Standstill(pos_steps, self._under.is_homed, self._clock.now_s())
