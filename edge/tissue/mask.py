"""Where tissue lies in an overview picture, whatever its stain; not glass, dust, marks of a pen, or the slide's rim."""

import itertools

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

MIN_DENSITY = 0.035  # optical density of the palest stain over glass, 8 grey levels
MIN_SIDE_UM = 300.0  # smaller islands are dust
# An island that is hardly anywhere so wide is a line: a fibre, writing, a scratch, the edge of a bubble or of the cover
# glass. Lines that meet are wide only there.
MIN_WIDTH_UM = 300.0
MIN_WIDE_SHARE = 0.2
EDGE_SHARE = 0.3  # of the density nearby: less is the soft edge of something dark
CLOSED_UM = 150.0  # gaps narrower than this belong to the tissue
# A pen draws one colour: within `VARIES_UM` its density varies little. The evenest tissue, lymphoid, varies by 6 % and
# more. A smear may be as even as ink, but no pen is as wide.
MAX_PEN_VARIATION = 0.05
MIN_PEN_SHARE = 0.5
VARIES_UM = 100.0  # over a few cells
EDGE_PX = 11
MIN_PEN_DENSITY = 0.25
MAX_PEN_UM = 4000.0
MIN_STROKE_UM = 2000.0
# What touches the rim of the picture and is no thicker than this share of it is the edge of the slide or its holder.
RIM_SHARE = 0.06
# What lies along so much of one side of the picture is its label or its frosted end, unless it varies like tissue.
LABEL_SHARE = 0.8
MAX_LABEL_VARIATION = 0.15
ROUNDS = 30
LIGHT_TILES = (
    12  # a side: the light of an overview falls off towards its corners, in log about as a quadratic
)
GLASS_VARIES = 0.02  # and differs from that by so much, optical density
BLUR_PX = 1.5
LEAST_PX = 8  # a side: in less nothing can be told
WORKING_PX = 1500  # longer pictures are made smaller: tissue is found at 50 um as well as at 5


class TissueMask(msgspec.Struct, frozen=True, eq=False):
    """Pixels with tissue (h, w), and the size of a pixel of the mask in pixels of the picture."""

    mask: BoolArray
    factor: float


def tissue_mask(pixels: UInt8Array, um_per_px: float) -> TissueMask:
    """Find tissue in an overview, RGB uint8 (h, w, 3), of `um_per_px` on the slide."""
    factor = max(1.0, max(pixels.shape[:2]) / WORKING_PX)
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    if min(size) < LEAST_PX:
        return TissueMask(np.zeros(size[::-1], bool), factor)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    density = density_over_glass(small).mean(axis=2)
    # The median takes out specks of a pixel or two; the blur makes one island of a pale, grainy section.
    without_specks = cv2.medianBlur(density, 5)
    least = max(MIN_DENSITY, _noise(density))
    found = cv2.GaussianBlur(without_specks, (0, 0), BLUR_PX) > least
    pen = _pen(density, um_per_px * factor)
    um_per_px *= factor
    # Without the blur, and without the soft edge that makes a dark line wide.
    dark = cv2.dilate(without_specks, np.ones((EDGE_PX, EDGE_PX), np.uint8))
    solid = without_specks > np.maximum(least, EDGE_SHARE * dark)
    found, solid = (_closed(each & ~pen, CLOSED_UM / um_per_px) & ~pen for each in (found, solid))
    return TissueMask(_without_dust_and_rim(found, solid, density, um_per_px), factor)


def density_over_glass(pixels: UInt8Array) -> FloatArray:
    """Optical density of each channel over the glass, (h, w, 3).

    The glass is the brightest tenth of each part of the picture, where these lie on one smooth light.
    """
    height, width = pixels.shape[:2]
    n = min(LIGHT_TILES, height, width)
    rows, columns = (np.linspace(0, side, n + 1).astype(int) for side in (height, width))
    brightest = [
        np.percentile(pixels[top:bottom, left:right].reshape(-1, 3), 90, axis=0)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    seen = np.log(np.array(brightest) + 1.0)
    smooth = _smooth_light(seen, n)
    glass = np.where(np.abs(seen - smooth) <= GLASS_VARIES, seen, smooth)
    light = cv2.resize(
        glass.reshape(n, n, 3).astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    return np.asarray(np.clip(light - np.log(pixels.astype(np.float32) + 1.0), 0.0, 2.5), np.float32)


def _smooth_light(seen: Floats, n: int) -> Floats:
    """The logarithm of the light, a quadratic along the upper edge of what was `seen` in n x n parts, (n * n, 3)."""
    at = np.linspace(-1.0, 1.0, n)
    y, x = (side.ravel() for side in np.meshgrid(at, at, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    fitted = np.broadcast_to(np.quantile(seen, 0.9, axis=0), seen.shape)
    for _ in range(ROUNDS):
        below = np.maximum((fitted - seen).mean(axis=1), 0.0)
        # Parts without glass lie below: the farther, the less they count.
        weights = 1.0 / (1.0 + (below / GLASS_VARIES) ** 2)
        solved, *_ = np.linalg.lstsq(terms * weights[:, None], seen * weights[:, None], rcond=None)
        fitted = terms @ solved
    return np.asarray(fitted, np.float64)


def _noise(density: FloatArray) -> float:
    """Three times the noise of the glass, as optical density."""
    low = density[density <= np.median(density)]
    return 3.0 * 1.4826 * float(np.median(np.abs(low - np.median(low))))


def _variation(density: FloatArray, side_px: int) -> tuple[FloatArray, FloatArray]:
    """Mean density around each pixel, and by how much the density varies there, as a share of it."""
    mean = cv2.blur(density, (side_px, side_px))
    deviation = np.sqrt(np.maximum(cv2.blur(density**2, (side_px, side_px)) - mean**2, 0.0))
    return np.asarray(mean, np.float32), np.asarray(deviation / np.maximum(mean, 1e-3), np.float32)


def _pen(density: FloatArray, um_per_px: float) -> BoolArray:
    """Marks of a pen, (h, w), with their soft edge: islands that are strong, even nearly all over, and not wide."""
    side_px = _odd(VARIES_UM / um_per_px)
    mean, variation = _variation(density, side_px)
    even = (mean > MIN_PEN_DENSITY) & (variation < MAX_PEN_VARIATION)
    dense = (density > MIN_PEN_DENSITY / 2.0).astype(np.uint8)
    n_islands, labels = cv2.connectedComponents(dense)
    islands = np.asarray(labels, np.int32)
    # Not its edge, where density falls off.
    inner = cv2.erode(dense, np.ones((side_px + 2, side_px + 2), np.uint8))
    size, evenly = (
        np.bincount(islands.ravel(), weight.ravel(), n_islands) for weight in (inner, even & (inner > 0))
    )
    is_pen = (evenly > MIN_PEN_SHARE * np.maximum(size, 1)) & (
        _width_px(dense, islands, n_islands) * um_per_px < MAX_PEN_UM
    )
    is_pen[0] = False
    pen = is_pen[islands] | _strokes(even, um_per_px)
    return cv2.dilate(pen.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0


def _strokes(even: BoolArray, um_per_px: float) -> BoolArray:
    """Strokes of a pen that touch or cross something else, (h, w): long even parts. Those of tissue are small."""
    n_islands, labels, stats, _ = cv2.connectedComponentsWithStats(even.astype(np.uint8))
    islands = np.asarray(labels, np.int32)
    width_um = _width_px(even.astype(np.uint8), islands, n_islands) * um_per_px
    length_um = um_per_px * np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    is_stroke = (length_um > MIN_STROKE_UM) & (width_um < MAX_PEN_UM)
    is_stroke[0] = False
    return np.asarray(is_stroke[islands], bool)


def _odd(side_px: float) -> int:
    """The odd number of pixels nearest to a side, at least three."""
    return max(3, 2 * round((side_px - 1.0) / 2.0) + 1)


def _closed(found: BoolArray, radius_px: float) -> BoolArray:
    side = 2 * max(1, round(radius_px / 2.0)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel) > 0


def _width_px(found: NDArray[np.uint8], islands: NDArray[np.int32], n_islands: int) -> Floats:
    """The diameter of the largest circle in each island, px, (n_islands,)."""
    width, held = np.zeros(n_islands), found > 0
    inside_px = cv2.distanceTransform(found, cv2.DIST_L2, 5)[held]
    np.maximum.at(width, islands[held], 2.0 * inside_px - 1.0)
    return width


def _wide(solid: BoolArray, radius_px: float) -> BoolArray:
    """What lies in circles of that radius inside of `solid`, (h, w)."""
    inside = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5) >= radius_px
    near = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) <= radius_px
    return np.asarray(solid & near & inside.any(), bool)


def _labels(wide: BoolArray, density: FloatArray, um_per_px: float) -> BoolArray:
    """Labels and frosted ends, (h, w), of what is `wide`: a line may join them with tissue."""
    _, variation = _variation(density, _odd(VARIES_UM / um_per_px))
    n_islands, labels = cv2.connectedComponents(wide.astype(np.uint8))
    islands, is_label = np.asarray(labels, np.int32), np.zeros(n_islands, bool)
    for side in (islands[1], islands[-2], islands[:, 1], islands[:, -2]):
        along = np.bincount(side, minlength=n_islands) / len(side)
        for island in np.flatnonzero(along[1:] > LABEL_SHARE) + 1:
            is_label[island] |= float(np.median(variation[islands == island])) < MAX_LABEL_VARIATION
    return cv2.dilate(is_label[islands].astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0


def _without_dust_and_rim(
    found: BoolArray, solid: BoolArray, density: FloatArray, um_per_px: float
) -> BoolArray:
    """Leave out islands that are small, lines, and what lies along the rim of the picture.

    `solid`: the same without the blur that makes a line wide.
    """
    wide = _wide(solid, MIN_WIDTH_UM / 2.0 / um_per_px)
    found = found & ~_labels(wide, density, um_per_px)
    n_islands, islands, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    height, width = found.shape
    rim_px = max(2, round(RIM_SHARE * min(height, width)))
    inner = np.zeros(found.shape, bool)
    inner[rim_px:-rim_px, rim_px:-rim_px] = True
    inside = np.bincount(islands.ravel(), inner.ravel(), n_islands)
    area = stats[:, cv2.CC_STAT_AREA]
    kept = (area >= (MIN_SIDE_UM / um_per_px) ** 2) & (inside > 0.3 * area)
    of_solid, of_wide = (np.bincount(islands.ravel(), weight.ravel(), n_islands) for weight in (solid, wide))
    kept &= of_wide > MIN_WIDE_SHARE * of_solid
    kept[0] = False
    return np.asarray(kept[islands], bool)
