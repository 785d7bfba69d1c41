"""A review shows random fields of tissue, says nothing of the slide, and comes back as a sheet."""

import contextlib
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.tiles import Scan
from parfocal.edge.slide.review.draw import drawn_tiles, find_key, review_code, write_review
from parfocal.edge.slide.review.sheet import FINDINGS, SheetRefused, read_readings, read_sheet
from parfocal.edge.slide.tiles import TileDamaged, tile_pixels
from parfocal.edge.whole_file import whole_file


@pytest.fixture(scope="module")
def review(scanned: Scan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review")
    write_review(scanned, 5, 7, folder, FINDINGS)
    return folder


def test_the_same_seed_draws_the_same_fields_and_only_tissue(scanned: Scan) -> None:
    drawn = drawn_tiles(scanned, 5, 7)
    assert drawn == drawn_tiles(scanned, 5, 7)
    assert len({(tile.row, tile.column) for tile in drawn}) == 5
    assert all(tile.tissue for tile in drawn)
    assert drawn != drawn_tiles(scanned, 5, 8)
    # Every tile with tissue has its chance.
    seen = {tile.path for seed in range(60) for tile in drawn_tiles(scanned, 3, seed)}
    assert len(seen) == sum(tile.tissue for tile in scanned.tiles) == 9


def test_more_fields_than_there_are_is_refused(scanned: Scan) -> None:
    with pytest.raises(ConfigError, match="30 fields asked for, but .* has 9 tiles with tissue"):
        drawn_tiles(scanned, 30, 1)
    glass = tuple(msgspec.structs.replace(tile, tissue=False) for tile in scanned.tiles)
    with pytest.raises(ConfigError, match=r"has no tile with tissue: .* Give another slide"):
        drawn_tiles(msgspec.structs.replace(scanned, tiles=glass), 1, 1)


def test_the_same_review_again_leaves_a_sheet_that_was_filled_in(scanned: Scan, tmp_path: Path) -> None:
    folder = tmp_path / "review"
    first = write_review(scanned, 3, 7, folder, FINDINGS)
    assert write_review(scanned, 3, 7, folder, FINDINGS) == first  # nothing was filled in
    (folder / "sheet.csv.part").write_bytes(b"of a command that was killed")
    (folder / "field-02.jpg").unlink()
    write_review(scanned, 3, 7, folder, FINDINGS)
    assert len([*folder.iterdir()]) == 5
    sheet = folder / "sheet.csv"
    filled_in = sheet.read_text().replace(",,1,,", ",Dr. X,1,3,")
    sheet.write_text(filled_in)
    with pytest.raises(ConfigError, match="holds sheet.csv, which was filled in or is of another review"):
        write_review(scanned, 3, 7, folder, FINDINGS)
    assert sheet.read_text() == filled_in


@pytest.mark.parametrize("name", ["notes.txt", "field-04.jpg", "field-01.jpg", "review.html"])
def test_files_of_others_are_neither_written_over_nor_mixed_in(
    scanned: Scan, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ConfigError, match=f"holds {name}, which .*; nothing was written"):
        write_review(scanned, 3, 7, tmp_path, FINDINGS)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"mine")]


def test_other_columns_fields_or_pictures_are_another_review(scanned: Scan) -> None:
    tiles = drawn_tiles(scanned, 3, 7)
    code = review_code(scanned, tiles, 7, FINDINGS)
    assert code == review_code(scanned, tiles, 7, ["Gram positive cocci", "gram negative bacilli"])
    retaken = (msgspec.structs.replace(tiles[0], digest="0" * 32), *tiles[1:])
    others = {
        review_code(scanned, tiles, 7, ["necrosis"]),
        review_code(scanned, tiles, 8, FINDINGS),
        review_code(scanned, drawn_tiles(scanned, 3, 8), 7, FINDINGS),
        review_code(scanned, retaken, 7, FINDINGS),
    }
    assert len(others | {code}) == 5


@pytest.mark.parametrize("fault", ["damaged tile", "full disk", "killed"])
def test_a_review_that_fails_leaves_nothing_behind(
    scanned: Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    folder, error = tmp_path / "a" / "review", {"full disk": OSError, "killed": KeyboardInterrupt}
    last, files = drawn_tiles(scanned, 3, 17)[-1], Counter[str]()
    if fault == "damaged tile":
        bad = msgspec.structs.replace(last, path=tmp_path / "missing.png")
        scanned = msgspec.structs.replace(
            scanned, tiles=tuple(bad if t == last else t for t in scanned.tiles)
        )

    @contextlib.contextmanager
    def failing(path: Path) -> Iterator[BinaryIO]:
        files[path.name] += 1
        if fault in error and files.total() == 3:
            raise error[fault]
        with whole_file(path) as file:
            yield file

    monkeypatch.setattr("parfocal.edge.whole_file.whole_file", failing)
    with pytest.raises((TileDamaged, OSError, KeyboardInterrupt)):
        write_review(scanned, 3, 17, folder, FINDINGS)
    assert not any(tmp_path.iterdir())
    code = review_code(scanned, drawn_tiles(scanned, 3, 17), 17, FINDINGS)
    assert not (scanned.folder / "scan" / "reviews" / f"{code}.json").exists()


def test_nothing_that_the_reviewer_gets_names_the_slide_or_the_place(review: Path) -> None:
    told = "".join(
        path.name + path.read_text("latin-1") for path in review.iterdir() if path.suffix != ".jpg"
    )
    told = re.sub(r"base64,[A-Za-z0-9+/=]+", "", told)
    assert not re.search(r"\bA1\b|zarr|20000|automated", told)
    names = sorted(path.name for path in review.iterdir())
    assert names == [*(f"field-0{k}.jpg" for k in range(1, 6)), "review.html", "sheet.csv"]


def test_the_key_stays_with_the_slide_and_opens_the_review(review: Path, scanned: Scan) -> None:
    code = next(csv.DictReader(io.StringIO((review / "sheet.csv").read_text())))["review"]
    key = find_key([Path("elsewhere"), scanned.folder], code)
    assert (key.slide, key.method, key.seed) == ("A1", "automated 20x/0.75", 7)
    by_place = {(tile.row, tile.column): tile for tile in scanned.tiles}
    shown = cv2.imread(str(review / "field-01.jpg"))
    assert shown is not None
    truth = tile_pixels(scanned, by_place[key.tiles[0]])
    assert np.abs(shown[..., ::-1].astype(int) - truth).mean() < 5.0
    with pytest.raises(ConfigError, match=f"{code} was not drawn from any"):
        find_key([Path("elsewhere")], code)


def test_the_page_needs_no_network_and_has_every_field_and_column(review: Path) -> None:
    page = (review / "review.html").read_text()
    assert not re.search(r"(?:src|href)\s*=\s*['\"](?!data:)", page)
    assert len(re.findall(r"src='data:image/jpeg;base64,", page)) == 5
    (columns,) = re.findall(r"const columns = (\[.*?\])", page)
    header = (review / "sheet.csv").read_text().splitlines()[0]
    assert ",".join(json.loads(columns)) == header
    for field in range(1, 6):
        shown = re.findall(rf"data-field='{field}' data-column='(\w+)'", page)
        assert shown == header.split(",")[3:]


def filled(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text(text)
    return path


HEADER = "review,observer,field,cells,bacteria,gram_positive_cocci,gram_negative_bacilli,remarks\n"


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_filled_sheet_is_read(tmp_path: Path, separator: str) -> None:
    text = HEADER + "R-1,Dr. X,1,3,20,yes,no,\nR-1,Dr. X,2,5,40,,no,blurred\n"
    sheet = read_sheet(filled(tmp_path, text.replace(",", separator)))
    assert (sheet.review, sheet.observer, sheet.fields) == ("R-1", "Dr. X", 2)
    assert (sheet.cells, sheet.bacteria) == ("2+", "3+")
    assert sheet.findings == {"gram_positive_cocci"}
    assert sheet.entered == 2
    assert sheet.looked_for == {"gram_positive_cocci", "gram_negative_bacilli"}


def test_a_field_without_an_entry_is_counted_apart(tmp_path: Path) -> None:
    sheet = read_sheet(filled(tmp_path, HEADER + "R-1,X,1,0,,no,no,\nR-1,X,2,,,no,no,\nR-1,X,3,,,,yes,\n"))
    assert (sheet.fields, sheet.entered) == (3, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "its first row lacks review, observer"),
        (HEADER, "it has no rows"),
        (HEADER + "R-1,,1,,,,,\n", "must name one observer"),
        (HEADER + "R-1,X,1,,,,,\nR-2,X,2,,,,,\n", "not of one review"),
        (HEADER + "R-1,X,1,,,maybe,,\n", "row 2: gram_positive_cocci is 'maybe'"),
        (
            HEADER + "R-1,X,1,3,,,,\nR-1,X,2,lots,,,,\n",
            "row 3: cells is 'lots', which is neither a number nor a grade",
        ),
        (HEADER + "R-1,X,1,3,,,,\nR-1,X,1,4,,,,\n", "field 1 is in it twice"),
        # as the page saves it when nothing was looked at
        (HEADER + "R-1,X,1,,,no,no,\n", "nothing is entered in any of its fields"),
        ("review,observer,field,cells,bacteria,remarks\nR-1,X,1,,,\n", "no column of a finding"),
    ],
)
def test_a_sheet_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(SheetRefused, match=re.escape(why)):
        read_sheet(filled(tmp_path, text))


def test_a_table_of_readings_is_read(tmp_path: Path) -> None:
    text = "slide,observer,method,Gram Cocci\nA1,X,manual,x\nA1,X,manual 40x,\n"
    manual, digital = read_readings(filled(tmp_path, text))
    assert manual.method == "manual"
    assert manual.findings == {"gram_cocci"}  # called as in the sheet of a review
    assert not digital.findings
    with pytest.raises(SheetRefused, match="row 2 lacks slide"):
        read_readings(filled(tmp_path, "slide,observer,method,cocci\n,X,manual,x\n"))


def test_a_slide_without_a_name_is_called_as_its_folder(scanned: Scan, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(scanned.settings, slide="")
    unnamed = msgspec.structs.replace(
        scanned, about=msgspec.structs.replace(scanned.about, settings=settings)
    )
    report = write_review(unnamed, 2, 8, tmp_path, FINDINGS)
    assert find_key([scanned.folder], report.review).slide == scanned.folder.stem
