"""Pixels of 8 or 16 bits from a file, scaled to the 8 bits that the instrument works with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

RawPixels = UInt8Array | NDArray[np.uint16]

# Bit depths of cameras. A 16-bit file may hold values of any of them, and rarely says which.
CAMERA_BITS = (8, 10, 12, 14, 16)


def in_eight_bits(
    images: Sequence[RawPixels], significant_bits: int = 0
) -> tuple[tuple[UInt8Array, ...], int]:
    """Scale images to 8 bits, all by the same factor. Returns them and the bit depth that their values were read as.

    Black stays black. The bit depth is `significant_bits` (0: unknown) if every value fits into it, else the smallest
    of a camera that the brightest value fits: a 12-bit camera gives no value above 4095.
    """
    if all(image.dtype == np.uint8 for image in images):
        return tuple(image.astype(np.uint8, copy=False) for image in images), 8
    needed_bits = max(int(image.max()) for image in images).bit_length()
    fits = 0 < significant_bits <= 16 and needed_bits <= significant_bits
    bits = significant_bits if fits else _camera_bits(needed_bits)
    return tuple(_scaled(image, 2**bits - 1) for image in images), bits


def _camera_bits(needed_bits: int) -> int:
    return next(bits for bits in CAMERA_BITS if needed_bits <= bits)


def _scaled(image: NDArray[Any], full_scale: int) -> UInt8Array:
    """An image in 8 bits, `full_scale` becoming 255."""
    table = np.rint(np.arange(full_scale + 1) * (255.0 / full_scale)).astype(np.uint8)
    result: UInt8Array = table[image]
    return result
