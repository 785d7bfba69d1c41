"""Scale of X and Y and the angle of the camera: pictures on chains of equal upward moves."""

import math

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.board.errors import MoveRefused
from parfocal.calib.motion.scale import Chain, Expected
from parfocal.edge.calibrate.curves import Step
from parfocal.edge.calibrate.register import check_unique, fine_shift_between
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

METHOD = "registration of pictures on chains of upward moves"
N_CHAINS = 4
FIELDS_LONG = 2.0  # a chain, in shorter sides of a field
STEP_SHARE = 8  # a move is this part of the shorter side: seven eighths stay in the picture
RUN_UP_UM = 160.0  # more than the play that `calibrate backlash` measures in X and Y


class Chains:
    """Takes pictures on chains along one axis. The lamp is on, the field in focus."""

    def __init__(self, axis: Axis, instrument: Instrument, camera: CameraConfig, step: Step) -> None:
        """Nothing moves. `step` is called after each chain, with a few words about it."""
        self._axis, self._camera, self._config, self._step = axis, instrument.camera, camera, step
        self._view = instrument.view
        self.taken: list[Chain] = []
        self.images = 0

    def take(self) -> list[Chain]:
        """The chains. Ends where it began.

        Raises MoveRefused before anything moves if a limit is too close; CalibPoor for pictures that do not match or
        repeat themselves; BoardError, CameraFailed.
        """
        axis, scale = self._axis, self._axis.config.um_per_step
        side_um = min(self._config.field_um)
        steps = max(1, steps_from_um(side_um / STEP_SHARE, scale))
        n_moves = math.ceil(FIELDS_LONG * side_um / um_from_steps(steps, scale))
        middle = steps_from_um(axis.position_um, scale)
        start = middle - n_moves * steps // 2
        low_um, high_um = (
            um_from_steps(start, scale) - RUN_UP_UM,
            um_from_steps(start + n_moves * steps, scale),
        )
        if low_um < axis.limits_um[0] or high_um > axis.limits_um[1]:
            raise MoveRefused(
                f"scale of {axis.name} not measured: it takes {low_um:.0f}..{high_um:.0f} um, but the limit is "
                f"{axis.limits_um[0]}..{axis.limits_um[1]} um. Change scan.origin_{axis.name}_um."
            )
        for _ in range(N_CHAINS):
            self.taken.append(self._chain(start, steps, n_moves))
            self._step(f"{axis.name}: chain of {n_moves} moves")
        axis.approach_up(um_from_steps(middle, scale), um_from_steps(middle, scale) - RUN_UP_UM)
        return self.taken

    def expected(self) -> Expected:
        """What is known of the axis and the pixel before."""
        config = self._axis.config
        return Expected(
            self._axis.name,
            config.um_per_step,
            config.microsteps,
            config.screw_error_um,
            self._view.um_per_px,
            self._view.um_per_px_uncertainty,
        )

    def _chain(self, start: int, steps: int, n_moves: int) -> Chain:
        axis, scale = self._axis, self._axis.config.um_per_step
        start_um = um_from_steps(start, scale)
        before = self._picture(axis.approach_up(start_um, start_um - RUN_UP_UM))
        check_unique(before)
        shifts_px = []
        for k in range(1, n_moves + 1):
            after = self._picture(axis.move_to(um_from_steps(start + k * steps, scale)))
            shift = fine_shift_between(before, after)
            shifts_px.append((-shift.dx_px, -shift.dy_px))  # the view moves against the content
            before = after
        return Chain(steps, tuple(shifts_px))

    def _picture(self, settled_s: float) -> UInt8Array:
        self.images += 1
        return frame_after(self._camera, settled_s).pixels
