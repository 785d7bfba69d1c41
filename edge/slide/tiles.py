"""The pictures of a scan, as the journal promises them."""

import cv2
import numpy as np

from parfocal.edge.errors import EdgeError
from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Scan, ScannedTile
from parfocal.edge.scan.tiling.journal import digest_of
from parfocal.edge.words import named


class TileDamaged(EdgeError):
    """A tile is not what the journal says. `parfocal scan --out SLIDE --resume` takes it again."""


def tile_pixels(scan: Scan, tile: ScannedTile) -> UInt8Array:
    """The picture of a tile, RGB uint8 (h, w, 3). Raises TileDamaged."""
    try:
        data = tile.path.read_bytes()
    except OSError as error:
        raise _damaged(scan, tile, error.strerror or str(error)) from error
    if tile.digest and digest_of(data) != tile.digest:
        raise _damaged(scan, tile, "it has changed since it was scanned")
    with silenced():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    width, height = scan.frame_px
    if pixels is None or pixels.shape != (height, width, 3):
        raise _damaged(scan, tile, f"it is not a picture of {width} x {height} px")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _damaged(scan: Scan, tile: ScannedTile, why: str) -> TileDamaged:
    return TileDamaged(
        f"tile {named(tile.path)} cannot be used: {why}. Take it again with "
        f"`parfocal scan --out {named(scan.folder)} --resume`."
    )
