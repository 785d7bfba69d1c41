"""`parfocal calibrate stage --pitch-um`: the size of a pixel, from a slide with lines of known pitch."""

import cv2
import numpy as np

from parfocal.calib.camera.pitch import fit_pitch
from parfocal.calib.errors import CalibPoor
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument

METHOD = "spectrum of pictures of lines {pitch_um:g} um apart"
NAME = "camera_um_per_px"
N_PICTURES = 6
STEP_SHARE = 0.13  # of a field in X, from picture to picture: other lines, other dirt
N_STEPS = 2 + N_PICTURES


def measure_pixel(
    instrument: Instrument, config: Config, store: Store, stamp: Stamp, step: Step, pitch_um: float
) -> KeptValue:
    """Home if the instrument may, focus the lines at the configured origin, measure, and keep the result.

    Raises CalibPoor where no lines are seen, and the earlier value stays; CalibError, BoardError, CameraFailed.
    """
    keeper, scan = Keeper(store, stamp), config.scan
    instrument.home_if_allowed()
    with instrument.lit(scan.lamp_duty):
        instrument.go_to(scan.origin_x_um, scan.origin_y_um)
        curves = Curves(instrument, config.focus, step)
        curves.leave_at(curves.focus_um())
        pictures = []
        for number in range(N_PICTURES):
            away_um = number * STEP_SHARE * config.camera.field_um[0]
            instrument.go_to(scan.origin_x_um + away_um, scan.origin_y_um)
            pixels = frame_after(instrument.camera, instrument.clock.now_s()).pixels
            pictures.append(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64))
            step(f"picture {number + 1} of {N_PICTURES}")
    seen = {"pitch_um": pitch_um, "n_pictures": N_PICTURES, "um_per_px": config.camera.um_per_px}
    try:
        value, uncertainty = fit_pitch(pictures, pitch_um, config.camera.um_per_px)
    except CalibPoor as error:
        raise keeper.poor(error, "the pixel", NAME, {**seen, "refused": str(error)}) from error
    method = METHOD.format(pitch_um=pitch_um)
    file = keeper.keep((Found(NAME, value, uncertainty),), method, NAME, seen)
    return KeptValue(NAME, value, uncertainty, config.camera.um_per_px, file)
