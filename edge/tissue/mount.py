"""A mounting medium under its cover glass: an even veil with straight edges, grey, or yellowed by age."""

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.tissue.glass import FloatArray, mean_of, range_of
from parfocal.edge.tissue.islands import variation

BoolArray = NDArray[np.bool_]

# How dense a mount is, as a mean of the channels, and by how much it varies within `EVEN_PX` pixels.
LEAST_DENSITY, MAX_DENSITY, MAX_VARIATION, EVEN_PX = 0.012, 0.2, 0.05, 5
# All of it has one density: within this share of it, and no less than so much.
LEVEL_SHARE, LEVEL_DENSITY, BIN_DENSITY = 0.15, 0.008, 0.004
# Age makes it absorb blue more than green, and green more than red. Most stains absorb green or red most.
COLOUR_NOISE = 0.006
# A cover glass is a rectangle, at least so wide. The convex hull of a section fills three quarters of its rectangle.
MIN_SIDE_UM = 8000.0
MIN_RECTANGLE, MIN_CONVEX, MIN_SEEN = 0.95, 0.6, 0.2
# All round it there is glass, or the end of the picture. So it is no part of something that gets thicker and thinner.
BESIDE_PX, GLASS_SHARE, MIN_GLASS = 7, 0.4, 0.75
GAP_PX = 9


def without_mount(density: FloatArray, noise: float, um_per_px: float) -> FloatArray:
    """The density of each channel (h, w, 3) over the mount where one lies, and as it is elsewhere.

    So what is denser than a mount stays. `noise`: of the density of glass. In a grey picture nothing is a mount: pale
    tissue cannot be told from it.
    """
    if float(range_of(density).max()) == 0.0:
        return density
    mean = mean_of(density)
    veil = _veil(mean, noise)
    hull = _cover_glass(veil, mean, um_per_px)
    if hull is None:
        return density
    inside = np.zeros(mean.shape, np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    of_mount = density[veil & (inside > 0)]
    colour = np.median(of_mount, axis=0)
    red, green, blue = (float(value) for value in colour)
    if not (red <= green + COLOUR_NOISE and green <= blue + COLOUR_NOISE):
        return density
    # With the edge, where it is half as dense.
    covered = cv2.dilate(inside, np.ones((EVEN_PX, EVEN_PX), np.uint8)) > 0
    less = np.maximum(density - np.asarray(colour, np.float32), np.float32(0.0))
    return np.asarray(np.where(covered[..., None], less, density), np.float32)


def _veil(mean: FloatArray, noise: float) -> BoolArray:
    """What is even and has the density that most of it has, (h, w)."""
    around, varies = variation(mean, EVEN_PX)
    allowed = MAX_VARIATION**2 + (1.5 * noise / np.maximum(around, 1e-3)) ** 2
    even = (varies**2 < allowed) & (around > LEAST_DENSITY) & (around < MAX_DENSITY)
    if not even.any():
        return np.zeros(mean.shape, bool)
    bins = np.arange(LEAST_DENSITY, MAX_DENSITY + BIN_DENSITY, BIN_DENSITY)
    counts, edges = np.histogram(around[even], bins)
    top = int(np.argmax(np.convolve(counts, np.ones(3), "same")))
    level = float(edges[top] + edges[top + 1]) / 2.0
    within = max(LEVEL_SHARE * level, LEVEL_DENSITY, 2.0 * noise / EVEN_PX)
    return np.asarray(even & (np.abs(around - level) < within), bool)


def _cover_glass(veil: BoolArray, mean: FloatArray, um_per_px: float) -> NDArray[np.int32] | None:
    """The convex hull of the veil, (n, 1, 2), if that is as a cover glass is: wide, a rectangle, with glass around."""
    kernel = np.ones((GAP_PX, GAP_PX), np.uint8)
    closed = cv2.morphologyEx(veil.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel)
    outlines, _ = cv2.findContours(opened, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    outline = max(outlines, key=cv2.contourArea)
    hull = np.asarray(cv2.convexHull(outline), np.int32)
    _, sides, _ = cv2.minAreaRect(hull)
    area = cv2.contourArea(hull)
    if min(sides) * um_per_px < MIN_SIDE_UM or area < MIN_RECTANGLE * sides[0] * sides[1]:
        return None
    inside = np.zeros(mean.shape, np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    if cv2.contourArea(outline) < MIN_CONVEX * area or veil[inside > 0].mean() < MIN_SEEN:
        return None
    side = 2 * BESIDE_PX + 1
    near, beyond = (cv2.dilate(inside, np.ones((n, n), np.uint8)) for n in (BESIDE_PX, side))
    ring = (beyond > 0) & (near == 0)
    level = float(np.median(mean[veil & (inside > 0)]))
    is_glass = mean[ring] < GLASS_SHARE * level
    return hull if not ring.any() or is_glass.mean() > MIN_GLASS else None
