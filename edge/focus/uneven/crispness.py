"""How differently sharp the parts of one picture are. Pure functions.

Blur takes fine detail and leaves coarse detail, so the ratio of the two says how sharp a cell is, whatever it holds. In
an even field it varies with the content, by the same amount in every field of one stain. Where a field has no single
focus it varies by more.
"""

from __future__ import annotations

import cv2
import numpy as np

from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian
from parfocal.edge.focus.uneven.height_map import CELL_PX, FloatArray, cell_means
from parfocal.edge.pixels import UInt8Array

COARSER = 4  # what blur of a few um does not reach
MIN_CELLS = 16
SPREAD_PERCENTILES = (5.0, 95.0)  # a few cells with dust or an edge do not count


def crispness_spread(pixels: UInt8Array, min_contrast: float) -> float | None:
    """How far the crispness of the cells of a picture, RGB uint8 (h, w, 3), lies apart, as a natural logarithm.

    Cells of `CELL_PX` are smoothed by a median of three by three. Those with a contrast below `min_contrast`, grey
    levels, and those beside them do not count. None if fewer than `MIN_CELLS` are left.
    """
    grey, side_px = halved_grey(pixels), CELL_PX // 2
    if (grey.shape[0] // side_px) * (grey.shape[1] // side_px) < MIN_CELLS:
        return None
    coarse = cv2.resize(
        grey, (grey.shape[1] // COARSER, grey.shape[0] // COARSER), interpolation=cv2.INTER_AREA
    )
    fine_energy = cell_means(np.square(laplacian(grey)), side_px)
    coarse_energy = cell_means(
        np.square(laplacian(coarse.astype(np.float32, copy=False))), side_px // COARSER
    )
    variance = cell_means(np.square(grey), side_px) - np.square(cell_means(grey, side_px))
    rows, columns = (min(a, b) for a, b in zip(fine_energy.shape, coarse_energy.shape, strict=True))
    part = np.s_[:rows, :columns]
    crispness = np.log(np.maximum(fine_energy[part], 1e-6) / np.maximum(coarse_energy[part], 1.0))
    # The edge of the tissue has no fine detail, so cells beside empty ones do not count either.
    held = cv2.erode((variance[part] >= min_contrast**2).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    smooth = _median_of_neighbours(np.where(held, crispness, np.nan))
    known = smooth[np.isfinite(smooth)]
    if len(known) < MIN_CELLS:
        return None
    low, high = np.percentile(known, SPREAD_PERCENTILES)
    return float(high - low)


def _median_of_neighbours(values: FloatArray) -> FloatArray:
    """The median of each value and its eight neighbours, (rows, columns), NaN left out; NaN where the value is NaN."""
    padded = np.pad(values, 1, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*values.shape, 9)
    held = np.isfinite(values)
    medians = np.full(values.shape, np.nan)
    if held.any():
        medians[held] = np.nanmedian(around[held], axis=-1)
    return medians
