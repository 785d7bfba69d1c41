"""Which dyes colour a place: the shares of the channels in its optical density, which do not hang on its thickness."""

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.tissue.glass import FloatArray, Floats, mean_of

BoolArray = NDArray[np.bool_]

AROUND_PX = 3
# Hues of tissue are counted in bins of the share; a bin with fewer of its pixels than that is noise.
BIN_SHARE, MIN_IN_BIN = 0.02, 0.002


def hues(density: FloatArray) -> FloatArray:
    """The shares of red and green in the density around each pixel, (h, w, 2), by that of each channel (h, w, 3).

    A dye absorbs the channels in a fixed ratio (Beer-Lambert), so ink has one hue wherever it is thick or thin. A third
    each is grey.
    """
    around = np.asarray(cv2.blur(density, (AROUND_PX, AROUND_PX)), np.float32)
    total = np.maximum(3.0 * mean_of(around), np.float32(1e-3))
    return np.asarray(around[..., :2] / total[..., None], np.float32)


class TissueHues:
    """The hues that the tissue of one slide has: its dyes, and all their mixtures."""

    def __init__(self, seen: FloatArray) -> None:
        """`seen`: hues of tissue, (n, 2)."""
        bins, counts = np.unique(np.floor(seen / BIN_SHARE), axis=0, return_counts=True)
        usual = (bins[counts >= min(MIN_IN_BIN * len(seen), counts.max())] + 0.5) * BIN_SHARE
        self._outline = cv2.convexHull(usual.astype(np.float32))

    def apart(self, hue: Floats) -> float:
        """How far a hue, (2,), lies from all of them; negative inside."""
        red, green = (float(share) for share in hue)
        return -float(cv2.pointPolygonTest(self._outline, (red, green), True))
