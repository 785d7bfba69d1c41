"""How far one picture is shifted against another."""

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.subpixel import moved_back

# Two pictures of a drawn section that overlap by seven eighths correlate by 0.83, by three quarters 0.61. Pictures of
# an empty field, which share only the window, correlate by up to 0.18 (tests/edge/calibrate/test_register.py).
MIN_RESPONSE = 0.35
# Autocorrelation at a distance: 0.06 to 0.2 in drawn sections and real tissue, 0.9 in a grid.
MAX_REPEATED = 0.6
FALLEN = 0.2
REFINE_ROUNDS, REFINE_MARGIN_PX, MAX_CONDITION = 6, 8, 1e4
REFINED_PX = 1e-3  # a step this short ends the refinement: a fiftieth of its error
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


def fine_shift_between(first: UInt8Array, second: UInt8Array) -> Shift:
    """The shift as `shift_between`, refined by gradients on the parts that both pictures show, in full resolution.

    Phase correlation alone is off by up to 0.14 px, always by as much for the same fraction of a pixel: over a chain of
    equal moves that adds up (tests/edge/calibrate/test_register.py).
    """
    coarse = shift_between(first, second)
    dx, dy = round(coarse.dx_px), round(coarse.dy_px)
    height, width = first.shape[:2]
    rows = slice(max(0, -dy), min(height, height - dy))
    columns = slice(max(0, -dx), min(width, width - dx))
    moved = second[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
    one, other = _prepared(_middle(first[rows, columns]), 1.0), _prepared(_middle(moved), 1.0)
    rest_x, rest_y = _small_shift(one, other, (coarse.dx_px - dx, coarse.dy_px - dy))
    return Shift(dx + rest_x, dy + rest_y, coarse.response)


def _small_shift(
    one: NDArray[np.float32], other: NDArray[np.float32], start: tuple[float, float]
) -> tuple[float, float]:
    """The shift from `one` to `other`, about a pixel at most, by least squares on the gradients (Lucas and Kanade)."""
    x, y = start
    height, width = one.shape
    inside = (
        slice(REFINE_MARGIN_PX, height - REFINE_MARGIN_PX),
        slice(REFINE_MARGIN_PX, width - REFINE_MARGIN_PX),
    )
    slopes_x, slopes_y = (cv2.Sobel(one, cv2.CV_32F, *order, ksize=3) / 8.0 for order in ((1, 0), (0, 1)))
    design = np.stack([slopes_x[inside].ravel(), slopes_y[inside].ravel()])
    normal = (design @ design.T).astype(np.float64)
    if np.linalg.cond(normal) > MAX_CONDITION:  # lines: only the coarse shift is known along them
        return x, y
    for _ in range(REFINE_ROUNDS):
        step = np.linalg.solve(normal, design @ (one - moved_back(other, x, y))[inside].ravel())
        x, y = x + float(step[0]), y + float(step[1])
        if np.hypot(x - start[0], y - start[1]) > 1.0:
            return start
        if np.hypot(*step) < REFINED_PX:
            break
    return x, y


def check_unique(pixels: UInt8Array) -> None:
    """Refuse a picture whose structure repeats itself: a shift could not be told from one longer by a period.

    `pixels` are RGB uint8 (h, w, 3). Raises CalibPoor.
    """
    grey = _prepared(_middle(pixels), 1.0)
    window = cv2.createHanningWindow((grey.shape[1], grey.shape[0]), cv2.CV_32F)
    flat = (grey - cv2.GaussianBlur(grey, (0, 0), 20.0)) * window
    spectrum = np.fft.rfft2(flat)
    alike = np.fft.irfft2(np.abs(spectrum) ** 2, flat.shape)
    # What is left of the autocorrelation of a picture under a window, at a distance, if it repeats itself exactly.
    of_window = np.fft.irfft2(np.abs(np.fft.rfft2(window)) ** 2, flat.shape)
    share = (alike / max(float(alike[0, 0]), 1e-9)) / np.maximum(of_window / of_window[0, 0], 0.2)
    repeated = _beyond_first_fall(share)
    if repeated > MAX_REPEATED:
        raise CalibPoor(
            f"the structure of the field repeats itself ({100.0 * repeated:.0f} % alike at a distance, at most "
            f"{100.0 * MAX_REPEATED:.0f} %): a shift could not be told from one longer by a period. Choose tissue or a "
            "smear, not a grid: scan.origin_x_um, scan.origin_y_um."
        )


def _beyond_first_fall(share: NDArray[np.float64]) -> float:
    """The highest autocorrelation beyond the radius within which it has first fallen below a fifth."""
    height, width = share.shape
    rows = np.minimum(np.arange(height), height - np.arange(height))[:, None]
    columns = np.minimum(np.arange(width), width - np.arange(width))[None, :]
    radius = np.rint(np.hypot(rows, columns)).astype(np.int64)
    inside = radius <= min(height, width) // 3
    mean = np.bincount(radius.ravel(), share.ravel()) / np.bincount(radius.ravel())
    fallen = np.flatnonzero(mean < FALLEN)
    first = int(fallen[0]) if len(fallen) else 0
    beyond = share[(radius > 1.5 * first) & inside]
    return float(beyond.max()) if beyond.size else 0.0


def _middle(pixels: UInt8Array) -> UInt8Array:
    """The middle of a picture, `LONG_SIDE_PX` a side at most."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - LONG_SIDE_PX) // 2, max(0, width - LONG_SIDE_PX) // 2
    return np.ascontiguousarray(pixels[top : height - top, left : width - left])


def _prepared(pixels: UInt8Array, factor: float) -> NDArray[np.float32]:
    """Grey, without the noise of single pixels."""
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5).astype(np.float32, copy=False)
