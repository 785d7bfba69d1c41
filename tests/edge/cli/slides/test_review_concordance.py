"""`parfocal review` and `parfocal concordance` as a user types them: from a slide to the tables."""

import json
from pathlib import Path

from tests.edge.cli.typed import Run
from tests.edge.slide.made import cut_scan, write_scan


def test_a_review_comes_back_as_a_line_of_the_tables(run: Run, tmp_path: Path) -> None:
    slide = tmp_path / "A1.zarr"
    write_scan(slide, cut_scan((2, 2)))
    code, out, err = run(
        "review", slide, "--fields", 1, "--seed", 3, "--out", "given", "--json", "review.json"
    )
    assert (code, err) == (0, "")
    review = json.loads(Path("review.json").read_text())["review"]
    assert f"review {review}: 1 field of 1 with tissue" in out
    sheet = Path("given/sheet.csv")
    header, row = sheet.read_text().splitlines()
    sheet.write_text(f"{header}\n{row.replace(review + ',,1,,,,', review + ',Dr. X,1,4,30,yes,')}\n")
    Path("manual.csv").write_text("slide,observer,method,gram_positive_cocci\nA1,Dr. X,manual,no\n")
    code, out, err = run(
        "concordance", "manual.csv", "--sheet", sheet, "--slide", slide, "--json", "tables.json"
    )
    assert (code, err) == (0, "")
    assert (
        f"{review} is A1, read by Dr. X: gram_positive_cocci; cells 2+ (few); bacteria 3+ (moderate)" in out
    )
    (line,) = json.loads(Path("tables.json").read_text())["methods"]
    assert (line["concurrences"]["count"], line["surpassed"], line["method"]) == (1, 1, "automated 20x/0.75")


def test_a_review_is_not_written_over_a_filled_sheet(run: Run, tmp_path: Path) -> None:
    slide = tmp_path / "A1.zarr"
    write_scan(slide, cut_scan((2, 2)))
    typed = ("review", slide, "--fields", 1)
    assert run(*typed)[0] == 0
    (folder,) = tmp_path.glob("R-*")
    (folder / "sheet.csv").write_text("filled in")
    code, _, err = run(*typed)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{folder} holds sheet.csv" in err
    assert (folder / "sheet.csv").read_text() == "filled in"
    code, out, _ = run(*typed, "--finding", "necrosis")
    assert code == 0
    assert folder.name not in out


def test_a_table_that_cannot_be_compared_is_said_in_one_line(run: Run) -> None:
    Path("manual.csv").write_text("slide,observer,method,cocci\nA1,X,automated,no\n")
    code, _, err = run("concordance", "manual.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "nothing to compare with" in err
