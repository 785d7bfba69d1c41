"""How long X, Y and Z take to come to rest: frames taken from the last step of a move on, many times."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import Axis
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.swing import SettleFit, Swing, fit_settle
from parfocal.edge.calibrate.curves import RUN_UP_UM, Curves, Step
from parfocal.edge.calibrate.register import fine_shift_between
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig, FocusConfig
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

METHOD = "frames from the last step of equal moves on, a damped swing fitted"
N_MOVES = 24
WATCHED_S = 0.25  # after each move, or longer if that is configured
WATCHED_SETTLES = 2.5
# At rest: half a pixel sideways; in height an eighth of the depth of field, which is this through 20x/0.75.
LIMIT_PX, LIMIT_Z_UM = 0.5, 0.1
# The last frame of a move, from which the others are measured, may not show the stage quite at rest. In height the
# ruler adds to it (python -m tests.bench.stage).
SIDE_ERROR_SHARE, Z_ERROR_SHARE = 0.05, 0.12
# Long enough for full speed with the default speed and acceleration: the swing is largest then.
SIDE_MOVE_UM, Z_MOVE_UM = 2000.0, 40.0
# Where the sharpness falls fastest: this far below the focus, and the heights whose sharpness is the ruler. Through
# 20x/0.75, and as many depths of field through another objective.
FLANK_UM, RULER_REACH_UM, RULER_STEP_UM = 2.5, 2.5, 0.625
MIN_RULER = 4  # steps of the ruler below its top
SIDE_RUN_UP_UM = 160.0


class Settling:
    """Watches one axis come to rest. The lamp is on, the field in focus."""

    def __init__(self, axis: Axis, instrument: Instrument, camera: CameraConfig, step: Step) -> None:
        """Nothing moves. `step` is called after each axis, with a few words."""
        self._axis, self._instrument, self._config, self._step = axis, instrument, camera, step
        self.taken: list[Swing] = []
        self.images = 0

    def sideways(self) -> SettleFit:
        """The settle time of X or Y after a move at full speed. Ends where it began.

        Raises CalibPoor, BoardError, CameraFailed.
        """
        middle_um = self._axis.position_um
        lowest_um = self._axis.limits_um[0] + SIDE_RUN_UP_UM
        start_um = max(middle_um - SIDE_MOVE_UM, min(lowest_um, middle_um))
        seen: list[tuple[list[float], NDArray[np.float64]]] = []
        for k in range(N_MOVES):
            self._axis.approach_up(start_um, start_um - SIDE_RUN_UP_UM)
            times_s, pictures = self._watched(middle_um, k)
            shifts = [fine_shift_between(pictures[-1], picture) for picture in pictures[:-1]]
            seen.append((times_s, np.array([(one.dx_px, one.dy_px) for one in shifts]).reshape(-1, 2)))
        # The stage swings along its axis, wherever that lies in the picture.
        along = np.linalg.svd(np.concatenate([away_px for _, away_px in seen]), full_matrices=False)[2][0]
        for times_s, away_px in seen:
            self._keep(times_s, (away_px @ along * self._config.um_per_px).tolist())
        self._step(f"settle time of {self._axis.name}")
        return fit_settle(self.taken, LIMIT_PX * self._config.um_per_px, SIDE_ERROR_SHARE)

    def upwards(self, curves: Curves, focus_um: float, config: FocusConfig) -> SettleFit:
        """The settle time of Z, by the sharpness on the lower flank of the focus curve. Ends at the focus.

        Raises CalibPoor, BoardError, CameraFailed.
        """
        flank_um = focus_um - curves.scale * FLANK_UM
        ruler = curves.upward(curves.near(flank_um, RULER_REACH_UM, RULER_STEP_UM))
        height_um = ruler_from(ruler.z_um, ruler.sharpness)
        for k in range(N_MOVES):
            self._axis.approach_up(flank_um - Z_MOVE_UM, flank_um - Z_MOVE_UM - RUN_UP_UM)
            times_s, pictures = self._watched(flank_um, k)
            z_um = [height_um(CentralPart(picture, config).sharpness) for picture in pictures]
            self._keep(times_s, [one - z_um[-1] for one in z_um[:-1]])
        self._step("settle time of z")
        curves.leave_at(focus_um)
        return fit_settle(self.taken, curves.scale * LIMIT_Z_UM, Z_ERROR_SHARE)

    def _watched(self, to_um: float, number: int) -> tuple[list[float], list[UInt8Array]]:
        """Frames after a move to `to_um`: the middle of each exposure after the last step, s, and its pixels."""
        clock, camera = self._instrument.clock, self._instrument.camera
        # Else every move would meet the camera's free run at the same moment, and the frames show the same few times.
        clock.sleep_s(number / N_MOVES * self._config.frame_period_s)
        settle_s = self._axis.config.settle_s
        ended_s = self._axis.move_to(to_um) - settle_s
        watched_s = max(WATCHED_S, WATCHED_SETTLES * settle_s)
        middle_s = self._config.exposure_s / 2.0 - ended_s
        frame = frame_after(camera, ended_s)
        times_s, pictures = [frame.exposure_start_s + middle_s], [frame.pixels]
        while times_s[-1] < watched_s:
            frame = camera.grab()
            times_s.append(frame.exposure_start_s + middle_s)
            pictures.append(frame.pixels)
        self.images += len(pictures)
        return times_s, pictures

    def _keep(self, times_s: list[float], away_um: list[float]) -> None:
        self.taken.append(Swing(tuple(times_s[:-1]), tuple(away_um)))


def ruler_from(z_um: tuple[float, ...], sharpness: tuple[float, ...]) -> Callable[[float], float]:
    """Height as a function of sharpness, from a rising flank. Raises CalibPoor where it does not rise."""
    heights, values = np.array(z_um), np.array(sharpness)
    top = int(values.argmax())
    rising = np.maximum.accumulate(values[: top + 1])
    if top < MIN_RULER or rising[-1] < 1.2 * rising[0]:
        raise CalibPoor(
            "no settle time of z: below the focus the sharpness does not rise steadily. Choose a field with more "
            "structure: scan.origin_x_um, scan.origin_y_um."
        )
    # A smooth curve: straight lines between its points would be off by a fifth in their slope.
    logs = np.log(rising)
    middle = float(logs.mean())
    cubic = np.polyfit(logs - middle, heights[: top + 1], 3)
    return lambda value: float(
        np.polyval(cubic, np.clip(np.log(max(value, 1e-9)), logs[0], logs[-1]) - middle)
    )
