"""The light of empty glass over a picture, and how much denser each pixel is."""

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]
Floats = NDArray[np.float64]

ROUNDS = 30
LIGHT_TILES = 12  # a side: light falls off towards the corners, in log about as a quadratic
GLASS_VARIES = 0.02  # and differs from that by so much, optical density
# A part of another tint than the brightest ones is stained: by this optical density between channels, and no less than
# so many grey levels, as pictures have whole ones.
GLASS_TINT_VARIES, TINT_LEVELS = 0.01, 2.5


def density_over_glass(pixels: UInt8Array, is_tinted: bool = False) -> FloatArray:
    """Optical density of each channel over the glass, (h, w, 3).

    The glass is the brightest tenth of each part of the picture, where these lie on one smooth light. With `is_tinted`
    they must also have the tint of the brightest parts: a wide pale smear is not glass then. A grey picture has none.
    """
    height, width = pixels.shape[:2]
    n = min(LIGHT_TILES, height, width)
    seen = np.log(_brightest(pixels, n) + 1.0)
    tinted = _tinted(seen) if is_tinted else np.zeros(len(seen))
    smooth = _smooth_light(seen, n, 1.0 / (1.0 + tinted**2))
    is_glass = (np.abs(seen - smooth) <= GLASS_VARIES) & (tinted <= 1.0)[:, None]
    glass = np.where(is_glass, seen, smooth)
    light = cv2.resize(
        glass.reshape(n, n, 3).astype(np.float32),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    return np.asarray(np.clip(light - np.log(pixels.astype(np.float32) + 1.0), 0.0, 2.5), np.float32)


def mean_of(channels: FloatArray) -> FloatArray:
    """The mean of the three channels of each pixel, (h, w), of (h, w, 3). NumPy reduces an axis of three slowly."""
    red, green, blue = (channels[..., k] for k in range(3))
    return np.asarray((red + green + blue) / np.float32(3.0), np.float32)


def range_of(channels: FloatArray) -> FloatArray:
    """The largest of the three channels of each pixel less the smallest, (h, w), of (h, w, 3)."""
    red, green, blue = (channels[..., k] for k in range(3))
    return np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)


def _brightest(pixels: UInt8Array, n: int) -> Floats:
    """The 90th percentile of each channel in each of n x n parts, (n * n, 3)."""
    rows, columns = (np.linspace(0, side, n + 1).astype(int) for side in pixels.shape[:2])
    parts = [
        pixels[top:bottom, left:right].reshape(-1, 3)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]
    # Parts differ by a row or a column. Those of the same size together take a fraction of the time of each alone.
    found, sizes = np.empty((len(parts), 3)), np.array([len(part) for part in parts])
    for size in np.unique(sizes):
        (alike,) = np.nonzero(sizes == size)
        found[alike] = np.percentile(np.stack([parts[k] for k in alike]), 90, axis=1)
    return found


def _tinted(seen: Floats) -> Floats:
    """How much more the tint of each part differs from that of the brightest tenth than that of glass may, (n,)."""
    level = seen.mean(axis=1)
    tint = seen - level[:, None]
    glass = np.median(tint[level >= np.quantile(level, 0.9)], axis=0)
    allowed = np.maximum(GLASS_TINT_VARIES, TINT_LEVELS * np.exp(-level))
    return np.asarray(np.ptp(tint - glass, axis=1) / allowed, np.float64)


def _smooth_light(seen: Floats, n: int, certain: Floats) -> Floats:
    """The logarithm of the light, a quadratic along the upper edge of what was `seen` in n x n parts, (n * n, 3).

    `certain`: the weight of each part, (n * n,).
    """
    at = np.linspace(-1.0, 1.0, n)
    y, x = (side.ravel() for side in np.meshgrid(at, at, indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    fitted = np.broadcast_to(np.quantile(seen, 0.9, axis=0), seen.shape)
    for _ in range(ROUNDS):
        below = np.maximum((fitted - seen).mean(axis=1), 0.0)
        # Parts without glass lie below: the farther, the less they count.
        weights = certain / (1.0 + (below / GLASS_VARIES) ** 2)
        solved, *_ = np.linalg.lstsq(terms * weights[:, None], seen * weights[:, None], rcond=None)
        fitted = terms @ solved
    return np.asarray(fitted, np.float64)
