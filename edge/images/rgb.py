"""Reads image files as RGB."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from parfocal.edge.images.eight_bits import RawPixels, in_eight_bits
from parfocal.edge.images.size import size_px_of
from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array

MAX_IMAGE_PX = 50_000_000  # as a virtual slide it takes 1.4 GB of memory


def rgb_from_file(path: Path) -> UInt8Array:
    """Read an image file as RGB uint8 (h, w, 3); 16-bit values are scaled to 8 bits.

    Raises OSError; ValueError where the file is not an image that can be read.
    """
    (pixels,), _ = in_eight_bits([pixels_from_file(path)])
    return pixels


def pixels_from_file(path: Path) -> RawPixels:
    """Read an image file as RGB (h, w, 3) in the 8 or 16 bits that it has.

    Raises OSError; ValueError where it is not an image that can be read, or has more than `MAX_IMAGE_PX` pixels.
    """
    width_px, height_px = size_px_of(path)
    if width_px * height_px > MAX_IMAGE_PX:
        raise ValueError(
            f"{path} is {width_px} x {height_px} px, which takes too much memory: the limit is "
            f"{MAX_IMAGE_PX // 10**6} million pixels"
        )
    data = np.frombuffer(path.read_bytes(), np.uint8)
    with silenced():
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise ValueError(f"{path} is not an image that can be read")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} has values of type {pixels.dtype}, not of 8 or 16 bits")
    colours: Any = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    result: RawPixels = colours
    return result
