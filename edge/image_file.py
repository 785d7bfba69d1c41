"""Image files as the rest of the instrument sees images."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.opencv_log import silenced

UInt8Array = NDArray[np.uint8]


def rgb_from_file(path: Path) -> UInt8Array:
    """Read an image file as RGB uint8 (h, w, 3). Raises OSError; ValueError where it is no image."""
    data = np.frombuffer(path.read_bytes(), np.uint8)
    with silenced():
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ValueError(f"{path} is no image that can be read")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
