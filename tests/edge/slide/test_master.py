"""From tiles on the disk to a master that other programs read, and what happens where tiles are missing or damaged."""

import json
import re
import weakref
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.ome_zarr import Master
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Scan, ScannedTile
from parfocal.edge.slide import master as master_module
from parfocal.edge.slide.master import MasterReport, make_master, read_stitch, usual_codec
from parfocal.edge.slide.tiles import TileDamaged, tile_pixels
from parfocal.edge.stitch.stitching import StitchRefused
from tests.edge.images.test_ome_zarr import opened
from tests.edge.slide.made import SIZE_PX, cut_scan, tissue
from tests.edge.stitch.cut import Cut, errors_px


def test_the_master_shows_the_slide(scanned: Scan, mastered: MasterReport, cut_slide: Cut) -> None:
    picture = opened(scanned.folder)["0"][:].transpose(1, 2, 0)
    assert picture.shape[:2] == (mastered.stitch.height_px, mastered.stitch.width_px)
    details = Master(scanned.folder).details
    corners = np.array([(tile["x_px"], tile["y_px"]) for tile in details["tiles"]])
    holds = np.array([tile.tissue for tile in scanned.tiles])
    assert errors_px(corners[holds], cut_slide.true_px[holds]).max() < 1.2  # whole pixels
    x, y = np.rint(np.median((cut_slide.true_px - corners)[holds], axis=0)).astype(int)
    truth = tissue()[y : y + picture.shape[0], x : x + picture.shape[1]]
    middle = (slice(30, 300), slice(30, 400))
    assert np.abs(picture[middle].astype(int) - truth[middle]).mean() < 9.0


def test_its_details_name_tiles_settings_and_places_on_the_stage(
    scanned: Scan, mastered: MasterReport
) -> None:
    details = Master(scanned.folder).details
    assert details["settings"]["objective"] == "20x/0.75"
    assert details["stitch"]["seams_used"] == mastered.stitch.seams_used
    assert details["stitch"]["light"] == "estimated"  # nothing was measured
    assert "flat_field" not in details["settings"]
    attributes = json.loads((scanned.folder / ".zattrs").read_text())
    scale, shift = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    away = [
        (shift["translation"][2] + told["x_px"] + (SIZE_PX[0] - 1) / 2 - tile.x_um)
        for told, tile in zip(details["tiles"], scanned.tiles, strict=True)
    ]
    assert abs(np.median(away)) < 0.6


def test_the_measured_light_is_evened_out_and_the_details_say_so(scanned: Scan, tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    one, falls_off = scanned.tiles[:1], ((0.5, 1.0), (0.5, 1.0))
    settings = msgspec.structs.replace(scanned.settings, flat_field=falls_off)
    about = msgspec.structs.replace(scanned.about, settings=settings)
    lit = msgspec.structs.replace(scanned, folder=tmp_path, about=about, tiles=one)
    assert make_master(lit).stitch.light == "measured"
    details = Master(tmp_path).details
    assert (details["stitch"]["light"], details["settings"]["flat_field"]) == (
        "measured",
        [[0.5, 1.0], [0.5, 1.0]],
    )
    picture = opened(tmp_path)["0"][:].transpose(1, 2, 0).astype(float)
    taken = tile_pixels(scanned, scanned.tiles[0]).astype(float)
    assert picture[:, :20].mean() > 1.3 * taken[:, :20].mean()  # the dark side is brightened
    assert picture[:, -20:].mean() < 0.8 * taken[:, -20:].mean()


def test_the_report_of_a_master_is_kept(mastered: MasterReport, scanned: Scan) -> None:
    assert mastered.written_bytes > 0.5 * mastered.tile_bytes
    assert read_stitch(scanned.folder) == mastered


def test_no_room_is_asked_for_the_glass_between_two_pieces(tmp_path: Path, scanned: Scan) -> None:
    (tmp_path / "scan").mkdir()
    foretold = []
    for last in (1, 8):
        two = msgspec.structs.replace(scanned, folder=tmp_path, tiles=(scanned.tiles[0], scanned.tiles[last]))
        foretold.append(make_master(two).foretold_bytes)
    assert foretold[1] == pytest.approx(foretold[0], rel=0.2)


def test_a_scan_that_is_not_complete_is_stitched_as_far_as_it_is(tmp_path: Path, scanned: Scan) -> None:
    (tmp_path / "scan").mkdir()
    half = msgspec.structs.replace(scanned, folder=tmp_path, tiles=scanned.tiles[:4])
    assert make_master(half).stitch.tiles == 4
    with pytest.raises(StitchRefused, match=f"`parfocal scan --out {re.escape(str(tmp_path))} --resume`"):
        make_master(msgspec.structs.replace(half, tiles=()))


@pytest.mark.parametrize("damage", ["missing", "changed", "other size", "no picture"])
def test_a_damaged_tile_is_named(scanned: Scan, tmp_path: Path, damage: str) -> None:
    tile = scanned.tiles[0]
    data = tile.path.read_bytes()
    path = tmp_path / "tile.png"
    if damage != "missing":
        path.write_bytes(data if damage == "other size" else data[:100])
    digest = tile.digest if damage == "changed" else ""
    bad = msgspec.structs.replace(tile, path=path, digest=digest)
    frame = (7, 7) if damage == "other size" else scanned.frame_px
    settings = msgspec.structs.replace(scanned.settings, frame_px=frame)
    about = msgspec.structs.replace(scanned.about, settings=settings)
    why = {
        "missing": "No such file",
        "changed": "has changed",
        "other size": "7 x 7 px",
        "no picture": "190 x 150",
    }
    again = f"{why[damage]}.*`parfocal scan --out {re.escape(str(scanned.folder))} --resume`"
    with pytest.raises(TileDamaged, match=again):
        tile_pixels(msgspec.structs.replace(scanned, about=about), bad)


def test_a_full_disk_is_refused_before_anything_is_written(
    tmp_path: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master_module, "free_bytes", lambda _: 1000)
    with pytest.raises(ConfigError, match="needs .* MB, but its disk has 0 MB"):
        make_master(msgspec.structs.replace(scanned, folder=tmp_path))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("left", ["master.part/0/0/0/0", "0/0/0/0"])
def test_what_a_killed_stitch_has_left_takes_no_room_of_the_next(
    tmp_path: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    remains = tmp_path / left
    remains.parent.mkdir(parents=True)
    remains.write_bytes(bytes(1000))
    (tmp_path / "scan").mkdir()
    monkeypatch.setattr(master_module, "free_bytes", lambda _: 0 if remains.exists() else 10**9)
    make_master(msgspec.structs.replace(scanned, folder=tmp_path))
    assert not (tmp_path / "master.part").exists()


def test_a_stitch_that_has_no_room_leaves_the_old_master(
    tmp_path: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scan").mkdir()
    one = msgspec.structs.replace(scanned, folder=tmp_path, tiles=scanned.tiles[:1])
    make_master(one)
    before = Master(tmp_path).level(0)
    monkeypatch.setattr(master_module, "free_bytes", lambda _: 0)
    with pytest.raises(ConfigError, match="Make room"):
        make_master(one)
    assert np.array_equal(Master(tmp_path).level(0), before)


def test_few_tiles_are_in_memory_at_once_until_the_master_is_written(
    tmp_path: Path, scanned: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, most = weakref.WeakValueDictionary[int, UInt8Array](), 0

    def load(scan: Scan, tile: ScannedTile) -> UInt8Array:
        nonlocal most
        pixels = tile_pixels(scan, tile)
        alive[id(pixels)] = pixels
        most = max(most, len(alive))
        return pixels

    monkeypatch.setattr(master_module, "tile_pixels", load)
    monkeypatch.setattr(master_module, "free_bytes", lambda _: 0)
    with pytest.raises(ConfigError, match="Make room"):
        make_master(msgspec.structs.replace(scanned, folder=tmp_path))
    assert 0 < most <= 4 < len(scanned.tiles)


def test_jpeg_tiles_make_a_jpeg_master_and_png_tiles_a_lossless_one(scanned: Scan) -> None:
    assert usual_codec(scanned) == "lossless"
    settings = msgspec.structs.replace(scanned.settings, codec="jpg")
    about = msgspec.structs.replace(scanned.about, settings=settings)
    assert usual_codec(msgspec.structs.replace(scanned, about=about)) == "jpeg"


def test_cut_scan_is_the_same_each_time() -> None:
    assert np.array_equal(cut_scan().tile(2), cut_scan().tile(2))
