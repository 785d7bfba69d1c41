"""The fastest safe speed and acceleration of X and Y: trials with the objective away, each followed by a homing.

A trial lowers Z to the end of its travel, sends the axis out and back, brings Z up again, and compares the picture.
Whether it lost steps or not, the axis is homed afterwards, so its position is known before the next move.
"""

import contextlib
import math

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.errors import MoveRefused
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.fastest import (
    SLOW_SHARE,
    FastestFit,
    RatesTrial,
    fit_fastest,
    held_share,
    next_share,
)
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.motion.broken_off import if_broken_off
from parfocal.edge.calibrate.motion.returns import LOST_PX, RUN_UP_UM
from parfocal.edge.calibrate.register import fine_shift_between
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

METHOD = "trips out and back with rising speed and acceleration, the picture compared, homed after each trial"
N_STEPS = 14  # trials of one axis, about
TRIP_UM = 2000.0
MAX_TRIPS = 5
# A trip is this many times longer than speeding up and slowing down, so that full speed is reached.
TRIP_RAMPS = 1.5
N_CONFIRMED = 2  # trials more at what is found


class RawRates(msgspec.Struct, frozen=True):
    """What the fastest pair was computed from: the configured pair and every trial."""

    axis: str
    speed_um_per_s: float
    accel_um_per_s2: float
    trials: tuple[RatesTrial, ...]
    fit: FastestFit | None = None
    refused: str | None = None


class Fastest:
    """Tries one axis, at a field in focus with the lamp on. It ends with a slow speed and acceleration."""

    def __init__(
        self,
        axis: Axis,
        instrument: Instrument,
        configured: tuple[float, float],
        curves: Curves,
        step: Step,
    ) -> None:
        """Nothing moves. `configured`: speed and acceleration, um. `curves` brings Z back into focus."""
        self._axis, self._instrument = axis, instrument
        self._curves, self._step = curves, step
        self.speed_um_per_s, self.accel_um_per_s2 = configured
        self.trials: list[RatesTrial] = []
        axis.use_rates(*self._slow())

    def measure(self, focus_um: float) -> FastestFit:
        """Raise speed and acceleration until steps are lost, and confirm what is found. Ends where it began, homed.

        Raises CalibPoor where nothing is safe, or there is no room; BoardError, CameraFailed.
        """
        here_um = self._axis.position_um
        self._room_um(here_um)
        before = self._picture(here_um, focus_um)
        while (share := next_share(self.trials)) is not None:
            before = self._tried(share, here_um, focus_um, before)
        fitted = fit_fastest(self._axis.name, self.trials)
        for _ in range(N_CONFIRMED):
            before = self._tried(fitted.share, here_um, focus_um, before)
            if not self.trials[-1].has_held:
                raise CalibPoor(
                    f"{self._axis.name} lost steps at {100.0 * fitted.share:.0f} % of the configured speed, although "
                    f"it held at {100.0 * fitted.held:.0f} %. Look at the motor's supply, its driver and the guides."
                )
        return fitted

    def _tried(self, share: float, here_um: float, focus_um: float, before: UInt8Array) -> UInt8Array:
        """Try a pair; returns the picture of the place after the homing, for the next trial."""
        self._lower()
        lost_um: float | None = None
        with if_broken_off(self._home):
            # A pair beyond what the board allows is refused, and counts as one that did not hold.
            with contextlib.suppress(MoveRefused):
                self._dash(share, here_um)
                lost_um = self._lost_um(before, self._picture(here_um, focus_um))
            self._home()
        has_held = lost_um is not None and lost_um <= LOST_PX * self._instrument.view.um_per_px
        self.trials.append(RatesTrial(share, lost_um, has_held))
        self._axis.use_rates(*self._slow())
        after = self._picture(here_um, focus_um)
        told = "held" if has_held else "was refused by the board" if lost_um is None else "lost steps"
        self._step(f"{self._axis.name} at {100.0 * share:.0f} % {told}")
        return after

    def _dash(self, share: float, here_um: float) -> None:
        """Out at a share of the configured pair and slowly back, the last time the other way round. Z is lowered."""
        axis = self._axis
        speed_um_per_s, accel_um_per_s2 = share * self.speed_um_per_s, share * self.accel_um_per_s2
        room_um = self._room_um(here_um)
        trip_um = min(max(TRIP_UM, TRIP_RAMPS * speed_um_per_s**2 / accel_um_per_s2), abs(room_um))
        # However many steps are lost, in whichever direction, the stage stays within its travel.
        n_trips = max(1, min(MAX_TRIPS, int(abs(room_um) / trip_um)))
        away_um = here_um + math.copysign(trip_um, room_um)
        fast = speed_um_per_s, accel_um_per_s2
        slow = self._slow()
        try:
            for number in range(n_trips):
                # Fast one way and slowly the other, the other way round in the last trip only: losses must not cancel.
                is_last = number == n_trips - 1 > 1
                axis.use_rates(*(slow if is_last else fast))
                axis.move_to(away_um)
                axis.use_rates(*(fast if is_last else slow))
                axis.move_to(here_um)
        finally:
            axis.use_rates(*slow)

    def _slow(self) -> tuple[float, float]:
        """What everything but a trial runs at: half of what surely holds."""
        share = max(SLOW_SHARE, 0.5 * held_share(self.trials))
        return share * self.speed_um_per_s, share * self.accel_um_per_s2

    def _room_um(self, here_um: float) -> float:
        """How far the stage may be off in either direction; negative if trips go downwards. Raises CalibPoor."""
        low_um, high_um = self._axis.limits_um
        below_um, above_um = here_um - low_um - RUN_UP_UM, high_um - here_um
        # The first trip may be made whole and every way back be lost, and the other way round.
        room_um = min(below_um, above_um) if below_um < above_um else -min(below_um, above_um)
        if abs(room_um) < TRIP_UM:
            raise CalibPoor(
                f"no room to try the speed of {self._axis.name}: {here_um:.0f} um is less than {TRIP_UM / 1000.0:g} mm "
                f"from a limit. Set scan.origin_{self._axis.name}_um to a place in the middle of the slide."
            )
        return room_um

    def _picture(self, here_um: float, focus_um: float) -> UInt8Array:
        """The place, reached upwards, in focus."""
        settled_s = self._axis.approach_up(here_um, here_um - RUN_UP_UM)
        settled_s = max(settled_s, self._curves.leave_at(focus_um))
        return frame_after(self._instrument.camera, settled_s).pixels

    def _lost_um(self, before: UInt8Array, after: UInt8Array) -> float:
        try:
            shift = fine_shift_between(before, after)
        except CalibPoor:  # another place
            return math.inf
        return math.hypot(shift.dx_px, shift.dy_px) * self._instrument.view.um_per_px

    def _lower(self) -> None:
        """The objective away from the slide, as far as it goes."""
        z = self._instrument.board.z
        z.move_to(z.limits_um[0])

    def _home(self) -> None:
        """Find the position again, with the objective away: the counter may be wrong."""
        self._lower()
        self._axis.home()
