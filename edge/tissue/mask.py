"""Where tissue lies in an overview picture, whatever its stain; not glass, dust, marks of a pen, or the slide's rim."""

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]

MIN_DENSITY = 0.035  # optical density of the palest stain over glass, 8 grey levels
MIN_SIDE_UM = 300.0  # smaller islands are dust
CLOSED_UM = 150.0  # gaps narrower than this belong to the tissue
# A pen draws one colour: its density varies little from pixel to pixel. Tissue varies by a fifth and more.
MAX_PEN_VARIATION = 0.08
MIN_PEN_SHARE = 0.4
PEN_EDGE_PX = 11
MIN_PEN_DENSITY = 0.25
# What touches the rim of the picture and is no thicker than this share of it is the edge of the slide or its holder.
RIM_SHARE = 0.06
BACKGROUND_TILES = 8  # a side: the light of an overview falls off towards its corners
BLUR_PX = 1.5
WORKING_PX = 1500  # longer pictures are made smaller: tissue is found at 50 um as well as at 5


class TissueMask(msgspec.Struct, frozen=True, eq=False):
    """Pixels with tissue (h, w), and the size of a pixel of the mask in pixels of the picture."""

    mask: BoolArray
    factor: float


def tissue_mask(pixels: UInt8Array, um_per_px: float) -> TissueMask:
    """Find tissue in an overview, RGB uint8 (h, w, 3), of `um_per_px` on the slide."""
    factor = max(1.0, max(pixels.shape[:2]) / WORKING_PX)
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    density = _density(small)
    # The median takes out specks of a pixel or two; the blur makes one island of a pale, grainy section.
    without_specks = cv2.medianBlur(density, 5)
    found = cv2.GaussianBlur(without_specks, (0, 0), BLUR_PX) > max(MIN_DENSITY, _noise(density))
    pen = _pen(density)
    found = _closed(found & ~pen, CLOSED_UM / (um_per_px * factor)) & ~pen
    return TissueMask(_without_dust_and_rim(found, um_per_px * factor), factor)


def _density(pixels: UInt8Array) -> FloatArray:
    """Mean optical density over the glass, (h, w); the glass is the brightest tenth of each part of the picture."""
    height, width = pixels.shape[:2]
    background = np.empty((BACKGROUND_TILES, BACKGROUND_TILES, 3), np.float32)
    rows, columns = (np.linspace(0, side, BACKGROUND_TILES + 1).astype(int) for side in (height, width))
    whole = np.percentile(pixels.reshape(-1, 3), 90, axis=0)
    for i in range(BACKGROUND_TILES):
        for j in range(BACKGROUND_TILES):
            part = pixels[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].reshape(-1, 3)
            # A part without glass takes the light of the whole picture.
            background[i, j] = np.maximum(np.percentile(part, 90, axis=0), 0.9 * whole)
    light = cv2.resize(background, (width, height), interpolation=cv2.INTER_LINEAR)
    density = np.log((light + 1.0) / (pixels.astype(np.float32) + 1.0)).mean(axis=2)
    return np.asarray(np.clip(density, 0.0, 2.5), np.float32)


def _noise(density: FloatArray) -> float:
    """Three times the noise of the glass, as optical density."""
    low = density[density <= np.median(density)]
    return 3.0 * 1.4826 * float(np.median(np.abs(low - np.median(low))))


def _pen(density: FloatArray) -> BoolArray:
    """Marks of a pen, (h, w), with their soft edge: islands that are strong and even nearly all over."""
    mean = cv2.blur(density, (3, 3))
    deviation = np.sqrt(np.maximum(cv2.blur(density**2, (3, 3)) - mean**2, 0.0))
    even = (mean > MIN_PEN_DENSITY) & (deviation < MAX_PEN_VARIATION * mean)
    core = cv2.morphologyEx(even.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    n_islands, islands = cv2.connectedComponents((density > MIN_PEN_DENSITY / 2.0).astype(np.uint8))
    size = np.bincount(islands.ravel(), minlength=n_islands)
    share = np.bincount(islands.ravel(), core.ravel(), n_islands) / np.maximum(size, 1)
    is_pen = share > MIN_PEN_SHARE
    is_pen[0] = False
    return cv2.dilate(is_pen[islands].astype(np.uint8), np.ones((PEN_EDGE_PX, PEN_EDGE_PX), np.uint8)) > 0


def _closed(found: BoolArray, radius_px: float) -> BoolArray:
    side = 2 * max(1, round(radius_px / 2.0)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel) > 0


def _without_dust_and_rim(found: BoolArray, um_per_px: float) -> BoolArray:
    """Leave out islands that are small, and those that lie along the rim of the picture."""
    n_islands, islands, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    height, width = found.shape
    rim_px = max(2, round(RIM_SHARE * min(height, width)))
    inner = np.zeros(found.shape, bool)
    inner[rim_px:-rim_px, rim_px:-rim_px] = True
    inside = np.bincount(islands.ravel(), inner.ravel(), n_islands)
    area = stats[:, cv2.CC_STAT_AREA]
    kept = (area >= (MIN_SIDE_UM / um_per_px) ** 2) & (inside > 0.3 * area)
    kept[0] = False
    return np.asarray(kept[islands], bool)
