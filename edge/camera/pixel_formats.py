"""RGB from the pixel formats of GenICam cameras. Pure."""

from __future__ import annotations

import cv2
import numpy as np

from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

# What each format needs to become RGB, the best first. GenICam names a Bayer pattern by its first two pixels, OpenCV by
# two in the middle.
_TO_RGB: dict[str, int | None] = {
    "BayerRG8": cv2.COLOR_BayerBG2RGB,
    "BayerGR8": cv2.COLOR_BayerGB2RGB,
    "BayerGB8": cv2.COLOR_BayerGR2RGB,
    "BayerBG8": cv2.COLOR_BayerRG2RGB,
    "RGB8": None,  # three times the data
    "Mono8": cv2.COLOR_GRAY2RGB,
}
UNDERSTOOD = tuple(_TO_RGB)


def rgb_from_bytes(data: bytes, pixel_format: str, width_px: int, height_px: int) -> UInt8Array:
    """RGB uint8 (h, w, 3) of a frame in one of `UNDERSTOOD`; bytes beyond it are left out. Raises CameraFailed."""
    convert = _TO_RGB[pixel_format]
    shape = (height_px, width_px, 3) if convert is None else (height_px, width_px)
    n_bytes = int(np.prod(shape))
    if len(data) < n_bytes:
        raise CameraFailed(
            f"the camera gave a frame of {len(data)} bytes, not of {n_bytes}. Check the cable."
        )
    raw = np.frombuffer(data, np.uint8, n_bytes).reshape(shape)
    if convert is None:
        return np.array(raw, np.uint8)
    return np.asarray(cv2.cvtColor(raw, convert), np.uint8)
