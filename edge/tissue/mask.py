"""Where tissue lies in an overview picture, whatever its stain; not glass, dust, marks of a pen, or the slide's rim."""

import cv2
import msgspec
import numpy as np

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.ends import density_by_parts
from parfocal.edge.tissue.glass import FloatArray, mean_of, range_of
from parfocal.edge.tissue.ink import MIN_WRITING_SHARE, is_written
from parfocal.edge.tissue.islands import BoolArray, odd, variation, width_px
from parfocal.edge.tissue.mount import without_mount
from parfocal.edge.tissue.pen import pen_marks

MIN_DENSITY = 0.035  # optical density of the palest stain over glass, 8 grey levels
MIN_SIDE_UM = 300.0  # smaller islands are dust
# An island that is hardly anywhere so wide is a line: a fibre, writing, a scratch, the edge of a bubble or of the cover
# glass. Lines that meet are wide only there.
MIN_WIDTH_UM = 300.0
MIN_WIDE_SHARE = 0.2
MIN_AREA_UM = 2000.0  # an island so wide is no line, though sparse cells may be solid nowhere
EDGE_SHARE = 0.3  # of the density nearby: less is the soft edge of something dark
CLOSED_UM = 150.0  # gaps narrower than this belong to the tissue
EDGE_PX = 11
VARIES_UM = 100.0  # over a few cells
# What touches the rim of the picture and is no thicker than this share of it is the edge of the slide or its holder.
RIM_SHARE = 0.06
# What lies along so much of one side of the picture is its label or its frosted end, unless it varies like tissue.
LABEL_SHARE = 0.8
MAX_LABEL_VARIATION = 0.15
MAX_LABEL_REACH = 0.4  # of the picture: as far as that, all on it is left out, such as what is written there
# A mounting medium darkens the glass evenly and without colour. Stains colour it: see `parfocal.edge.tissue.dust`.
MIN_MOUNT_UM, MAX_MOUNT_DENSITY, MAX_MOUNT_VARIATION, MAX_MOUNT_COLOUR, MOUNT_PX = 350.0, 0.12, 0.05, 0.35, 5
# The thin end of a smear is fainter than the palest stain, but of the colour of the rest, and joined to it.
FAINT_DENSITY, FAINT_PX, ALIKE_COLOUR = 0.018, 9, 0.3
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
    of_channels, ends = density_by_parts(small)
    of_channels = without_mount(of_channels, _noise(mean_of(of_channels)), um_per_px * factor)
    density = mean_of(of_channels)
    # The median takes out specks of a pixel or two; the blur makes one island of a pale, grainy section.
    without_specks = cv2.medianBlur(density, 5)
    noise = _noise(density)
    least = max(MIN_DENSITY, 3.0 * noise)
    um_per_px *= factor
    left_out = pen_marks(of_channels, least, noise, um_per_px) | _mount(of_channels, noise, um_per_px)
    blurred = cv2.GaussianBlur(without_specks, (0, 0), BLUR_PX)
    found = (blurred > least) | _faint_ends(blurred > least, of_channels)
    # Without the blur, and without the soft edge that makes a dark line wide.
    dark = cv2.dilate(without_specks, np.ones((EDGE_PX, EDGE_PX), np.uint8))
    solid = without_specks > np.maximum(least, EDGE_SHARE * dark)
    found, solid = (_closed(each & ~left_out, CLOSED_UM / um_per_px) & ~left_out for each in (found, solid))
    written = is_written(of_channels, ends, um_per_px)
    return TissueMask(_islands_of_tissue(found, solid, density, written, um_per_px), factor)


def _noise(density: FloatArray) -> float:
    """The noise of the glass, a standard deviation of optical density."""
    low = density[density <= np.median(density)]
    return 1.4826 * float(np.median(np.abs(low - np.median(low))))


def _closed(found: BoolArray, radius_px: float) -> BoolArray:
    side = 2 * max(1, round(radius_px / 2.0)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel) > 0


def _wide(solid: BoolArray, radius_px: float) -> BoolArray:
    """What lies in circles of that radius inside of `solid`, (h, w)."""
    inside = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5) >= radius_px
    near = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) <= radius_px
    return np.asarray(solid & near & inside.any(), bool)


def _labels(wide: BoolArray, density: FloatArray, um_per_px: float) -> BoolArray:
    """Labels and frosted ends, (h, w), of what is `wide`: a line may join them with tissue."""
    _, varies = variation(density, odd(VARIES_UM / um_per_px))
    n_islands, labels = cv2.connectedComponents(wide.astype(np.uint8))
    islands, is_label = np.asarray(labels, np.int32), np.zeros(n_islands, bool)
    covered = np.zeros(wide.shape, np.uint8)
    for turns in range(4):
        # All are views: the side in question lies on the left.
        seen, part = np.rot90(islands, turns), np.rot90(covered, turns)
        along = np.bincount(seen[:, 1], minlength=n_islands) / len(seen)
        for island in np.flatnonzero(along[1:] > LABEL_SHARE) + 1:
            if float(np.median(varies[islands == island])) < MAX_LABEL_VARIATION:
                is_label[island] = True
                part[:, : _reach_px(seen == island)] = 1
    covered[is_label[islands]] = 1
    return cv2.dilate(covered, np.ones((EDGE_PX, EDGE_PX), np.uint8)) > 0


def _reach_px(label: BoolArray) -> int:
    """How far a label at the left reaches in three quarters of its rows; 0 for a frame all round the slide."""
    width = label.shape[1]
    farthest = np.where(label.any(axis=1), width - np.argmax(label[:, ::-1], axis=1), 0)
    reach_px = int(np.quantile(farthest, 0.25))
    return reach_px if reach_px < MAX_LABEL_REACH * width else 0


def _mount(density: FloatArray, noise: float, um_per_px: float) -> BoolArray:
    """A mounting medium, or another even grey veil over the glass, (h, w), by the density of each channel (h, w, 3).

    In a grey picture nothing is: pale tissue cannot be told from it.
    """
    if float(range_of(density).max()) == 0.0:
        return np.zeros(density.shape[:2], bool)
    around = np.asarray(cv2.blur(density, (MOUNT_PX, MOUNT_PX)), np.float32)
    mean, deviation = variation(mean_of(density), MOUNT_PX)
    is_even = deviation**2 < MAX_MOUNT_VARIATION**2 + (1.5 * noise / np.maximum(mean, 1e-3)) ** 2
    is_grey = range_of(around) < MAX_MOUNT_COLOUR * mean
    veil = (is_even & is_grey & (mean < MAX_MOUNT_DENSITY)).astype(np.uint8)
    # Between grey cells there are even places too, but no wide ones.
    side_px = odd(MIN_MOUNT_UM / um_per_px)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side_px, side_px))
    return cv2.morphologyEx(veil, cv2.MORPH_OPEN, kernel) > 0


def _faint_ends(certain: BoolArray, density: FloatArray) -> BoolArray:
    """Faint parts that go on from what is `certain` in its colour, (h, w): the thin end of a smear.

    `density`: of each channel, (h, w, 3). Without colour they cannot be told from uneven light.
    """
    around = np.asarray(cv2.blur(density, (FAINT_PX, FAINT_PX)), np.float32)
    mean = mean_of(around)
    ratio = around / np.maximum(mean, 1e-3)[..., None]
    inner = cv2.erode(certain.astype(np.uint8), np.ones((FAINT_PX, FAINT_PX), np.uint8)) > 0
    if not inner.any():
        return np.zeros(certain.shape, bool)
    colours = np.median(ratio[inner], axis=0)
    is_coloured = float(np.ptp(colours)) > MAX_MOUNT_COLOUR
    alike = np.logical_and.reduce([np.abs(ratio[..., k] - colours[k]) < ALIKE_COLOUR for k in range(3)])
    faint = (mean > FAINT_DENSITY) & alike & (mean < 2.0 * MIN_DENSITY)
    if not is_coloured:
        return np.zeros(certain.shape, bool)
    faint = (
        cv2.morphologyEx(faint.astype(np.uint8), cv2.MORPH_OPEN, np.ones((FAINT_PX, FAINT_PX), np.uint8)) > 0
    )
    _, labels = cv2.connectedComponents((faint | certain).astype(np.uint8))
    touched = np.unique(labels[inner])
    return np.asarray(faint & np.isin(labels, touched[touched > 0]), bool)


def _islands_of_tissue(
    found: BoolArray, solid: BoolArray, density: FloatArray, written: BoolArray, um_per_px: float
) -> BoolArray:
    """Leave out islands that are small, lines, writing, and what lies along the rim of the picture.

    `solid`: the same without the blur that makes a line wide.
    """
    wide = _wide(solid, MIN_WIDTH_UM / 2.0 / um_per_px)
    found = found & ~_labels(wide, density, um_per_px)
    n_islands, labels, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    islands = np.asarray(labels, np.int32)
    height, width = found.shape
    rim_px = max(2, round(RIM_SHARE * min(height, width)))
    inner = np.zeros(found.shape, bool)
    inner[rim_px:-rim_px, rim_px:-rim_px] = True
    inside = np.bincount(islands.ravel(), inner.ravel(), n_islands)
    area = stats[:, cv2.CC_STAT_AREA]
    kept = (area >= (MIN_SIDE_UM / um_per_px) ** 2) & (inside > 0.3 * area)
    of_solid, of_wide = (np.bincount(islands.ravel(), weight.ravel(), n_islands) for weight in (solid, wide))
    is_area = width_px(found.astype(np.uint8), islands, n_islands) * um_per_px > MIN_AREA_UM
    kept &= (of_wide > MIN_WIDE_SHARE * of_solid) | is_area
    kept &= np.bincount(islands.ravel(), written.ravel(), n_islands) < MIN_WRITING_SHARE * area
    kept[0] = False
    return np.asarray(kept[islands], bool)
