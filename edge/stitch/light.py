"""Even light over a tile: what a calibration measured, or what all tiles have in common."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import Floats

Gain = NDArray[np.float32]

N_CELLS = 8  # of a tile along a side
MIN_TILES = 6  # to tell how far tiles differ
MAX_TILES = 600  # enough for a mean, whatever the size of the slide
SATURATED = 250.0  # a brighter cell has lost what it could tell
MIN_LIGHT, MAX_LIGHT = 0.4, 1.6  # of the mean; beyond, the estimate is not one of a lamp
# Scatter about a smooth surface, as a share of the light, below which one tile tells no more than another.
MIN_SCATTER = 0.005
SHRINK_SIGMAS = 2.0  # a term of the surface that is no larger than this many standard errors is left out


class LightOfTiles:
    """The light over a tile as what all tiles have in common: a surface of second order for each colour.

    Empty glass shows the light, tissue hides it. So a tile counts by how little it scatters about its own surface, and
    a term that tiles do not agree on is drawn to zero: of a few tiles full of tissue nothing is concluded.
    """

    def __init__(self, n_tiles: int) -> None:
        """Of `n_tiles` to come, at most `MAX_TILES` are looked at, evenly."""
        self._every = max(1, -(-n_tiles // MAX_TILES))
        self._n_seen = 0
        middles = (np.arange(N_CELLS) + 0.5) / N_CELLS * 2.0 - 1.0
        rows, columns = np.meshgrid(middles, middles, indexing="ij")
        self._terms = _terms(rows.ravel(), columns.ravel())
        self._surfaces: list[Floats] = []
        self._weights: list[float] = []

    def add(self, pixels: UInt8Array) -> None:
        """Look at a tile, RGB uint8 (h, w, 3)."""
        self._n_seen += 1
        if (self._n_seen - 1) % self._every:
            return
        cells = cv2.resize(pixels, (N_CELLS, N_CELLS), interpolation=cv2.INTER_AREA).astype(np.float64)
        if cells.max() > SATURATED:
            return
        logs = np.log(np.maximum(cells, 1.0)).reshape(-1, 3)
        surface = np.asarray(np.linalg.lstsq(self._terms, logs, rcond=None)[0], np.float64)
        scatter2 = float(np.mean((logs - self._terms @ surface) ** 2))
        self._surfaces.append(surface)
        self._weights.append(1.0 / (scatter2 + MIN_SCATTER**2))

    def gain(self, size_px: tuple[int, int]) -> Gain | None:
        """What to multiply a tile of `size_px` (w, h) by, (h, w, 3) float32; None from too few tiles."""
        if len(self._surfaces) < MIN_TILES:
            return None
        surfaces, weights = np.stack(self._surfaces), np.array(self._weights)[:, None, None]
        weights /= weights.sum()
        common = (weights * surfaces).sum(axis=0)
        error2 = (weights**2 * (surfaces - common) ** 2).sum(axis=0)
        common *= np.clip(1.0 - SHRINK_SIGMAS**2 * error2 / np.maximum(common**2, 1e-12), 0.0, 1.0)
        # The surface is smooth: it is drawn coarsely, to its very corners, and enlarged.
        rows, columns = np.meshgrid(np.linspace(-1, 1, 33), np.linspace(-1, 1, 33), indexing="ij")
        logs = (_terms(rows.ravel(), columns.ravel())[:, 1:] @ common[1:]).reshape(33, 33, 3)
        light = np.exp(logs - logs.mean(axis=(0, 1)))
        return _gain_of(light, *size_px)


def gain_of_grid(shares: Sequence[Sequence[float]], size_px: tuple[int, int]) -> Gain:
    """What to multiply a tile by, (h, w, 3) float32, where a calibration measured the light as a grid of shares."""
    light = np.repeat(np.asarray(shares, np.float64)[..., None], 3, axis=2)
    return _gain_of(light / light.mean(), *size_px)


def evened(pixels: UInt8Array, gain: Gain | None) -> NDArray[np.float32]:
    """A tile (h, w, 3) in even light, float32; its mean brightness stays."""
    values = pixels.astype(np.float32)
    return values if gain is None else np.multiply(values, gain, out=values)


def _terms(y: Floats, x: Floats) -> Floats:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _gain_of(light: Floats, width_px: int, height_px: int) -> Gain:
    """From the light at a grid whose outer points are the corners of the tile."""
    n_rows, n_columns = light.shape[:2]
    x, y = (
        np.linspace(0.0, n - 1.0, side, dtype=np.float32)
        for n, side in ((n_columns, width_px), (n_rows, height_px))
    )
    there = np.meshgrid(x, y)
    full = cv2.remap(light.astype(np.float32), *there, interpolation=cv2.INTER_LINEAR)
    return np.asarray(1.0 / np.clip(full, MIN_LIGHT, MAX_LIGHT), np.float32)
