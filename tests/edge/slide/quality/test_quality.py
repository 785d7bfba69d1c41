"""The report finds what is wrong with a scan, by the journal and by the pictures themselves."""

import base64
import re
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import Scan
from parfocal.edge.scan.tiling.journal import digest_of
from parfocal.edge.scan.tiling.writer import encoded
from parfocal.edge.slide.master import MasterReport
from parfocal.edge.slide.quality.blur import blurred, fineness_of
from parfocal.edge.slide.quality.map import DIVERGING, NO_VALUE, Square, colour_of, map_of
from parfocal.edge.slide.quality.page import page_of
from parfocal.edge.slide.quality.report import Pictures, QualityReport, part_to_show, quality_of
from parfocal.edge.slide.tiles import tile_pixels
from tests.edge.slide.made import LOST_FOCUS, N_EMPTY, RETAKEN, SIZE_PX, UNEVEN
from tests.stains import ihc

DEPTH_UM = 0.96
SLIPPED, DAMAGED, UNMEASURED, BY_TWO = 2, 3, 1, 6  # numbers of tiles


@pytest.fixture(scope="module")
def spoilt(scanned: Scan, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """The scan with one tile that is blurred although its journal says otherwise, one file that is damaged,
    one tile whose focus nothing told, and one that two shots focused.
    """
    folder = tmp_path_factory.mktemp("spoilt")
    tiles = list(scanned.tiles)
    soft = np.asarray(cv2.GaussianBlur(tile_pixels(scanned, tiles[SLIPPED]), (0, 0), 2.0), np.uint8)
    data = encoded(soft, "png")
    (folder / "soft.png").write_bytes(data)
    (folder / "damaged.png").write_bytes(data[:99])
    tiles[SLIPPED] = msgspec.structs.replace(tiles[SLIPPED], path=folder / "soft.png", digest=digest_of(data))
    tiles[DAMAGED] = msgspec.structs.replace(tiles[DAMAGED], path=folder / "damaged.png")
    tiles[BY_TWO] = msgspec.structs.replace(tiles[BY_TWO], focus_um=0.0)
    tiles[UNMEASURED] = msgspec.structs.replace(tiles[UNMEASURED], focus_um=None)
    return msgspec.structs.replace(scanned, tiles=tuple(tiles))


@pytest.fixture(scope="module")
def judged(spoilt: Scan, mastered: MasterReport) -> tuple[QualityReport, Pictures]:
    assert mastered.stitch.seams_used
    return quality_of(spoilt, DEPTH_UM)


def test_every_fault_is_found_and_nothing_else(judged: tuple[QualityReport, Pictures]) -> None:
    report, pictures = judged
    faults = {number: tile.fault for number, tile in enumerate(report.tiles) if tile.fault}
    assert faults == {
        SLIPPED: "blurred",
        DAMAGED: "damaged",
        UNEVEN: "uneven",
        LOST_FOCUS - 1: "out of focus",
        UNMEASURED: "not measured",
    }
    assert (report.blurred, report.slipped, report.damaged, report.uneven) == (1, 1, 1, 1)
    shown = [(one.tile.row, one.tile.column) for one in pictures.worst]
    worst = [report.tiles[k] for k in (LOST_FOCUS - 1, SLIPPED, UNEVEN)]
    assert shown == [(tile.row, tile.column) for tile in worst]


def test_a_worst_tile_is_shown_where_it_holds_something() -> None:
    empty = np.full((1024, 1224, 3), 235, np.uint8)
    at_the_edge = empty.copy()
    at_the_edge[724:, 924:] = ihc()[:300, :300]
    shown = part_to_show(at_the_edge)
    assert shown.shape[0] == shown.shape[1]
    assert (shown != 235).any(axis=2).mean() > 0.4
    full = np.tile(ihc(), (2, 3, 1))[:1024, :1224]
    side = len(shown)
    top, left = (1024 - side) // 2, (1224 - side) // 2
    assert (part_to_show(full) == full[top : top + side, left : left + side]).all()
    assert part_to_show(empty).shape == shown.shape


def test_the_focus_figures_are_those_of_the_journal(
    judged: tuple[QualityReport, Pictures], spoilt: Scan
) -> None:
    report, _ = judged
    off = [
        abs(tile.focus_um)
        for tile in spoilt.tiles
        if tile.focus_um is not None and tile.tissue and not tile.uneven and tile is not spoilt.tiles[BY_TWO]
    ]
    assert report.measured == len(off) == 12 - N_EMPTY - 3
    assert (report.unmeasured, report.by_two_shots) == (1, 1)
    assert report.mean_abs_focus_um == pytest.approx(np.mean(off))
    assert report.within_depth == pytest.approx(np.mean(np.array(off) <= DEPTH_UM)) == 5 / 6
    assert (report.finished, report.planned, report.tissue, report.retaken) == (12, 12, 9, 1)
    assert report.tiles_s == pytest.approx(12 * 0.31)
    assert report.retaken_s == pytest.approx(0.31)
    assert report.tiles[RETAKEN].reason == "0.9 um out of focus"
    assert report.stitched is not None


def test_the_page_is_whole_in_itself_and_shows_maps_and_pictures(
    judged: tuple[QualityReport, Pictures], spoilt: Scan
) -> None:
    report, pictures = judged
    page = page_of(report, pictures, "0.1")
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    images = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(images) == 4
    thumbnail = cv2.imdecode(np.frombuffer(base64.b64decode(images[0]), np.uint8), cv2.IMREAD_COLOR)
    assert thumbnail is not None
    assert thumbnail.shape == pictures.thumbnail.shape
    assert page.count("<rect") > 3 * len(spoilt.tiles)
    for words in ("0.9 um out of focus", "blurred by the independent measure", "83.3 %", "seams were used"):
        assert words in page


@pytest.mark.parametrize(("share", "is_poor"), [(0.0, True), (0.98, True), (0.995, False), (None, False)])
def test_a_share_in_focus_below_99_percent_is_shown_as_poor(
    judged: tuple[QualityReport, Pictures], share: float | None, is_poor: bool
) -> None:
    report, pictures = judged
    page = page_of(msgspec.structs.replace(report, within_depth=share), pictures, "0.1")
    (shown,) = re.findall(r"<td>within one depth of field</td><td class='([^']*)'>", page)
    assert ("poor" in shown) is is_poor


def test_the_thumbnail_lays_the_tiles_out_as_the_stage_does(
    judged: tuple[QualityReport, Pictures], spoilt: Scan
) -> None:
    _, pictures = judged
    first = tile_pixels(spoilt, spoilt.tiles[0])
    width, height = SIZE_PX
    corner = pictures.thumbnail[: height // 2, : width // 2].astype(int)
    assert np.abs(corner - first[: height // 2, : width // 2]).mean() < 2.0


def test_a_scan_without_any_tile_has_a_page(scanned: Scan, tmp_path: Path) -> None:
    empty = msgspec.structs.replace(scanned, tiles=(), folder=tmp_path)
    report, pictures = quality_of(empty, DEPTH_UM)
    assert report.within_depth is None
    page = page_of(report, pictures, "0.1")
    assert "nothing was scanned" in page
    assert "not been stitched" in page


def part(pixels: UInt8Array, number: int) -> UInt8Array:
    top, left = divmod(number, 2)
    return np.ascontiguousarray(pixels[256 * top : 256 * top + 256, 256 * left : 256 * left + 256])


def test_blur_is_told_apart_from_what_is_in_the_picture_and_from_its_light() -> None:
    sharp = [fineness_of(part(ihc(), k)) for k in range(4)]
    dim = [fineness_of(np.rint(0.6 * part(ihc(), k)).astype(np.uint8)) for k in range(4)]
    soft = [
        fineness_of(np.asarray(cv2.GaussianBlur(part(ihc(), k), (0, 0), 2.0), np.uint8)) for k in range(4)
    ]
    assert not any(blurred([*sharp, *dim]))
    for one in soft:
        assert blurred([*sharp, *dim, one])[-1]
    assert fineness_of(np.full((200, 200, 3), 230, np.uint8)) is None


def test_a_third_of_blurred_tiles_does_not_hide_itself() -> None:
    fineness = [-0.3, -0.31, -0.29, -0.3, -0.32, -0.28, -0.9, -0.8, -1.0, None]
    assert blurred(fineness) == [False] * 6 + [True] * 3 + [False]
    assert blurred([None, None]) == [False, False]


def test_colours_of_a_map_run_from_end_to_end() -> None:
    assert colour_of(-5.0, (-1.0, 1.0), DIVERGING) == DIVERGING[0]
    assert colour_of(0.0, (-1.0, 1.0), DIVERGING) == DIVERGING[2]
    assert colour_of(5.0, (-1.0, 1.0), DIVERGING) == DIVERGING[-1]
    assert (
        colour_of(None, (0.0, 1.0), DIVERGING) == colour_of(float("nan"), (0.0, 1.0), DIVERGING) == NO_VALUE
    )
    drawn = map_of(
        "a < b", "um", [Square(0, 0, 1.0), Square(1, 2, None, is_marked=True)], (0.0, 1.0), DIVERGING
    )
    assert "a &lt; b" in drawn
    assert "row 1, column 2: no value" in drawn
