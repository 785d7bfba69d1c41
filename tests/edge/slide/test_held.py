"""A master is compared with its scan: tiles that came later, and tiles that were taken again."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from parfocal.edge.images.ome_zarr import Master
from parfocal.edge.scan.tiles import Scan, read_scan
from parfocal.edge.slide.export import export
from parfocal.edge.slide.held import Held, MasterOutdated, check_current, held_of, stitch_of
from parfocal.edge.slide.master import MasterReport
from tests.edge.slide.made import scan_on, without_tiles


@pytest.fixture
def slide(scanned: Scan, mastered: MasterReport, tmp_path: Path) -> Path:
    assert mastered.stitch.tiles == 12
    return shutil.copytree(scanned.folder, tmp_path / "A1.zarr")


def test_a_master_of_all_tiles_is_current(slide: Path, mastered: MasterReport) -> None:
    held = check_current(Master(slide), slide)
    assert held == Held(tiles=12, finished=12, newer=0, again=0, planned=12)
    assert stitch_of(read_scan(slide)) == (mastered, held)


@pytest.mark.parametrize("change", [{"z_um": 2411.0}, {"focus_um": 0.5}, {"digest": "0" * 32}])
def test_a_tile_that_was_taken_again_makes_the_master_old(slide: Path, change: dict[str, object]) -> None:
    (tile,) = without_tiles(slide, {(1, 2)})
    # Until it is there again, the master shows all that there is.
    assert check_current(Master(slide), slide) == Held(tiles=12, finished=11, newer=0, again=0, planned=12)
    scan_on(slide, [msgspec.structs.replace(tile, **change)])
    with pytest.raises(MasterOutdated, match=r"holds 12 tiles, the scan has 12 \(1 taken again since\)"):
        export(slide, "openslide-tiff", slide.parent / "a.tif", 85)
    assert not (slide.parent / "a.tif").exists()
    _, held = stitch_of(read_scan(slide))
    assert held is not None
    assert held.current == 11


def test_a_master_from_before_digests_is_compared_by_the_places(slide: Path) -> None:
    attributes = json.loads((slide / ".zattrs").read_text())
    for tile in attributes["parfocal"]["tiles"]:
        del tile["digest"]
    (slide / ".zattrs").write_text(json.dumps(attributes))
    held = held_of(Master(slide), read_scan(slide))
    assert held is not None
    assert not held.is_outdated


def test_a_master_without_its_scan_is_exported(slide: Path) -> None:
    shutil.rmtree(slide / "scan")
    report = export(slide, "openslide-tiff", slide.parent / "a.tif", 85)
    assert (report.tiles, report.planned) == (None, None)


def test_the_report_of_the_master_before_counts_for_nothing(slide: Path, mastered: MasterReport) -> None:
    # A stitch that was killed right after it put the master in place.
    before = msgspec.structs.replace(mastered, stitch=msgspec.structs.replace(mastered.stitch, tiles=4))
    (slide / "scan" / "stitch.json").write_bytes(msgspec.json.encode(before))
    report, held = stitch_of(read_scan(slide))
    assert report is None
    assert held is not None
