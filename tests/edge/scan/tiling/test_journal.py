"""The journal names only tiles that are on the disk, and continues only its own scan."""

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.tiles import ScanUnreadable, journal_path, read_scan, tiles_folder
from parfocal.edge.scan.tiling.journal import Journal, JournalNotWritten, digest_of
from parfocal.edge.scan.tiling.writer import QUEUED, TileNotWritten, TileWriter
from tests.edge.scan.tiling.written import PLANNED, about, pixels, tile


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return tmp_path / "slide.zarr"


@pytest.fixture
def journal(slide: Path) -> Iterator[Journal]:
    with contextlib.closing(Journal(slide, about())) as opened:
        yield opened


def written(slide: Path, n_tiles: int) -> None:
    journal = Journal(slide, about())
    with TileWriter(journal, "png") as writer:
        for number, (row, column) in enumerate(PLANNED[:n_tiles]):
            writer.put(tile(slide, row, column), pixels(number))
    journal.close()


def test_a_scan_is_read_back_in_the_order_of_its_plan(slide: Path) -> None:
    written(slide, 3)
    scan = read_scan(slide)
    assert [(t.row, t.column) for t in scan.tiles] == list(PLANNED[:3])
    assert not scan.is_complete
    assert (scan.frame_px, scan.um_per_px, scan.overlap_um) == ((32, 24), 0.345, (2.0, 2.0))
    first = scan.tiles[0]
    assert digest_of(first.path.read_bytes()) == first.digest
    shown = cv2.imread(str(first.path))
    assert shown is not None
    assert np.array_equal(shown[..., ::-1], pixels(0))
    assert msgspec.structs.replace(first, digest="") == tile(slide, 0, 0)


@contextlib.contextmanager
def only_reading(slide: Path) -> Iterator[Path]:
    """A copy of the slide that may only be read; by root too, who meanwhile is nobody."""
    is_root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())  # not below the folder of pytest, which only its owner may enter
    try:
        copy = folder / slide.name
        shutil.copytree(slide, copy)
        for path in (folder, copy, *copy.rglob("*")):
            path.chmod(0o555)
        if is_root:
            os.seteuid(65534)
        yield copy
    finally:
        if is_root:
            os.seteuid(0)
        for path in (folder, copy, *copy.rglob("*")):
            path.chmod(0o755)
        shutil.rmtree(folder)


def with_log(slide: Path) -> sqlite3.Connection:
    """The journal of a slide as earlier versions left it, opened: with a write-ahead log."""
    journal = sqlite3.connect(journal_path(slide), isolation_level=None)
    journal.execute("PRAGMA journal_mode = WAL")
    return journal


def test_a_scan_that_may_only_be_read_is_read(slide: Path) -> None:
    written(slide, 3)
    with_log(slide).close()
    with only_reading(slide) as copy:
        assert len(read_scan(copy).tiles) == 3


def test_a_scan_that_was_killed_and_may_only_be_read_is_read_to_its_last_tile(slide: Path) -> None:
    written(slide, 3)
    with contextlib.closing(with_log(slide)) as journal:
        journal.execute("DELETE FROM tiles WHERE tile_row = 0 AND tile_column = 0")
        with only_reading(slide) as copy:
            assert len(read_scan(copy).tiles) == 2


def test_nobody_is_told_to_scan_again_what_may_only_be_read(slide: Path) -> None:
    written(slide, 3)
    with contextlib.closing(with_log(slide)) as journal:
        journal.execute("DELETE FROM tiles WHERE tile_row = 0 AND tile_column = 0")
        index = journal_path(slide).with_name("journal.sqlite-shm")
        index.rename(slide / "elsewhere")  # SQLite would make it anew beside the log
        with (
            only_reading(slide) as copy,
            pytest.raises(ScanUnreadable, match=r"slide.zarr to a folder that you may write to") as told,
        ):
            read_scan(copy)
        assert "again" not in str(told.value)


def test_a_journal_that_was_closed_is_one_file_and_is_continued(slide: Path) -> None:
    for n_tiles in (1, 2):
        journal = Journal(slide, about())
        journal.add(tile(slide, *PLANNED[n_tiles - 1]), 1)
        journal.close()
        journal.close()
        assert [path.name for path in journal_path(slide).parent.glob("journal*")] == ["journal.sqlite"]
        assert (
            journal_path(slide).read_bytes()[18:20] == b"\x01\x01"
        )  # without a log, as the file format has it
        with only_reading(slide) as copy:
            assert len(read_scan(copy).tiles) == n_tiles


def test_reading_a_scan_leaves_nothing_beside_it(slide: Path) -> None:
    written(slide, 1)
    with_log(slide).close()
    before = sorted(slide.rglob("*"))
    read_scan(slide)
    assert sorted(slide.rglob("*")) == before


def test_a_scan_is_complete_with_its_last_tile(slide: Path) -> None:
    written(slide, 4)
    assert read_scan(slide).is_complete


def test_the_journal_hears_of_a_tile_after_it_is_on_the_disk(slide: Path, journal: Journal) -> None:
    seen: list[int] = []

    def write(path: Path, data: bytes) -> None:
        seen.append(len(read_scan(slide).tiles))
        path.write_bytes(data)

    with TileWriter(journal, "png", write) as writer:
        for row, column in PLANNED:
            writer.put(tile(slide, row, column), pixels(0))
    assert seen == [0, 1, 2, 3]


def test_after_a_full_disk_the_tile_is_not_in_the_journal_and_no_later_one_either(
    slide: Path, journal: Journal
) -> None:
    n_written = 0

    def write(path: Path, data: bytes) -> None:
        nonlocal n_written
        n_written += 1
        if n_written == 2:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.write_bytes(data)

    def scan() -> None:
        with TileWriter(journal, "png", write) as writer:
            for row, column in PLANNED:
                writer.put(tile(slide, row, column), pixels(0))

    go_on = f"`parfocal scan --out {re.escape(str(slide))} --resume`"
    with pytest.raises(TileNotWritten, match=f"0000-0001.png: No space left.*{go_on}"):
        scan()
    assert [(t.row, t.column) for t in read_scan(slide).tiles] == [(0, 0)]


def test_a_full_disk_is_told_of_the_journal(journal: Journal) -> None:
    journal._database.execute("PRAGMA max_page_count = 1")  # no room beyond what it has
    with pytest.raises(JournalNotWritten, match=r"journal.sqlite could not be written: .* is full.*--resume"):
        journal.keep("marks", 100_000 * "x")


def test_a_journal_that_cannot_be_begun_is_told(slide: Path) -> None:
    journal_path(slide).mkdir(parents=True)
    with pytest.raises(JournalNotWritten, match="unable to open database file"):
        Journal(slide, about())


def test_a_slow_disk_makes_the_stage_wait(slide: Path, journal: Journal) -> None:
    may_write, put = threading.Event(), []

    def write(path: Path, data: bytes) -> None:
        may_write.wait(10.0)
        path.write_bytes(data)

    def scan() -> None:
        with TileWriter(journal, "png", write) as writer:
            for row in range(QUEUED + 3):
                writer.put(tile(slide, row, 0), pixels(0))
                put.append(row)

    scanning = threading.Thread(target=scan)
    scanning.start()
    scanning.join(0.2)
    assert len(put) <= QUEUED + 1
    may_write.set()
    scanning.join(10.0)
    assert len(put) == QUEUED + 3


def test_a_tile_is_never_entered_twice(slide: Path) -> None:
    written(slide, 1)
    journal = Journal(slide, about())
    with pytest.raises(sqlite3.IntegrityError):
        journal.add(tile(slide, 0, 0), 1)
    journal.close()
    assert len(read_scan(slide).tiles) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"slide": "B2"}, "slide was A1, is B2"),
        ({"codec": "jpg"}, "codec was png, is jpg"),
        ({"plan_digest": "other"}, "region, overlap or mask differs"),
    ],
)
def test_a_scan_is_not_continued_with_another_slide_or_other_settings(
    slide: Path, change: dict[str, str], why: str
) -> None:
    written(slide, 2)
    with pytest.raises(ConfigError, match=f"cannot be continued: {why}; nothing moved"):
        Journal(slide, about(**change))
    assert len(read_scan(slide).tiles) == 2


def test_a_journal_that_was_killed_while_it_was_created_is_begun_again(slide: Path) -> None:
    tiles_folder(slide).mkdir(parents=True)
    sqlite3.connect(journal_path(slide)).close()
    with pytest.raises(ScanUnreadable):
        read_scan(slide)
    written(slide, 1)
    assert len(read_scan(slide).tiles) == 1


def test_a_folder_without_a_scan_and_a_damaged_journal_are_named(slide: Path) -> None:
    with pytest.raises(ScanUnreadable, match=r"holds no scan: .*journal.sqlite is missing"):
        read_scan(slide)
    tiles_folder(slide).mkdir(parents=True)
    journal_path(slide).write_bytes(b"not a database" * 100)
    with pytest.raises(ScanUnreadable, match="cannot be read"):
        read_scan(slide)
