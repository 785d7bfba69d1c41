"""What a printer left on a slide, or what looks as print does: dark writing, on a label in any colour."""

import cv2
import numpy as np

from parfocal.edge.tissue.glass import FloatArray, mean_of, range_of
from parfocal.edge.tissue.islands import BoolArray, odd

# Writing and bar codes, looked at with 50 um per px: dark, grey, and everywhere near paper. Stains are coloured, tissue
# is paler at this scale, and a dark section is not next to glass all over.
WRITING_UM_PER_PX, MIN_BLACK_DENSITY, MAX_BLACK_COLOUR = 50.0, 1.0, 0.35
MIN_LABEL_DENSITY = 0.25  # of strokes on a label
PAPER_WITHIN_UM, PAPER_SHARE, MIN_WRITING_SHARE = 400.0, 0.25, 0.6


def is_written(density: FloatArray, label: BoolArray, um_per_px: float) -> BoolArray:
    """Where dark strokes alternate with paper, (h, w). `density`: of each channel, (h, w, 3).

    On what is surely a `label`, (h, w), they may have any colour.

    Whole islands of tissue are never so: `MIN_WRITING_SHARE` of an island must be. Without colour nothing is.
    """
    height, width = density.shape[:2]
    factor = max(1.0, WRITING_UM_PER_PX / um_per_px)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    small = np.asarray(cv2.resize(density, size, interpolation=cv2.INTER_AREA), np.float32)
    mean = mean_of(small)
    if float(range_of(density).max()) == 0.0:
        return np.zeros((height, width), bool)
    # At the darkest pixel nearby: its colour counts, since the edge of a stroke is paper in part.
    side = odd(2.0 * PAPER_WITHIN_UM / (um_per_px * factor))
    around = np.ones((side, side), np.uint8)
    darkest, palest = cv2.dilate(mean, around), cv2.erode(mean, around)
    on_label = cv2.resize(label.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    black = (mean > MIN_BLACK_DENSITY) & (range_of(small) < MAX_BLACK_COLOUR * mean)
    near_black = (cv2.dilate(black.astype(np.uint8), around) > 0) & (darkest > MIN_BLACK_DENSITY)
    written = (near_black | (on_label & (darkest > MIN_LABEL_DENSITY))) & (palest < PAPER_SHARE * darkest)
    return cv2.resize(written.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
