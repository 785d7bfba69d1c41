"""What a camera or a lamp does to pictures that ruins an estimate: told from the pictures themselves. Pure functions.

Two shots of a pair show the same place a little apart in height. So their light is the same within what defocus
explains, and so is the direction of their detail.
"""

import math

import cv2
import numpy as np

from parfocal.edge.focus.part import CentralPart
from parfocal.edge.pixels import UInt8Array

# Two um of defocus change the mean of dense tissue by 1.7 % at most (measured on six slides); a gain that differs by a
# few per cent hides the difference that the model reads.
MAX_LIGHT_CHANGE = 0.03
# The logarithm of the ratio of detail along X to detail along Y changes by less than 0.1 over 2 um of defocus, and by
# 0.25 to 0.6 where a sharp picture is smeared over 3 um.
MAX_SMEAR = 0.2


def is_frozen(before: UInt8Array, now: UInt8Array) -> bool:
    """Whether two pictures are the same in every pixel. The noise of a camera that works makes each one different."""
    few = (slice(None, None, 16), slice(None, None, 16))  # nearly always enough to tell them apart
    return before is now or (np.array_equal(before[few], now[few]) and np.array_equal(before, now))


def doubt_about_pair(first: CentralPart, second: CentralPart) -> str | None:
    """What is wrong between the two shots of a pair, and what to check; None if nothing is."""
    change = float(second.pixels.mean()) / max(float(first.pixels.mean()), 1.0) - 1.0
    if abs(change) > MAX_LIGHT_CHANGE:
        return (
            f"the light flickers: it changed by {100.0 * abs(change):.0f} % between two shots; check the lamp, and "
            "lock exposure, gain and white balance of the camera"
        )
    smear = detail_ratio(second.pixels) - detail_ratio(first.pixels)
    if abs(smear) > MAX_SMEAR:
        return (
            "a shot is smeared by motion: its detail is lost along one direction; let the stage settle longer "
            "(`parfocal calibrate stage`), or keep vibration away from it"
        )
    return None


def detail_ratio(pixels: UInt8Array) -> float:
    """Logarithm of the detail along X over that along Y, of an image (h, w, 3); 0 if it has none."""
    size_px = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    small = cv2.resize(pixels, size_px, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.8)
    along_x, along_y = (float(np.square(np.diff(grey, axis=axis)).mean()) for axis in (1, 0))
    return math.log(along_x / along_y) if along_x > 0.0 and along_y > 0.0 else 0.0
