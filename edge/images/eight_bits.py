"""Pictures of more than 8 bits, as the rest of the instrument sees pictures: 8 bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

Picture = UInt8Array | NDArray[np.uint16]

# Bits that cameras have. A file of 16 bits holds numbers of any of them, and rarely says of which.
CAMERA_BITS = (8, 10, 12, 14, 16)


def in_eight_bits(pictures: Sequence[Picture], told_bits: int = 0) -> tuple[tuple[UInt8Array, ...], int]:
    """Pictures of 8 bits, all by one measure, and how many bits their values were taken to use.

    Black stays black. The bits are those that the file has told, if the values fit, else the fewest that a camera has
    and the brightest value fits: a camera of 12 bits gives none above 4095.
    """
    if all(picture.dtype == np.uint8 for picture in pictures):
        return tuple(picture.astype(np.uint8, copy=False) for picture in pictures), 8
    needed_bits = max(int(picture.max()) for picture in pictures).bit_length()
    bits = told_bits if needed_bits <= told_bits <= 16 and told_bits else _camera_bits(needed_bits)
    return tuple(_scaled(picture, 2**bits - 1) for picture in pictures), bits


def _camera_bits(needed_bits: int) -> int:
    return next(bits for bits in CAMERA_BITS if needed_bits <= bits)


def _scaled(picture: NDArray[Any], full: int) -> UInt8Array:
    """A picture whose values go up to ``full``, as 8 bits."""
    table = np.rint(np.arange(full + 1) * (255.0 / full)).astype(np.uint8)
    result: UInt8Array = table[picture]
    return result
