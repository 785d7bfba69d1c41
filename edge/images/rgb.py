"""Image files as the rest of the instrument sees images."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from parfocal.edge.images.eight_bits import Picture, in_eight_bits
from parfocal.edge.images.size import size_px_of
from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array

MAX_IMAGE_PX = 50_000_000  # laid as a slide it takes 1.4 GB


def rgb_from_file(path: Path) -> UInt8Array:
    """Read an image file as RGB uint8 (h, w, 3), 16 bits scaled by their range.

    Raises OSError; ValueError where it is no image.
    """
    (pixels,), _ = in_eight_bits([pixels_from_file(path)])
    return pixels


def pixels_from_file(path: Path) -> Picture:
    """Read an image file as RGB (h, w, 3) of the 8 or 16 bits that it has.

    Raises OSError; ValueError where it is no image, or larger than ``MAX_IMAGE_PX``.
    """
    width_px, height_px = size_px_of(path)
    if width_px * height_px > MAX_IMAGE_PX:
        raise ValueError(
            f"{path} is {width_px} x {height_px} px, of more than {MAX_IMAGE_PX // 10**6} million pixels, which take "
            "too much memory"
        )
    data = np.frombuffer(path.read_bytes(), np.uint8)
    with silenced():
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is None:
        raise ValueError(f"{path} is no image that can be read")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path} holds values of type {pixels.dtype}, not of 8 or 16 bits")
    colours: Any = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    result: Picture = colours
    return result
