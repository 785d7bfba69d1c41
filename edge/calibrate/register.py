"""How far one picture is shifted against another."""

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.edge.pixels import UInt8Array

# Two pictures of a drawn section that overlap by seven eighths correlate by 0.83, by three quarters 0.61. Pictures of
# an empty field, which share only the window, correlate by up to 0.18 (tests/edge/calibrate/test_register.py).
MIN_RESPONSE = 0.35
LONG_SIDE_PX = 640  # larger pictures are made smaller first: registration is to a fraction of a pixel anyway


class Shift(msgspec.Struct, frozen=True):
    """By how much the second picture is shifted, px of the camera, and how well the two correlate, 0..1."""

    dx_px: float
    dy_px: float
    response: float


def shift_between(first: UInt8Array, second: UInt8Array) -> Shift:
    """The shift of the content from `first` to `second`, both RGB uint8 (h, w, 3), by phase correlation.

    Raises CalibPoor where the pictures have too little in common.
    """
    factor = max(1.0, max(first.shape[:2]) / LONG_SIDE_PX)
    one, other = _prepared(first, factor), _prepared(second, factor)
    window = cv2.createHanningWindow((one.shape[1], one.shape[0]), cv2.CV_32F)
    (dx, dy), response = cv2.phaseCorrelate(one, other, window)
    if response < MIN_RESPONSE:
        raise CalibPoor(
            f"two pictures in a row do not match (correlation {response:.2f}, needed {MIN_RESPONSE:g}): the field "
            "holds too little structure, is out of focus, or the stage jumped. Choose a field with structure: "
            "scan.origin_x_um, scan.origin_y_um."
        )
    return Shift(dx * factor, dy * factor, response)


def _prepared(pixels: UInt8Array, factor: float) -> NDArray[np.float32]:
    """Grey, without the noise of single pixels."""
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5).astype(np.float32, copy=False)
