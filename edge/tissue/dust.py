"""Dust on the glass of one field: found, and painted over. What is left says whether the field shows tissue."""

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.glass import FloatArray, density_over_glass, mean_of

UM_PER_PX = 1.4  # of the picture that is looked at: bacteria are still a pixel of their colour
MIN_GLASS_SHARE = 0.5  # a field that is not mostly glass shows tissue
GLASS_LEVELS = 12.0  # grey levels below the brightest that glass goes down to
MIN_DENSITY = 0.03  # optical density of the soft edge of a grain
MIN_CORE_DENSITY = 0.2  # dust is opaque; a pale speck may be a cell
# The channels of dust differ by less than this share of its density, those of any stain by more: hematoxylin 0.7,
# eosin 1.5, DAB 0.9, crystal violet 0.8.
MAX_COLOUR = 0.35
MAX_SHARE = 0.02  # of the field, a grain: a larger one is looked at
EDGE_PX = 5
FILL_PX = 61


def without_dust(pixels: UInt8Array, um_per_px: float) -> UInt8Array:
    """The picture (h, w, 3) with grains of dust painted over by the glass around them.

    A grain is opaque, grey, small, and lies on glass. Without colour, as from a grey camera, nothing is painted over: a
    stained cell cannot be told from dust then.
    """
    factor = max(1.0, UM_PER_PX / um_per_px)
    size = (round(pixels.shape[1] / factor), round(pixels.shape[0] / factor))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if not _is_mostly_glass(small) or np.array_equal(small[..., 0], small[..., 2]):
        return pixels
    grains = _grains(density_over_glass(small))
    if not grains.any():
        return pixels
    clear = (cv2.dilate(grains.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8)) == 0).astype(
        np.float32
    )
    weight = cv2.blur(clear, (FILL_PX, FILL_PX))[..., None]
    around = cv2.blur(small * clear[..., None], (FILL_PX, FILL_PX)) / np.maximum(weight, 1e-6)
    whole = (pixels.shape[1], pixels.shape[0])
    painted = cv2.resize(np.rint(around).astype(np.uint8), whole, interpolation=cv2.INTER_LINEAR)
    covered = cv2.resize(np.uint8(clear == 0.0), whole, interpolation=cv2.INTER_NEAREST)
    cleared: UInt8Array = pixels.copy()
    cv2.copyTo(painted, covered, cleared)
    return cleared


def _is_mostly_glass(small: UInt8Array) -> bool:
    grey = small.min(axis=2)
    return float((grey > np.percentile(grey, 98) - GLASS_LEVELS).mean()) > MIN_GLASS_SHARE


def _grains(density: FloatArray) -> NDArray[np.bool_]:
    """Where dust lies, (h, w), by the optical density of each channel (h, w, 3)."""
    mean = mean_of(density)
    n_islands, labels, stats, _ = cv2.connectedComponentsWithStats((mean > MIN_DENSITY).astype(np.uint8))
    islands = np.asarray(labels, np.int32).ravel()
    core, area = np.zeros(n_islands), stats[:, cv2.CC_STAT_AREA]
    held = np.flatnonzero(islands)
    np.maximum.at(core, islands[held], mean.ravel()[held])
    channels = np.stack([np.bincount(islands, density[..., k].ravel(), n_islands) for k in range(3)])
    colour = np.ptp(channels, axis=0) / np.maximum(channels.mean(axis=0), 1e-6)
    is_grain = (core > MIN_CORE_DENSITY) & (colour < MAX_COLOUR) & (area < MAX_SHARE * islands.size)
    is_grain[0] = False
    return np.asarray(is_grain[islands].reshape(mean.shape), bool)
