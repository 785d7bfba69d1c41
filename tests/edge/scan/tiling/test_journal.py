"""The journal names only tiles that are on the disk, and continues only its own scan."""

import contextlib
import errno
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.tiles import ScanUnreadable, journal_path, read_scan, tiles_folder
from parfocal.edge.scan.tiling.journal import Journal, digest_of
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
