"""From frames to the batch that a network takes (dastidar2020 2.2.3 and 4.3.3). Pure functions on arrays."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]
Int16Array = NDArray[np.int16]
Planes = Sequence[UInt8Array]  # the channels of an image, each (h, w)

# Divides a channel without contrast, instead of zero; far below one grey level of signal.
MIN_STANDARD_DEVIATION = 1e-3


def central_crop(pixels: UInt8Array, side_px: int) -> UInt8Array:
    """The central `side_px` square of an image (h, w, 3). Raises ValueError if the image is smaller."""
    height_px, width_px = pixels.shape[:2]
    if min(height_px, width_px) < side_px:
        raise ValueError(
            f"an image of {width_px} x {height_px} px is too small for a central crop of {side_px} px: "
            "use a larger camera mode or less downsampling"
        )
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    return pixels[top : top + side_px, left : left + side_px]


def smoothed(pixels: UInt8Array) -> UInt8Array:
    """The 3 x 3 median of an image (h, w, 3) (dastidar2020 2.2.3, step 1)."""
    return cv2.medianBlur(pixels, 3).astype(np.uint8, copy=False)


def planes_of(image: UInt8Array) -> Planes:
    """The channels of an image (h, w, 3)."""
    return [plane.astype(np.uint8, copy=False) for plane in cv2.split(image)]


def difference_image(first: UInt8Array, second: UInt8Array) -> FloatArray:
    """`I2 - I1` of two smoothed shots, signed and smoothed again; float32 (h, w, 3) in grey levels."""
    return _difference(first, second).astype(np.float32)


def _difference(first: UInt8Array, second: UInt8Array) -> Int16Array:
    """The same as int16: it holds every difference, and its median takes less than half the time of float32.

    In uint8 a darker pixel would wrap round to a bright one.
    """
    if first.shape != second.shape:
        raise ValueError(f"the two shots differ in shape: {first.shape} and {second.shape}")
    return cv2.medianBlur(np.subtract(second, first, dtype=np.int16), 3).astype(np.int16, copy=False)


def two_shot_image(first: UInt8Array, second: UInt8Array, with_second: bool) -> FloatArray:
    """Input of a two-shot network from two smoothed shots, before it is standardised; float32 (h, w, 3 or 6).

    The difference, followed by the second shot for a model of kind "pair": the difference alone does not say which of
    the two shots is the sharper one.
    """
    difference = difference_image(first, second)
    return np.concatenate([difference, second.astype(np.float32)], axis=2) if with_second else difference


def two_shot_batch(first: Planes, second: Planes, patch_px: int, with_second: bool) -> FloatArray:
    """The patches of `two_shot_image`, standardised, from the planes of two smoothed shots.

    float32 (n, 3 or 6, patch_px, patch_px), equal to `standardised(patches_of(two_shot_image(...)))` within 1e-6, in a
    fraction of the time: every value is written once, to where the network reads it. The channels are apart from the
    beginning, as splitting a difference takes longer than splitting two shots.
    """
    planes: list[NDArray[np.integer]] = [_difference(*pair) for pair in zip(first, second, strict=True)]
    planes += second if with_second else ()
    return _standardised_at(planes, _corners(second[0], patch_px), patch_px)


def single_shot_batch(
    pixels: UInt8Array, corners: Sequence[tuple[int, int]], side_px: int
) -> tuple[FloatArray, FloatArray]:
    """Square patches of an image (h, w, 3) for a single-shot network, and their contrasts (n,) in grey levels.

    The patches are smoothed and standardised; float32 (n, 3, side_px, side_px). `corners`: top and left of each, px.
    Only what they cover is smoothed.
    """
    (top, left), (bottom, right) = np.min(corners, axis=0), np.max(corners, axis=0) + side_px
    # A pixel more, so that the median at their edges is that of the image.
    around = max(top - 1, 0), max(left - 1, 0)
    whole = smoothed(pixels[around[0] : bottom + 1, around[1] : right + 1])
    inside = [(int(top - around[0]), int(left - around[1])) for top, left in corners]
    planes = planes_of(whole)
    return _standardised_at(planes, inside, side_px), _contrasts_at(planes, inside, side_px)


def _corners(image: UInt8Array, patch_px: int) -> list[tuple[int, int]]:
    """Top and left of the whole patches of an image (h, w, 3) or of one of its planes, row by row."""
    return [
        (top, left)
        for top in range(0, image.shape[0] - patch_px + 1, patch_px)
        for left in range(0, image.shape[1] - patch_px + 1, patch_px)
    ]


def _standardised_at(
    planes: Sequence[NDArray[np.integer | np.floating]], corners: Sequence[tuple[int, int]], side_px: int
) -> FloatArray:
    """Patches of integer planes (h, w), standardised; float32 (n, planes, side_px, side_px)."""
    batch = np.empty((len(corners), len(planes), side_px, side_px), np.float32)
    for (top, left), patch in zip(corners, batch, strict=True):
        for plane, channel in zip(planes, patch, strict=True):
            part = plane[top : top + side_px, left : left + side_px]
            mean, deviation = _mean_and_deviation(part)
            np.copyto(channel, part)
            np.subtract(channel, np.float32(mean), out=channel)
            np.multiply(channel, np.float32(1.0 / max(deviation, MIN_STANDARD_DEVIATION)), out=channel)
    return batch


def _mean_and_deviation(part: NDArray[np.integer | np.floating]) -> tuple[float, float]:
    """Mean and standard deviation of integers (h, w), in a third of the time of `cv2.meanStdDev`.

    Both sums are whole numbers, and rounded to them, so a part without contrast has a deviation of 0.
    """
    total, squares = round(cv2.sumElems(part)[0]), round(cv2.norm(part, cv2.NORM_L2SQR))
    return total / part.size, math.sqrt(part.size * squares - total * total) / part.size


def standardised(patches: FloatArray) -> FloatArray:
    """Patches (n, 3, h, w) with each channel centred to 0 and divided by its standard deviation."""
    mean = patches.mean(axis=(2, 3), keepdims=True)
    deviation = np.maximum(patches.std(axis=(2, 3), keepdims=True), MIN_STANDARD_DEVIATION)
    result: FloatArray = (patches - mean) / deviation
    return result


def patches_of(image: NDArray[np.float32] | UInt8Array, patch_px: int) -> FloatArray:
    """An image (h, w, channels) cut into whole patches, row by row; float32 (n, channels, patch_px, patch_px)."""
    rows, columns = image.shape[0] // patch_px, image.shape[1] // patch_px
    if rows == 0 or columns == 0:
        raise ValueError(f"an image of shape {image.shape} is smaller than one patch of {patch_px} px")
    whole = image[: rows * patch_px, : columns * patch_px]
    grid = whole.reshape(rows, patch_px, columns, patch_px, image.shape[2])
    return np.ascontiguousarray(
        grid.transpose(0, 2, 4, 1, 3).reshape(rows * columns, image.shape[2], patch_px, patch_px),
        dtype=np.float32,
    )


def contrasts_of(planes: Planes, patch_px: int) -> FloatArray:
    """The same as `contrast_of` the patches of an image with these planes, in a third of the time; (n,)."""
    return _contrasts_at(planes, _corners(planes[0], patch_px), patch_px)


def _contrasts_at(planes: Planes, corners: Sequence[tuple[int, int]], side_px: int) -> FloatArray:
    red, green, blue = planes
    sums = np.add(red, green, dtype=np.int16)  # an eighth of the time of `cv2.add`
    sums += blue
    parts = (sums[top : top + side_px, left : left + side_px] for top, left in corners)
    return np.array([_mean_and_deviation(part)[1] / 3.0 for part in parts], np.float32)


def contrast_of(patches: FloatArray) -> FloatArray:
    """Standard deviation of the grey values of each patch (n, 3, h, w): the weight of its prediction; (n,)."""
    grey = patches.mean(axis=1)
    deviation: FloatArray = grey.std(axis=(1, 2)).astype(np.float32)
    return deviation
