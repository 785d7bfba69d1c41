"""The journal of a scan: one row a tile, written after the tile is on the disk. SQLite, safe against a power cut."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from parfocal.edge.errors import ConfigError, EdgeError
from parfocal.edge.scan.tiles import (
    FORMAT,
    SCHEMA,
    ScanAbout,
    ScannedTile,
    ScanSettings,
    about_of,
    journal_path,
    scan_folder,
    tiles_folder,
    tiles_of,
)
from parfocal.edge.words import named

DIGEST_BYTES = 16
_INSERT = "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class JournalNotWritten(EdgeError):
    """The journal could not be written: the disk is full or gone. What it holds is good; continue later."""


class Journal:
    """An open journal. One thread at a time; a transaction is on the disk when the call returns."""

    def __init__(self, slide: Path, about: ScanAbout) -> None:
        """Create the journal of `slide`, or open the one that is there.

        Raises ConfigError if that one is of another slide, of other settings, damaged, or of a scan that still runs;
        OSError, JournalNotWritten.
        """
        self.slide = slide
        tiles_folder(slide).mkdir(parents=True, exist_ok=True)
        with self._told(), contextlib.ExitStack() as if_it_fails:
            self._lock = if_it_fails.enter_context(_locked(slide))
            self._database = sqlite3.connect(
                journal_path(slide), check_same_thread=False, isolation_level=None
            )
            if_it_fails.callback(self._database.close)
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self.about = self._begun(about)
                self.session = self._next_session()
            except sqlite3.OperationalError:  # it is not damaged
                raise
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise ConfigError(
                    f"{named(slide)} cannot be continued: its journal {named(journal_path(slide))} cannot be used: "
                    f"{error}; nothing moved. Put back a copy of that file, or give another --out."
                ) from error
            if_it_fails.pop_all()

    def tiles(self) -> tuple[ScannedTile, ...]:
        """The finished tiles, in no particular order."""
        return tuple(tiles_of(self._database, self.slide))

    def add(self, tile: ScannedTile, n_bytes: int) -> None:
        """Enter a finished tile, whose picture is on the disk. A second one is sqlite3.IntegrityError."""
        calibration = self.about.settings.calibration
        self._database.execute(
            _INSERT,
            (
                tile.row,
                tile.column,
                tile.x_um,
                tile.y_um,
                tile.z_um,
                tile.focus_um,
                tile.focus_sigma_um,
                tile.sharpness,
                tile.tissue,
                tile.uneven,
                tile.retaken,
                tile.reason,
                tile.path.name,
                n_bytes,
                tile.digest,
                self.about.settings_digest,
                None if calibration is None else calibration.id,
                self.session,
                tile.elapsed_s,
            ),
        )

    def drop(self, tile: ScannedTile) -> None:
        """Take a tile out whose picture is missing or damaged, so that it is taken again. Raises sqlite3.Error."""
        self._database.execute(
            "DELETE FROM tiles WHERE tile_row = ? AND tile_column = ?", (tile.row, tile.column)
        )

    def keep(self, key: str, value: object) -> None:
        """Keep a value of the scan as JSON, instead of an earlier one. Raises JournalNotWritten."""
        encoded = msgspec.json.encode(value).decode()
        with self._told():
            self._database.execute("INSERT OR REPLACE INTO scan VALUES (?, ?)", (key, encoded))

    def kept(self, key: str) -> str | None:
        """A value that was kept, as JSON; None if there is none."""
        found = self._database.execute("SELECT value FROM scan WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def close(self) -> None:
        """Close it. Idempotent."""
        # Without the log one file is all of it, and it can be read where nothing can be written. It stays while
        # somebody reads, and where the disk is full.
        with contextlib.suppress(sqlite3.Error):
            self._database.execute("PRAGMA journal_mode = DELETE")
        self._database.close()
        self._lock.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell a full disk as such: SQLite's own error would be taken for a bug."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise JournalNotWritten(
                f"the journal {named(journal_path(self.slide))} could not be written: {error}. Finished tiles are "
                "safe. Make room and check that you may write there, then go on with "
                f"`parfocal scan --out {named(self.slide)} --resume`."
            ) from error

    def _begun(self, about: ScanAbout) -> ScanAbout:
        """Begin the scan in a new journal, or check that the journal is of this scan."""
        if self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'tiles'").fetchone() is None:
            # All of it or nothing: a journal that was killed here is begun again.
            begin = f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;"
            self._database.executescript(begin)
        there = about_of(self._database)
        if there is None:
            self.keep("about", about)
            return about
        if there.format != FORMAT:
            raise ConfigError(
                f"{named(self.slide)} was written by another version of parfocal (format {there.format}, here "
                f"{FORMAT}); nothing moved. Finish it with that version, or give another --out."
            )
        if there.settings_digest != about.settings_digest:
            raise _other_settings(self.slide, there.settings, about.settings)
        return there

    def _next_session(self) -> int:
        session = int(self.kept("sessions") or 0) + 1
        self.keep("sessions", session)
        return session


def _locked(slide: Path) -> BinaryIO:
    """A lock on the scan, held until it is closed or the program ends. Raises ConfigError where another has it."""
    lock = (scan_folder(slide) / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(
            f"another program scans into {named(slide)}; nothing moved. Wait for its end, or give another --out."
        ) from error
    return lock


def about_scan(
    settings: ScanSettings, planned: tuple[tuple[int, int], ...], began_at: datetime, program_version: str
) -> ScanAbout:
    """The first entry of a journal. `planned` are rows and columns of the tiles."""
    n_rows, n_columns = (1 + max(place[i] for place in planned) for i in (0, 1))
    digest = digest_of(msgspec.json.encode(settings))
    return ScanAbout(settings, digest, planned, n_rows, n_columns, began_at, program_version)


def digest_of(data: bytes) -> str:
    """BLAKE2b of 128 bits, as hexadecimal."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def _other_settings(slide: Path, there: ScanSettings, asked: ScanSettings) -> ConfigError:
    """The error that names what differs."""
    words = {"plan_digest": "region, overlap or mask"}
    differing = []
    for name in there.__struct_fields__:
        was, now = getattr(there, name), getattr(asked, name)
        if was != now:
            values = "" if name in words else f" was {was}, is {now}"
            differing.append(f"{words.get(name, name)}{values or ' differs'}")
    return ConfigError(
        f"{named(slide)} cannot be continued: {'; '.join(differing)}; nothing moved. Use the same slide and settings, "
        "or give another --out."
    )
