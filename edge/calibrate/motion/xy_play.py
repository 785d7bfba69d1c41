"""The play of the X or Y gear: pictures on staircases of equal moves, down and up alternately."""

import math

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.board.errors import MoveRefused
from parfocal.calib.motion.stairs import ENGAGED_STEPS, Stairs, StairsFit, fit_stairs
from parfocal.edge.calibrate.curves import Step
from parfocal.edge.calibrate.register import shift_between
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

METHOD = "phase correlation on staircases, down and up, three times"
# The largest play that is looked for. The paper's stage places X and Y within 100 um, play included (dastidar2020 4.1).
MAX_PLAY_UM = 150.0
SPARE_UM = 10.0
N_RUNS = 6
STEP_SHARE = (
    8  # a step is this part of the shorter side of a field, so that seven eighths stay in the picture
)


class Staircases:
    """Takes pictures on staircases about the present position of one axis. The lamp is on, the field in focus."""

    def __init__(self, axis: Axis, instrument: Instrument, camera: CameraConfig, step: Step) -> None:
        """Nothing moves. `step` is called after each staircase, with a few words about it."""
        self._axis, self._camera, self._config, self._step = axis, instrument.camera, camera, step
        self.runs: list[Stairs] = []
        self.images = 0

    def measure(self) -> StairsFit:
        """The play. Ends where it began, approached upwards.

        Raises MoveRefused before anything moves if a limit is too close; CalibPoor, BoardError, CameraFailed.
        """
        axis, scale = self._axis, self._axis.config.um_per_step
        steps = max(1, steps_from_um(min(self._config.field_um) / STEP_SHARE, scale))
        n_moves = math.ceil(MAX_PLAY_UM / um_from_steps(steps, scale)) + ENGAGED_STEPS + 1
        middle = steps_from_um(axis.position_um, scale)
        top = middle + n_moves * steps // 2
        heights_um = [um_from_steps(top - k * steps, scale) for k in range(n_moves + 1)]
        low_um, high_um = min(heights_um[-1], heights_um[0] - MAX_PLAY_UM - SPARE_UM), heights_um[0]
        if low_um < axis.limits_um[0] or high_um > axis.limits_um[1]:
            raise MoveRefused(
                f"play of {axis.name} not measured: it takes {low_um:.0f}..{high_um:.0f} um, but the limit is "
                f"{axis.limits_um[0]}..{axis.limits_um[1]} um. Change scan.origin_{axis.name}_um."
            )
        settled_s = axis.approach_up(high_um, low_um)
        for run in range(N_RUNS):
            way_um = heights_um if run % 2 == 0 else heights_um[::-1]
            settled_s = self._staircase(way_um, settled_s)
        fitted = fit_stairs(self.runs, self._config.um_per_px)
        axis.approach_up(um_from_steps(middle, scale), um_from_steps(middle, scale) - MAX_PLAY_UM - SPARE_UM)
        return fitted

    def _staircase(self, way_um: list[float], settled_s: float) -> float:
        """Go along `way_um`, which begins here; returns when the stage is settled at its end, s."""
        before = self._picture(settled_s)
        shifts_px = []
        for position_um in way_um[1:]:
            settled_s = self._axis.move_to(position_um)
            after = self._picture(settled_s)
            shift = shift_between(before, after)
            shifts_px.append((shift.dx_px, shift.dy_px))
            before = after
        self.runs.append(Stairs(way_um[1] - way_um[0], tuple(shifts_px)))
        self._step(f"{self._axis.name} to {way_um[-1]:.0f} um")
        return settled_s

    def _picture(self, settled_s: float) -> UInt8Array:
        self.images += 1
        return frame_after(self._camera, settled_s).pixels
