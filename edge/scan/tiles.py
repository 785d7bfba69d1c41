"""The tiles of a scan as they lie on the disk, and the journal that says what is good.

A scan is a folder `SLIDE.zarr` with `scan/journal.sqlite` and `scan/tiles/ROW-COLUMN.png` (or `.jpg`, `.webp`). A tile
counts once the journal has its row, and it has that row only after its picture is on the disk.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from parfocal.calib.value import UsedCalibration
from parfocal.edge.errors import EdgeError
from parfocal.edge.words import counted, named

Codec = Literal["png", "jpg", "webp"]

FORMAT = 1
SCHEMA = """
CREATE TABLE scan (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tiles (
    tile_row INTEGER NOT NULL, tile_column INTEGER NOT NULL,
    x_um REAL NOT NULL, y_um REAL NOT NULL, z_um REAL NOT NULL,
    focus_um REAL, focus_sigma_um REAL, sharpness REAL NOT NULL,
    tissue INTEGER NOT NULL, uneven INTEGER NOT NULL, retaken INTEGER NOT NULL, reason TEXT,
    file TEXT NOT NULL UNIQUE, n_bytes INTEGER NOT NULL, file_digest TEXT NOT NULL,
    settings_digest TEXT NOT NULL, calibration_id TEXT, session INTEGER NOT NULL, elapsed_s REAL NOT NULL,
    PRIMARY KEY (tile_row, tile_column)
) WITHOUT ROWID;
"""
_COLUMNS = (
    "tile_row, tile_column, x_um, y_um, z_um, file, focus_um, focus_sigma_um, sharpness, tissue, uneven, retaken, "
    "file_digest, reason, elapsed_s"
)


class ScanUnreadable(EdgeError):
    """A folder that holds no scan, or a damaged one."""


class ScannedTile(msgspec.Struct, frozen=True):
    """One finished tile.

    `row` and `column` count from 0 in the grid of the plan; rows grow with Y and columns with X of the stage. `x_um`,
    `y_um`, `z_um` are the centre of the picture and its height, as the stage reported them, in the coordinates of the
    scan's first session. `path` is the picture, RGB of 8 bits. `focus_um` is how far the focus lies above `z_um`, with
    its standard uncertainty `focus_sigma_um`; both are None if it could not be measured. `sharpness` is the variance
    of the Laplacian of the central part, grey levels squared. `tissue`: the picture is not empty. `uneven`: the tile
    has no single focus. `retaken`: how often it was taken again; `reason` says why. `digest` is the BLAKE2b of the
    file, 128 bits. `elapsed_s` is the microscope's time for this tile.
    """

    row: int
    column: int
    x_um: float
    y_um: float
    z_um: float
    path: Path
    focus_um: float | None
    focus_sigma_um: float | None
    sharpness: float
    tissue: bool
    uneven: bool
    retaken: int
    digest: str = ""
    reason: str | None = None
    elapsed_s: float = 0.0


class ScanSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What all tiles of a scan have in common. A scan is continued with exactly these settings.

    `view_angle_deg` and `view_is_mirrored` say how the picture lies on the stage, as `View` does. `plan_digest` is that
    of the tiles' places. `slide` is the user's name of the slide. `microscope` is the serial number of the board.
    `flat_field` is the measured light over a tile, a grid of shares of the brightest, corner to corner.
    """

    slide: str
    microscope: int
    calibration: UsedCalibration | None
    codec: Codec
    frame_px: tuple[int, int]
    um_per_px: float
    view_angle_deg: float
    view_is_mirrored: bool
    overlap_um: tuple[float, float]
    exposure_s: float
    lamp_duty: float
    objective: str
    model: str
    plan_digest: str
    flat_field: tuple[tuple[float, ...], ...] | None = None


class ScanAbout(msgspec.Struct, frozen=True):
    """What the journal says of the scan as a whole. `planned` are rows and columns of all tiles, in their order."""

    settings: ScanSettings
    settings_digest: str
    planned: tuple[tuple[int, int], ...]
    n_rows: int
    n_columns: int
    began_at: Annotated[datetime, msgspec.Meta(tz=True)]
    program_version: str
    format: int = FORMAT


class Scan(msgspec.Struct, frozen=True):
    """A scan as far as it is finished. `tiles` are in the order of the plan."""

    folder: Path
    about: ScanAbout
    tiles: tuple[ScannedTile, ...]

    @property
    def settings(self) -> ScanSettings:
        """What all tiles have in common."""
        return self.about.settings

    @property
    def um_per_px(self) -> float:
        """Size of a pixel on the sample, um."""
        return self.settings.um_per_px

    @property
    def frame_px(self) -> tuple[int, int]:
        """Width and height of a tile, px."""
        return self.settings.frame_px

    @property
    def overlap_um(self) -> tuple[float, float]:
        """What neighbours have in common in X and Y by the plan, um."""
        return self.settings.overlap_um

    @property
    def microscope(self) -> int:
        """Serial number of the board."""
        return self.settings.microscope

    @property
    def calibration(self) -> UsedCalibration | None:
        """The calibration in force; None without one."""
        return self.settings.calibration

    @property
    def is_complete(self) -> bool:
        """Whether every planned tile is finished."""
        return len(self.tiles) == len(self.about.planned)


def scan_folder(slide: Path) -> Path:
    """The folder of the scan inside of a slide."""
    return slide / "scan"


def journal_path(slide: Path) -> Path:
    """The journal of a slide."""
    return scan_folder(slide) / "journal.sqlite"


def tiles_folder(slide: Path) -> Path:
    """The folder of the pictures of a slide."""
    return scan_folder(slide) / "tiles"


def stacks_folder(slide: Path) -> Path:
    """The folder of the stacks of uneven tiles, one folder a tile, where they were asked for."""
    return scan_folder(slide) / "stacks"


def tile_name(row: int, column: int, codec: Codec) -> str:
    """The name of a tile's picture: `0003-0012.png`."""
    return f"{row:04d}-{column:04d}.{codec}"


def read_scan(slide: Path) -> Scan:
    """The scan in the folder `slide`, finished or not, also while it runs.

    Pictures are not opened, and the slide may lie where nothing can be written. Raises ScanUnreadable.
    """
    path = journal_path(slide)
    if not path.is_file():
        raise ScanUnreadable(
            f"{named(slide)} holds no scan: {named(path)} is missing. Give the folder that `parfocal scan` wrote."
        )
    try:
        with contextlib.closing(_opened(path)) as journal, journal:
            about, tiles = about_of(journal), tuple(tiles_of(journal, slide))
    except (sqlite3.Error, msgspec.MsgspecError, TypeError) as error:
        advice = "Put back a copy of it, or scan the slide again into another folder."
        if isinstance(error, sqlite3.OperationalError) and not _can_write(path.parent):
            advice = f"Copy {named(slide)} to a folder that you may write to, and give the copy."
        raise ScanUnreadable(f"the journal {named(path)} cannot be read: {error}. {advice}") from error
    if about is None:
        raise ScanUnreadable(f"{named(slide)} holds a scan that was never begun. Scan the slide again.")
    order = {place: number for number, place in enumerate(about.planned)}
    unplanned = [tile for tile in tiles if (tile.row, tile.column) not in order]
    if unplanned:
        raise ScanUnreadable(
            f"the journal {named(path)} has {counted(len(unplanned), 'tile')} that its plan lacks. Scan the slide "
            "again."
        )
    return Scan(slide, about, tuple(sorted(tiles, key=lambda tile: order[tile.row, tile.column])))


def _opened(path: Path) -> sqlite3.Connection:
    """A journal, opened to be read. Raises sqlite3.Error."""
    log = path.with_name(f"{path.name}-wal")
    # Whoever may write takes away again what SQLite puts beside the journal while it is open.
    mode = "mode=rw"
    if not _can_write(path.parent):
        # SQLite would put files beside a journal with a write-ahead log, unless it is told that nobody writes.
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def about_of(journal: sqlite3.Connection) -> ScanAbout | None:
    """What an open journal says of its scan; None if it was created but never begun.

    Raises sqlite3.Error, msgspec.MsgspecError.
    """
    found = journal.execute("SELECT value FROM scan WHERE key = 'about'").fetchone()
    return None if found is None else msgspec.json.decode(found[0], type=ScanAbout)


def tiles_of(journal: sqlite3.Connection, slide: Path) -> Iterator[ScannedTile]:
    """The finished tiles of an open journal. Raises sqlite3.Error."""
    folder = tiles_folder(slide)
    for values in journal.execute(f"SELECT {_COLUMNS} FROM tiles"):  # noqa: S608  # a constant
        row, column, x_um, y_um, z_um, file, focus_um, sigma_um, sharpness, *flags, digest, reason, s = values
        tissue, uneven, retaken = flags
        yield ScannedTile(
            row,
            column,
            x_um,
            y_um,
            z_um,
            folder / file,
            focus_um,
            sigma_um,
            sharpness,
            bool(tissue),
            bool(uneven),
            retaken,
            digest,
            reason,
            s,
        )
