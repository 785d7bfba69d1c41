"""An all-in-focus picture from planes at several heights (liao2021 2.2). Pure functions on arrays."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian
from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]

# The plane of a pixel is the one that is sharpest about it. Where a few pixels hold no detail, the wider surroundings
# decide. Standard deviations in pixels of the halved picture.
NEAR_PX, WIDE_PX, WIDE_SHARE = 4.0, 20.0, 0.1
MEDIAN_PX = 5  # no lone pixels from another plane
# A stage sways by less than this from one plane to the next. A larger shift is a failed registration.
MAX_SHIFT_PX = 8.0
# Below this a shift is left alone: moving by a part of a pixel costs more sharpness than it gains.
MIN_SHIFT_PX = 0.3


def composite(planes: Sequence[UInt8Array]) -> tuple[UInt8Array, NDArray[np.intp]]:
    """The all-in-focus picture of registered planes, RGB uint8 (h, w, 3), and the plane each pixel is from, (h, w).

    Raises ValueError for no planes.
    """
    if not planes:
        raise ValueError("no planes given: nothing to put together")
    height_px, width_px = planes[0].shape[:2]
    best: FloatArray | None = None
    number = np.zeros((0, 0), np.uint8)
    for index, plane in enumerate(planes):
        detail = _detail(plane)
        if best is None:
            best, number = detail, np.zeros(detail.shape, np.uint8)
            continue
        is_sharper = detail > best
        number[is_sharper] = index
        np.maximum(best, detail, out=best)
    chosen = cv2.resize(
        cv2.medianBlur(number, MEDIAN_PX), (width_px, height_px), interpolation=cv2.INTER_NEAREST
    )
    picture = np.array(planes[0])
    for index, plane in enumerate(planes):
        is_from = chosen == index
        picture[is_from] = plane[is_from]
    return picture, chosen.astype(np.intp)


def registered(planes: Sequence[UInt8Array]) -> tuple[list[UInt8Array], list[tuple[float, float]]]:
    """The planes shifted onto the middle one, and by how much (dx_px, dy_px) each was off.

    Each plane is held against its neighbour, which is nearly as sharp, not against one far away in focus.
    """
    middle = len(planes) // 2
    straight: dict[int, UInt8Array] = {middle: planes[middle]}
    shifts: dict[int, tuple[float, float]] = {middle: (0.0, 0.0)}
    for inward, outward in [
        *((k, k + 1) for k in range(middle, len(planes) - 1)),
        *((k, k - 1) for k in range(middle, 0, -1)),
    ]:
        rough = _shift_px(straight[inward], planes[outward])
        # A second look, since a small shift is measured better than a large one.
        fine = (
            _shift_px(straight[inward], _moved_back(planes[outward], rough))
            if _matters(rough)
            else (0.0, 0.0)
        )
        shifts[outward] = (rough[0] + fine[0], rough[1] + fine[1])
        straight[outward] = _moved_back(planes[outward], shifts[outward])
    in_order = range(len(planes))
    return [straight[k] for k in in_order], [shifts[k] for k in in_order]


def _detail(plane: UInt8Array) -> FloatArray:
    """How much detail there is about each pixel of the halved picture; float32 (h // 2, w // 2)."""
    energy = np.square(laplacian(halved_grey(plane)))
    near, wide = (np.asarray(cv2.GaussianBlur(energy, (0, 0), px), np.float32) for px in (NEAR_PX, WIDE_PX))
    detail: FloatArray = near + np.float32(WIDE_SHARE) * wide
    return detail


def _shift_px(fixed: UInt8Array, moved: UInt8Array) -> tuple[float, float]:
    """How far the second picture lies right of and below the first, px of the frame; 0 if they do not match."""
    # OpenCV pads other sizes, and is half a pixel off then.
    height_px, width_px = (_transformed_px(side // 2) for side in fixed.shape[:2])
    first, second = (halved_grey(pixels)[:height_px, :width_px] for pixels in (fixed, moved))
    window = cv2.createHanningWindow((first.shape[1], first.shape[0]), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(first - first.mean(), second - second.mean(), window)
    shift = 2.0 * dx, 2.0 * dy
    return shift if float(np.hypot(*shift)) <= MAX_SHIFT_PX else (0.0, 0.0)


def _transformed_px(side_px: int) -> int:
    """The longest even side up to `side_px` that OpenCV transforms without padding."""
    return next(
        side for side in range(side_px, 0, -1) if side % 2 == 0 and cv2.getOptimalDFTSize(side) == side
    )


def _matters(shift_px: tuple[float, float]) -> bool:
    return float(np.hypot(*shift_px)) >= MIN_SHIFT_PX


def _moved_back(plane: UInt8Array, shift_px: tuple[float, float]) -> UInt8Array:
    if not _matters(shift_px):
        return plane
    matrix = np.array([[1.0, 0.0, -shift_px[0]], [0.0, 1.0, -shift_px[1]]], np.float32)
    size_px = plane.shape[1], plane.shape[0]
    moved = cv2.warpAffine(plane, matrix, size_px, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)
