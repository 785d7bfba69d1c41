"""Blur of a picture by its own measure, which neither the focus model nor the sharpness of a scan has a part in.

Detail of 1 to 2 px and of 2 to 4 px (standard deviations of Gaussians) is compared: defocus takes the finer away
first, while stain, density and light change both alike. Finer detail than that is left out, since it is mostly noise.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import Floats

SCALES_PX = (1.0, 2.0, 4.0)
MIN_DETAIL = 1.0  # grey levels (rms) of the coarser detail: less tells nothing
N_PARTS = 3  # along a side; the median of the parts, so that a fold or a bubble in one does not decide
# A tile is blurred if its fineness lies so many robust standard deviations, and this much, below what is usual. In a
# drawn slide fineness scatters by 0.02, and 1.2 um out of focus costs 0.13 to 0.22 at NA 0.75.
SIGMAS = 4.0
MIN_SIGMA = 0.04
MIN_BELOW = 0.18


def fineness_of(pixels: UInt8Array) -> float | None:
    """Logarithm of finer over coarser detail of a picture, RGB uint8 (h, w, 3); None where it has too little."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    one, two, four = (cv2.GaussianBlur(grey, (0, 0), scale) for scale in SCALES_PX)
    found = [
        np.log(fine / coarse)
        for fine, coarse in zip(_rms_of_parts(one - two), _rms_of_parts(two - four), strict=True)
        if coarse >= MIN_DETAIL
    ]
    return float(np.median(found)) if found else None


def blurred(fineness: Sequence[float | None]) -> list[bool]:
    """Which pictures of one slide are blurred against the others of it."""
    known: Floats = np.array([value for value in fineness if value is not None], np.float64)
    if not len(known):
        return [False] * len(fineness)
    usual = float(np.median(known))
    # Of the sharper half: blurred pictures must not widen what counts as usual.
    above = known[known >= usual] - usual
    sigma = max(1.4826 * float(np.median(above)), MIN_SIGMA)
    limit = usual - max(SIGMAS * sigma, MIN_BELOW)
    return [value is not None and value < limit for value in fineness]


def _rms_of_parts(detail: np.ndarray) -> list[float]:
    return [
        float(np.sqrt(np.mean(part**2)))
        for row in np.array_split(detail, N_PARTS, axis=0)
        for part in np.array_split(row, N_PARTS, axis=1)
    ]
