"""The mosaic, block by block: tiles at whole pixels, in even light, blended where they overlap.

Tiles are not resampled: a pixel of the mosaic is one of the camera, so sharpness is the tile's own. A block needs only
the tiles that reach into it, and a few are kept for the next block, so memory does not grow with the slide.
"""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch.layout import Floats
from parfocal.edge.stitch.light import Gain, evened

Load = Callable[[int], UInt8Array]

EMPTY = 255  # where there is no tile: as bright as empty glass
CACHE_BYTES = 200_000_000
MIN_KEPT = 8  # tiles, of however many pixels: what three blocks below each other and the next three share
MAX_RAMP_PX = 48  # a wide seam shows structure twice where tiles do not fit to the pixel


class Mosaic:
    """All tiles of a scan as one picture, made where it is asked for."""

    def __init__(
        self, corners_px: Floats, size_px: tuple[int, int], load: Load, gain: Gain | None, overlap_px: float
    ) -> None:
        """`corners_px` (n, 2) as (x, y); `load` gives tile k, RGB uint8 (h, w, 3) of `size_px` (w, h)."""
        whole = np.rint(corners_px - corners_px.min(axis=0)).astype(np.int64)
        self._corners, self._size_px = whole, size_px
        self._load, self._gain = load, gain
        # As they come: in even light, as floats, they are four times as large.
        self._kept: OrderedDict[int, UInt8Array] = OrderedDict()
        self._n_kept = max(MIN_KEPT, CACHE_BYTES // (size_px[0] * size_px[1] * 3))
        width, height = whole.max(axis=0) + size_px
        self.shape_px = (int(height), int(width))
        ramp = float(np.clip(overlap_px, 2.0, MAX_RAMP_PX))
        across, down = (_ramp(side, ramp) for side in size_px)
        self._weight = (down[:, None] * across[None, :])[..., None]

    @property
    def corners_px(self) -> NDArray[np.int64]:
        """Corner of each tile in the mosaic, (n, 2) as (x, y)."""
        corners: NDArray[np.int64] = self._corners
        return corners

    def block(self, x_px: int, y_px: int, width_px: int, height_px: int) -> UInt8Array | None:
        """Pixels (h, w, 3) of a part of the mosaic, RGB; None where no tile reaches into it."""
        w, h = self._size_px
        reaches = (
            (self._corners[:, 0] < x_px + width_px)
            & (self._corners[:, 0] + w > x_px)
            & (self._corners[:, 1] < y_px + height_px)
            & (self._corners[:, 1] + h > y_px)
        )
        tiles = np.flatnonzero(reaches)
        if not len(tiles):
            return None
        total = np.zeros((height_px, width_px, 3), np.float32)
        weights = np.zeros((height_px, width_px, 1), np.float32)
        for k in tiles:
            left, top = (int(v) for v in self._corners[k])
            columns = slice(max(left, x_px), min(left + w, x_px + width_px))
            rows = slice(max(top, y_px), min(top + h, y_px + height_px))
            of_block = (
                slice(rows.start - y_px, rows.stop - y_px),
                slice(columns.start - x_px, columns.stop - x_px),
            )
            of_tile = (
                slice(rows.start - top, rows.stop - top),
                slice(columns.start - left, columns.stop - left),
            )
            weight = self._weight[of_tile]
            gain = None if self._gain is None else self._gain[of_tile]
            total[of_block] += evened(self._tile(int(k))[of_tile], gain) * weight
            weights[of_block] += weight
        is_empty = weights[..., 0] == 0.0
        np.divide(total, weights, out=total, where=weights > 0.0)
        total[is_empty] = EMPTY
        return np.asarray(np.clip(np.rint(total, out=total), 0.0, 255.0), np.uint8)

    def _tile(self, k: int) -> UInt8Array:
        kept = self._kept.pop(k, None)
        tile = self._load(k) if kept is None else kept
        self._kept[k] = tile
        while len(self._kept) > self._n_kept:
            self._kept.popitem(last=False)
        return tile


def _ramp(side: int, ramp: float) -> NDArray[np.float32]:
    """From nearly 0 at both ends of a side to 1 within `ramp` px."""
    place = np.arange(side, dtype=np.float32)
    nearest = np.minimum(place, side - 1 - place) + 0.5
    return np.minimum(nearest / ramp, 1.0).astype(np.float32)
