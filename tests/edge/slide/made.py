"""A scan of real tissue on the disk, made without a microscope: tiles with known truth, and their journal."""

import contextlib
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.scan.tiles import Codec, Scan, ScannedTile, read_scan, tile_name, tiles_folder
from parfocal.edge.scan.tiling.journal import Journal, about_scan, digest_of
from parfocal.edge.scan.tiling.writer import encoded
from tests.edge.scan.tiling.written import settings
from tests.edge.stitch.cut import Cut, StageErrors, cut
from tests.stains import ihc

UM_PER_PX = 1.0
SIZE_PX = (190, 150)
RETAKEN, UNEVEN, LOST_FOCUS = 5, 7, 9  # numbers of tiles
N_EMPTY = 3  # the last tiles hold nothing


def tissue() -> NDArray[np.uint8]:
    """The sample, continued by its mirror image, with empty glass at its lower end."""
    picture = np.pad(ihc(), ((100, 200), (100, 500), (0, 0)), "symmetric")
    picture[460:, :460] = 238
    return picture


def cut_scan(grid: tuple[int, int] = (3, 4)) -> Cut:
    picture = tissue()

    def source(x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        return picture[y : y + h, x : x + w]

    return cut(source, grid, SIZE_PX, 0.15, UM_PER_PX, seed=3, errors=StageErrors(slow_um=20.0), fall=0.0)


def without_tiles(slide: Path, places: set[tuple[int, int]]) -> tuple[ScannedTile, ...]:
    """Take tiles out of the journal, as if they had not been scanned yet, and give them to `scan_on`."""
    scan = read_scan(slide)
    gone = tuple(tile for tile in scan.tiles if (tile.row, tile.column) in places)
    with contextlib.closing(Journal(slide, scan.about)) as journal:
        for tile in gone:
            journal.drop(tile)
    return gone


def scan_on(slide: Path, tiles: Sequence[ScannedTile]) -> None:
    """Enter tiles into the journal whose pictures are there, as `parfocal scan --resume` does."""
    with contextlib.closing(Journal(slide, read_scan(slide).about)) as journal:
        for tile in tiles:
            journal.add(tile, tile.path.stat().st_size)


def write_scan(
    slide: Path,
    scan: Cut,
    codec: Codec = "png",
    name: str = "A1",
    size_px: tuple[int, int] = SIZE_PX,
    um_per_px: float = UM_PER_PX,
) -> Scan:
    """Write the tiles and the journal as `parfocal scan` does."""
    about_it = msgspec.structs.replace(
        settings(name, codec), frame_px=size_px, um_per_px=um_per_px, overlap_um=(28.0, 22.0)
    )
    planned = tuple((place.row, place.column) for place in scan.places)
    journal = Journal(
        slide, about_scan(about_it, planned, datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1")
    )
    rng = np.random.default_rng(1)
    for number, place in enumerate(scan.places):
        data = encoded(scan.tile(number), codec)
        path = tiles_folder(slide) / tile_name(place.row, place.column, codec)
        path.write_bytes(data)
        holds = number < len(scan.places) - N_EMPTY
        off_um = 1.7 if number == LOST_FOCUS - 1 else float(rng.normal(0.0, 0.2))
        tile = ScannedTile(
            place.row,
            place.column,
            place.x_um,
            place.y_um,
            2400.0 + 0.01 * number,
            path,
            off_um if holds else None,
            0.2 if holds else None,
            float(rng.uniform(80.0, 120.0)) if holds else 2.0,
            holds,
            number == UNEVEN,
            1 if number == RETAKEN else 0,
            digest_of(data),
            "0.9 um out of focus" if number == RETAKEN else None,
            0.31,
        )
        journal.add(tile, len(data))
    journal.close()
    return read_scan(slide)
