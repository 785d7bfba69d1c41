"""How sharp the parts of one picture are, and how differently. Pure functions.

Blur takes fine detail and leaves coarse detail, so the ratio of the two says how sharp a cell is, whatever it holds.
Its middle over the cells says how sharp a field is: an edge of the tissue, an empty part or a grain of dust fill few
cells, while in a ratio over the whole picture one long edge outweighs the detail of the tissue. In an even field the
ratio varies with the content, by the same amount in every field of one stain. Where a field has no single focus it
varies by more.
"""

from __future__ import annotations

import cv2
import msgspec
import numpy as np

from parfocal.edge.focus.picture.cells import CELL_PX, cell_means
from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian, laplacian_variance
from parfocal.edge.focus.uneven.height_map import FloatArray
from parfocal.edge.pixels import UInt8Array

COARSER = 4  # what blur of a few um does not reach
MIN_CELLS = 16
# Where coarse detail is strong, as at the rim of a nucleus, the fine beside it is less than in proportion. On 284 even
# and 408 uneven pictures of six stains this power of the coarse energy leaves the least that depends on the content.
COARSE_POWER = 0.85
CLIPPED_PERCENTILES = (2.0, 98.0)  # a cell or two with dust or an edge count no more than these
# The spread is given as the way from the 5th to the 95th percentile of a normal distribution, which the deviation of
# all cells tells better than those two percentiles of a few hundred.
DEVIATIONS = 3.29


class Crispness(msgspec.Struct, frozen=True):
    """Fine detail over coarse detail in the cells of a picture.

    `middle`: the median over the cells; None where too few hold anything. `spread`: how far nine tenths of them lie
    apart, as a natural logarithm; None where too few lie inside the tissue.
    """

    middle: float | None
    spread: float | None


def crispness_of(pixels: UInt8Array, min_contrast: float) -> Crispness:
    """The crispness of a picture, RGB uint8 (h, w, 3), cell by cell.

    Cells of `CELL_PX` with a contrast below `min_contrast`, grey levels, do not count. Nor do those beside them, unless
    fewer than `MIN_CELLS` are left; then there is no spread. For the spread, cells are smoothed by a median of three by
    three. A picture of fewer cells than `MIN_CELLS` is one cell.
    """
    grey, side_px = halved_grey(pixels), CELL_PX // 2
    coarse = cv2.resize(
        grey, (grey.shape[1] // COARSER, grey.shape[0] // COARSER), interpolation=cv2.INTER_AREA
    ).astype(np.float32, copy=False)
    if (grey.shape[0] // side_px) * (grey.shape[1] // side_px) < MIN_CELLS:
        return Crispness(laplacian_variance(grey) / max(laplacian_variance(coarse), 1.0), None)
    fine_energy = cell_means(np.square(laplacian(grey)), side_px)
    coarse_energy = cell_means(np.square(laplacian(coarse)), side_px // COARSER)
    variance = cell_means(np.square(grey), side_px) - np.square(cell_means(grey, side_px))
    rows, columns = (min(a, b) for a, b in zip(fine_energy.shape, coarse_energy.shape, strict=True))
    part = np.s_[:rows, :columns]
    fine, coarser = np.log(np.maximum(fine_energy[part], 1e-6)), np.log(np.maximum(coarse_energy[part], 1.0))
    crispness = fine - coarser
    held = (variance[part] >= min_contrast**2).astype(np.uint8)
    # The edge of the tissue has no fine detail, so cells beside empty ones do not count either.
    inside = cv2.erode(held, np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(inside) < MIN_CELLS:
        sparse = crispness[held > 0]
        return Crispness(float(np.exp(np.median(sparse))) if len(sparse) >= MIN_CELLS else None, None)
    smooth = _median_of_neighbours(np.where(inside, fine - COARSE_POWER * coarser, np.nan))[inside]
    spread = DEVIATIONS * float(np.clip(smooth, *np.percentile(smooth, CLIPPED_PERCENTILES)).std())
    return Crispness(float(np.exp(np.median(crispness[inside]))), spread)


def _median_of_neighbours(values: FloatArray) -> FloatArray:
    """The median of each value and its eight neighbours, (rows, columns), NaN left out; NaN where the value is NaN."""
    padded = np.pad(values, 1, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*values.shape, 9)
    held = np.isfinite(values)
    medians = np.full(values.shape, np.nan)
    if held.any():
        medians[held] = np.nanmedian(around[held], axis=-1)
    return medians
