"""Even light over a tile: what a calibration measured, or what all tiles have in common."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import Floats

Gain = NDArray[np.float32]

N_CELLS = 8  # of a tile along a side
MIN_TILES = 12  # fewer: what the tissue has in common is not told from the light
MAX_TILES = 600  # enough for a median, whatever the size of the slide
MIN_LIGHT, MAX_LIGHT = 0.4, 1.6  # of the mean; beyond, the estimate is not one of a lamp


class LightOfTiles:
    """The light over a tile as the median of many tiles, as a surface of second order for each colour."""

    def __init__(self, n_tiles: int) -> None:
        """Of `n_tiles` to come, at most `MAX_TILES` are looked at, evenly."""
        self._every = max(1, -(-n_tiles // MAX_TILES))
        self._n_seen = 0
        self._cells: list[Floats] = []

    def add(self, pixels: UInt8Array) -> None:
        """Look at a tile, RGB uint8 (h, w, 3)."""
        if self._n_seen % self._every == 0:
            cells = cv2.resize(pixels, (N_CELLS, N_CELLS), interpolation=cv2.INTER_AREA)
            logs = np.log(np.maximum(cells.astype(np.float64), 1.0))
            self._cells.append(logs - logs.mean(axis=(0, 1)))
        self._n_seen += 1

    def gain(self, size_px: tuple[int, int]) -> Gain | None:
        """What to multiply a tile of `size_px` (w, h) by, (h, w, 3) float32; None from too few tiles."""
        if len(self._cells) < MIN_TILES:
            return None
        common = np.median(np.stack(self._cells), axis=0)
        middles = (np.arange(N_CELLS) + 0.5) / N_CELLS * 2.0 - 1.0
        rows, columns = np.meshgrid(middles, middles, indexing="ij")
        found = np.linalg.lstsq(_terms(rows.ravel(), columns.ravel()), common.reshape(-1, 3), rcond=None)[0]
        width, height = size_px
        # The surface is smooth: it is drawn coarsely, to its very corners, and enlarged.
        rows, columns = np.meshgrid(np.linspace(-1, 1, 33), np.linspace(-1, 1, 33), indexing="ij")
        light = np.exp((_terms(rows.ravel(), columns.ravel()) @ found).reshape(33, 33, 3))
        return _gain_of(light, width, height)


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


def _gain_of(light: Floats, width: int, height: int) -> Gain:
    """From the light at a grid whose outer points are the corners of the tile."""
    n_rows, n_columns = light.shape[:2]
    x, y = (
        np.linspace(0.0, n - 1.0, side, dtype=np.float32)
        for n, side in ((n_columns, width), (n_rows, height))
    )
    there = np.meshgrid(x, y)
    full = cv2.remap(light.astype(np.float32), *there, interpolation=cv2.INTER_LINEAR)
    return np.asarray(1.0 / np.clip(full, MIN_LIGHT, MAX_LIGHT), np.float32)
