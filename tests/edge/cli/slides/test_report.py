"""`parfocal report` as a user types it."""

import contextlib
import json
import sqlite3
from pathlib import Path

from parfocal.edge.scan.tiles import journal_path
from tests.edge.cli.typed import Run
from tests.edge.slide.made import cut_scan, scan_on, without_tiles, write_scan


def test_a_scan_has_a_page_and_figures(run: Run, tmp_path: Path) -> None:
    slide = tmp_path / "A1.zarr"
    write_scan(slide, cut_scan((2, 2)))
    code, out, err = run("report", slide, "--json", "-")
    assert code == 0
    assert json.loads(out)["finished"] == 4
    assert "4 of 4 tiles, 1 with tissue" in err
    assert "<title>Scan of A1</title>" in (tmp_path / "A1.report.html").read_text()


def test_tiles_whose_focus_nothing_told_are_named(run: Run, tmp_path: Path) -> None:
    slide = tmp_path / "A1.zarr"
    write_scan(slide, cut_scan((2, 2)))
    with contextlib.closing(sqlite3.connect(journal_path(slide))) as journal, journal:
        journal.execute("UPDATE tiles SET focus_um = NULL")
    _, out, err = run("report", slide, "--json", "-")
    assert json.loads(out)["unmeasured"] == 1
    assert "1 tile with too little tissue to measure the focus by" in " ".join(err.split())


def test_a_report_says_that_the_slide_was_stitched_before_the_scan_went_on(run: Run, tmp_path: Path) -> None:
    slide, page = tmp_path / "A1.zarr", tmp_path / "A1.report.html"
    write_scan(slide, cut_scan((2, 2)))
    later = without_tiles(slide, {(0, 0), (0, 1), (1, 0)})
    run("stitch", slide)
    run("report", slide)
    assert "1 of 1" in page.read_text()
    assert "Run parfocal stitch again" not in page.read_text()
    scan_on(slide, later)
    code, out, err = run("report", slide, "--json", "-")
    assert code == 0
    told = json.loads(out)
    assert (told["finished"], told["stitched_tiles"], told["stitched"]["stitch"]["tiles"]) == (4, 1, 1)
    assert "the stitched slide holds 1 of 4 tiles as they are now" in " ".join(err.split())
    assert "holds 1 of the 4 tiles as they are now. Run parfocal stitch again" in page.read_text()
