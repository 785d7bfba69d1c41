"""A review shows random fields of tissue, says nothing of the slide, and comes back as a sheet."""

import csv
import io
import json
import re
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.tiles import Scan
from parfocal.edge.slide.review.draw import drawn_tiles, find_key, write_review
from parfocal.edge.slide.review.sheet import FINDINGS, SheetRefused, read_readings, read_sheet
from parfocal.edge.slide.tiles import tile_pixels


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
