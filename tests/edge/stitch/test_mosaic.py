"""The mosaic is made of tiles that are seldom read twice."""

from collections import Counter

import numpy as np
import pytest

from parfocal.edge.images.ome_zarr import BLOCK_PX, blocks_of
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stitch import mosaic as mosaic_module
from parfocal.edge.stitch.mosaic import Mosaic

SCALE = 16  # all sides are that much smaller here


@pytest.mark.parametrize(
    ("frame_px", "reads"),
    [
        ((1224, 1024), 1.2),
        ((2448, 2048), 1.4),
        ((4208, 3120), 1.6),
    ],  # row by row, kept as floats: 1.45, 2.6, 5.3
)
def test_a_tile_is_read_little_more_than_once(
    monkeypatch: pytest.MonkeyPatch, frame_px: tuple[int, int], reads: float
) -> None:
    monkeypatch.setattr(mosaic_module, "CACHE_BYTES", mosaic_module.CACHE_BYTES // SCALE**2)
    width, height = (side // SCALE for side in frame_px)
    corners = np.array([(0.9 * width * k, 0.9 * height * j) for j in range(20) for k in range(20)])
    seen, tile = Counter[int](), np.zeros((height, width, 3), np.uint8)

    def load(k: int) -> UInt8Array:
        seen[k] += 1
        return tile

    mosaic = Mosaic(corners, (width, height), load, None, 0.1 * height)
    side = BLOCK_PX // SCALE
    for row, column in blocks_of((mosaic.shape_px[0] * SCALE, mosaic.shape_px[1] * SCALE)):
        mosaic.block(column * side, row * side, side, side)
    assert len(seen) == 400
    assert seen.total() / 400 < reads


def test_light_is_evened_out_where_a_block_begins_within_a_tile() -> None:
    rng = np.random.default_rng(1)
    tile = np.asarray(rng.integers(0, 200, (30, 40, 3)), np.uint8)
    gain = rng.uniform(0.9, 1.2, (30, 40, 3)).astype(np.float32)
    mosaic = Mosaic(np.zeros((1, 2)), (40, 30), lambda _: tile, gain, 4.0)
    block = mosaic.block(10, 5, 20, 15)
    assert block is not None
    expected = (tile * gain)[5:20, 10:30]
    assert np.abs(block - expected).max() < 0.51


def test_every_block_is_made_once() -> None:
    blocks = list(blocks_of((7 * BLOCK_PX, 4 * BLOCK_PX + 1)))
    assert blocks[:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert sorted(blocks) == [(row, column) for row in range(7) for column in range(5)]
