"""`parfocal stitch` and `parfocal export` as a user types them."""

import json
from pathlib import Path

import pytest

from tests.edge.cli.typed import Run
from tests.edge.slide.made import cut_scan, scan_on, without_tiles, write_scan


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_scan(tmp_path / "A1.zarr", cut_scan((2, 2)))
    return tmp_path / "A1.zarr"


def test_a_scan_becomes_a_master_and_a_file(run: Run, slide: Path) -> None:
    code, out, err = run("stitch", slide, "--json", "stitch.json")
    assert (code, err) == (0, "")
    told = json.loads(Path("stitch.json").read_text())
    assert f"4 tiles: {told['stitch']['width_px']} x {told['stitch']['height_px']} px, lossless" in out
    code, out, err = run("export", slide, "--as", "openslide-tiff", "--json", "-")
    assert code == 0
    told = json.loads(out)
    assert told["n_bytes"] == (slide.parent / "A1.tif").stat().st_size
    assert (told["tiles"], told["planned"]) == (4, 4)
    assert "not complete" not in err


def test_a_scan_that_has_grown_is_stitched_again_before_it_is_exported(run: Run, slide: Path) -> None:
    later = without_tiles(slide, {(0, 1), (1, 0), (1, 1)})
    assert run("stitch", slide)[0] == 0
    code, out, err = run("export", slide, "--as", "deepzoom")
    assert (code, err) == (0, "")  # it is all that there is
    assert "the scan is not complete: 1 of 4 tiles are in the export" in out
    scan_on(slide, later)
    code, out, err = run("export", slide, "--as", "openslide-tiff")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "it holds 1 tile, the scan has 4 (3 newer)" in err
    assert f"Run `parfocal stitch {slide}` again" in err
    assert not (slide.parent / "A1.tif").exists()
    assert run("stitch", slide)[0] == 0
    code, out, err = run("export", slide, "--as", "openslide-tiff")
    assert (code, err) == (0, "")
    assert "not complete" not in out


def test_what_is_missing_is_said(run: Run, slide: Path) -> None:
    code, _, err = run("export", slide, "--as", "deepzoom")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{slide} has no master yet. Make it with `parfocal stitch {slide}`" in err
    Path("file.zarr").touch()
    Path("empty.zarr").mkdir()
    for given, why in (
        ("nothere.zarr", "there is no slide nothere.zarr: no such folder"),
        ("file.zarr", "there is no slide file.zarr: it is no folder"),
        ("empty.zarr", "empty.zarr holds no scan"),
    ):
        code, _, err = run("export", given, "--as", "deepzoom")
        assert (code, err.count("\n")) == (2, 1)
        assert why in err
        assert "stitch" not in err
    code, _, err = run("stitch", slide.parent)
    assert code == 2
    assert "holds no scan" in err
