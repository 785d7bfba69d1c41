"""What a camera or a lamp does to pictures that ruins an estimate: told from the pictures themselves. Pure functions.

Two shots of a pair show the same place a little apart in height. So their light is the same within what defocus
explains, and so is the direction of their detail.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.pixels import UInt8Array

# Two um of defocus change the mean of dense tissue by 1.7 % at most (measured on six slides); a gain that differs by a
# few per cent hides the difference that the model reads.
MAX_LIGHT_CHANGE = 0.03
# The logarithm of the ratio of detail along X to detail along Y changes by less than 0.1 over 2 um of defocus, and by
# 0.25 to 0.6 where a sharp picture is smeared over 3 um.
MAX_SMEAR = 0.2


def is_frozen(before: UInt8Array, now: UInt8Array) -> bool:
    """Whether two pictures are the same in every pixel. The noise of a camera that works makes each one different."""
    few = slice(None, None, 128)  # rows, nearly always enough to tell them apart
    return before is now or (np.array_equal(before[few], now[few]) and np.array_equal(before, now))


def doubt_about_pair(first: CentralPart, second: CentralPart) -> str | None:
    """What is wrong between the two shots of a pair, and what to check; None if nothing is."""
    change = second.mean_level / max(first.mean_level, 1.0) - 1.0
    if abs(change) > MAX_LIGHT_CHANGE:
        return (
            f"the light flickers: it changed by {100.0 * abs(change):.0f} % between two shots; check the lamp, and "
            "lock exposure, gain and white balance of the camera"
        )
    smear = detail_ratio(second.halved_grey) - detail_ratio(first.halved_grey)
    if abs(smear) > MAX_SMEAR:
        return (
            "a shot is smeared by motion: its detail is lost along one direction; let the stage settle longer "
            "(`parfocal calibrate stage`), or keep vibration away from it"
        )
    return None


def detail_ratio(grey: NDArray[np.float32]) -> float:
    """Logarithm of the detail along X over that along Y, of grey values (h, w); 0 if they have none."""
    along_x, along_y = (
        cv2.norm(one, other, cv2.NORM_L2SQR) / one.size
        for one, other in ((grey[:, 1:], grey[:, :-1]), (grey[1:], grey[:-1]))
    )
    return math.log(along_x / along_y) if along_x > 0.0 and along_y > 0.0 else 0.0
