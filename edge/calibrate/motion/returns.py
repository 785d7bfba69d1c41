"""Whether the stage comes back: after many trips (lost steps), and after homing (repeatability of the switches)."""

import math

import msgspec
import numpy as np

from parfocal.board.axis import Axis
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.play import peak_of
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.register import fine_shift_between
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import CameraConfig
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

TRIPS_METHOD = "registration before and after 100 trips of 2 mm"
HOMES_METHOD = "registration and focus curve after each of four homings"
N_TRIPS, TRIP_UM = 100, 2000.0
N_HOMES = 4
RUN_UP_UM = 160.0
# Half a picture pixel at each end. A motor that loses step with its field falls back by four full steps at once.
LOST_PX = 2.0
LOOK_ERROR_UM = 0.05  # of a registration, or of the peak of a focus curve through 20x/0.75
HOME_REACH_UM, HOME_STEP_UM = 5.0, 0.625  # of `Curves.near`


class Trips(msgspec.Struct, frozen=True):
    """How far the stage stood from its place after trips out and back, um; `n_trips` of `trip_um`."""

    axis: str
    lost_um: float
    n_trips: int
    trip_um: float


class Homes(msgspec.Struct, frozen=True):
    """Where the stage stood after each homing, um from the mean of X, Y and Z; (n, 3)."""

    positions_um: tuple[tuple[float, float, float], ...]

    def scatter_um(self) -> tuple[float, float, float]:
        """Standard deviation of X, Y and Z."""
        x, y, z = np.array(self.positions_um).std(axis=0, ddof=1).tolist()
        return x, y, z

    def uncertainty_um(self, scatter_um: float, look_error_um: float) -> float:
        """Half the 95 % interval of a standard deviation. `look_error_um`: what a single look may be off by."""
        share = 1.96 / math.sqrt(2.0 * (len(self.positions_um) - 1))
        return math.hypot(share * scatter_um, look_error_um)


def trips(axis: Axis, instrument: Instrument, camera: CameraConfig, step: Step) -> Trips:
    """Send the axis 2 mm away and back, a hundred times. Ends where it began.

    Raises CalibPoor where it has lost steps; BoardError, CameraFailed.
    """
    here_um = axis.position_um
    away_um = here_um + TRIP_UM if here_um + TRIP_UM < axis.limits_um[1] else here_um - TRIP_UM
    before = _picture(instrument, axis, here_um)
    for _ in range(N_TRIPS):
        axis.move_to(away_um)
        # Back in two moves: a motor that loses as many steps on each way would stand at its place again.
        axis.move_to((away_um + here_um) / 2.0)
        axis.move_to(here_um)
    after = _picture(instrument, axis, here_um)
    remedy = (
        f"The motor loses steps: lower board.{axis.name}.speed_um_per_s or board.{axis.name}.accel_um_per_s2."
    )
    try:
        shift = fine_shift_between(before, after)
    except CalibPoor as error:
        raise CalibPoor(
            f"after {N_TRIPS} trips of {TRIP_UM / 1000.0:g} mm along {axis.name} the picture is another one. {remedy}"
        ) from error
    lost_px = math.hypot(shift.dx_px, shift.dy_px)
    if lost_px > LOST_PX:
        raise CalibPoor(
            f"after {N_TRIPS} trips of {TRIP_UM / 1000.0:g} mm along {axis.name} the stage is "
            f"{lost_px * camera.um_per_px:.1f} um away from its place. {remedy}"
        )
    step(f"{N_TRIPS} trips of {axis.name}")
    return Trips(axis.name, lost_px * camera.um_per_px, N_TRIPS, TRIP_UM)


def homes(
    instrument: Instrument,
    camera: CameraConfig,
    curves: Curves,
    place: tuple[float, float, float],
    step: Step,
) -> Homes:
    """Home four times, and look each time how far `place` (x, y and the focus, um) is off. Ends there.

    Raises CalibPoor, BoardError, CameraFailed.
    """
    x_um, y_um, focus_um = place
    first: UInt8Array | None = None
    found: list[tuple[float, float, float]] = []
    for number in range(1, N_HOMES + 1):
        instrument.board.home()
        instrument.go_to(x_um, y_um)
        peak = peak_of(curves.upward(curves.near(focus_um, HOME_REACH_UM, HOME_STEP_UM)))
        picture = frame_after(instrument.camera, curves.leave_at(focus_um)).pixels
        first = picture if first is None else first
        shift = fine_shift_between(first, picture)
        found.append((shift.dx_px * camera.um_per_px, shift.dy_px * camera.um_per_px, peak.z_um))
        step(f"homed {number} of {N_HOMES} times")
    centred = np.array(found) - np.mean(found, axis=0)
    return Homes(tuple((float(x), float(y), float(z)) for x, y, z in centred))


def _picture(instrument: Instrument, axis: Axis, here_um: float) -> UInt8Array:
    return frame_after(instrument.camera, axis.approach_up(here_um, here_um - RUN_UP_UM)).pixels
