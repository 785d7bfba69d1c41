"""Islands of a mask: what each of them is made of, and how wide and long it is."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.tissue.glass import FloatArray, Floats

BoolArray = NDArray[np.bool_]


class Islands(msgspec.Struct, frozen=True, eq=False):
    """The connected parts of a mask: `labels` (h, w), 0 outside, and the size of each of the n, 0 included.

    `width_um` is the diameter of the largest circle inside, `length_um` the diagonal of the box around.
    """

    labels: NDArray[np.int32]
    width_um: Floats
    length_um: Floats

    @classmethod
    def of(cls, found: BoolArray, um_per_px: float) -> Islands:
        """The islands of what is `found`, (h, w)."""
        mask = found.astype(np.uint8)
        n_islands, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        islands = np.asarray(labels, np.int32)
        diagonal = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
        diagonal[0] = 0.0
        return cls(islands, width_px(mask, islands, n_islands) * um_per_px, diagonal * um_per_px)

    def sums(self, values: FloatArray | BoolArray) -> Floats:
        """The sum of the values (h, w) in each island, (n,)."""
        summed = np.bincount(self.labels.ravel(), values.ravel(), len(self.width_um))
        return np.asarray(summed, np.float64)

    def share(self, found: BoolArray, among: BoolArray) -> Floats:
        """Which share of `among`, (h, w), is `found` in each island, (n,); 0 where none is."""
        return self.sums(found & among) / np.maximum(self.sums(among), 1.0)

    def where(self, chosen: BoolArray) -> BoolArray:
        """The `chosen` islands, (n,), as a mask (h, w). What lies in none is never chosen."""
        return np.asarray((chosen & (np.arange(len(chosen)) > 0))[self.labels], bool)


def variation(density: FloatArray, side_px: int) -> tuple[FloatArray, FloatArray]:
    """Mean density around each pixel, and by how much the density varies there, as a share of it."""
    mean = cv2.blur(density, (side_px, side_px))
    deviation = np.sqrt(np.maximum(cv2.blur(density**2, (side_px, side_px)) - mean**2, 0.0))
    return np.asarray(mean, np.float32), np.asarray(deviation / np.maximum(mean, 1e-3), np.float32)


def odd(side_px: float) -> int:
    """The odd number of pixels nearest to a side, at least three."""
    return max(3, 2 * round((side_px - 1.0) / 2.0) + 1)


def width_px(found: NDArray[np.uint8], islands: NDArray[np.int32], n_islands: int) -> Floats:
    """The diameter of the largest circle in each island, px, (n_islands,)."""
    width, held = np.zeros(n_islands), found > 0
    inside_px = cv2.distanceTransform(found, cv2.DIST_L2, 5)[held]
    np.maximum.at(width, islands[held], 2.0 * inside_px - 1.0)
    return width
