"""What a pen or a printer left on a slide: even marks, strokes that cross tissue, pale dots, and dark writing."""

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.tissue.glass import FloatArray, Floats, mean_of, range_of

BoolArray = NDArray[np.bool_]

# A pen draws one colour: within `VARIES_UM` its density varies little. The evenest tissue, lymphoid, varies by 6 % and
# more. A smear may be as even as ink, but no pen is as wide.
MAX_PEN_VARIATION = 0.05
MIN_PEN_SHARE = 0.5
VARIES_UM = 100.0  # over a few cells
EDGE_PX = 11
MIN_PEN_DENSITY = 0.25
MAX_PEN_UM = 4000.0
MIN_STROKE_UM = 2000.0
# Writing and bar codes, looked at with 50 um per px: dark, grey, and everywhere near paper. Stains are coloured, tissue
# is paler at this scale, and a dark section is not next to glass all over.
WRITING_UM_PER_PX, MIN_BLACK_DENSITY, MAX_BLACK_COLOUR = 50.0, 1.0, 0.35
PAPER_WITHIN_UM, PAPER_SHARE, MIN_WRITING_SHARE = 400.0, 0.25, 0.6


def pen_marks(density: FloatArray, um_per_px: float) -> BoolArray:
    """Marks of a pen, (h, w), with their soft edge: islands that are strong, even nearly all over, and not wide.

    `density`: mean of the channels, (h, w).
    """
    side_px = odd(VARIES_UM / um_per_px)
    mean, deviation = variation(density, side_px)
    even = (mean > MIN_PEN_DENSITY) & (deviation < MAX_PEN_VARIATION)
    dense = (density > MIN_PEN_DENSITY / 2.0).astype(np.uint8)
    pen = _even_islands(dense, even, side_px, um_per_px) | _strokes(even, um_per_px)
    return cv2.dilate(pen.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0


def _even_islands(dense: NDArray[np.uint8], even: BoolArray, side_px: int, um_per_px: float) -> BoolArray:
    """Islands of what is `dense` that are `even` nearly all over and narrower than a pen is wide, (h, w)."""
    n_islands, labels = cv2.connectedComponents(dense)
    islands = np.asarray(labels, np.int32)
    # Not its edge, where density falls off.
    inner = cv2.erode(dense, np.ones((side_px + 2, side_px + 2), np.uint8))
    size, evenly = (
        np.bincount(islands.ravel(), weight.ravel(), n_islands) for weight in (inner, even & (inner > 0))
    )
    is_pen = (evenly > MIN_PEN_SHARE * np.maximum(size, 1)) & (
        width_px(dense, islands, n_islands) * um_per_px < MAX_PEN_UM
    )
    is_pen[0] = False
    return np.asarray(is_pen[islands], bool)


def _strokes(even: BoolArray, um_per_px: float) -> BoolArray:
    """Strokes of a pen that touch or cross something else, (h, w): long even parts. Those of tissue are small."""
    n_islands, labels, stats, _ = cv2.connectedComponentsWithStats(even.astype(np.uint8))
    islands = np.asarray(labels, np.int32)
    width_um = width_px(even.astype(np.uint8), islands, n_islands) * um_per_px
    length_um = um_per_px * np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    is_stroke = (length_um > MIN_STROKE_UM) & (width_um < MAX_PEN_UM)
    is_stroke[0] = False
    return np.asarray(is_stroke[islands], bool)


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
    written = (near_black | (on_label & (darkest > MIN_PEN_DENSITY))) & (palest < PAPER_SHARE * darkest)
    return cv2.resize(written.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


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
