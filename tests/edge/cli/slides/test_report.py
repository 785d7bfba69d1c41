"""`parfocal report` as a user types it."""

import json
from pathlib import Path

from tests.edge.cli.typed import Run
from tests.edge.slide.made import cut_scan, write_scan


def test_a_scan_has_a_page_and_figures(run: Run, tmp_path: Path) -> None:
    slide = tmp_path / "A1.zarr"
    write_scan(slide, cut_scan((2, 2)))
    code, out, err = run("report", slide, "--json", "-")
    assert code == 0
    assert json.loads(out)["finished"] == 4
    assert "4 of 4 tiles, 1 with tissue" in err
    assert "<title>Scan of A1</title>" in (tmp_path / "A1.report.html").read_text()
