"""The report as a PDF: every object where its table says, every value and figure on it, and nothing off a page."""

import re
import zlib
from datetime import datetime, timezone
from pathlib import Path

from parfocal.calib.store import Owner, Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.page.pdf import PAGE_HEIGHT, PAGE_WIDTH, Page, pdf_of, width_of, wrapped
from parfocal.edge.calibrate.page.report import Sheet, Verdict
from parfocal.edge.calibrate.page.sheet_pdf import report_pdf
from parfocal.edge.calibrate.page.svg import Series, plot, shaded
from tests.edge.calibrate.page.test_report import RAW, SHEET, WHEN


def drawn_on(document: bytes) -> list[str]:
    """What is drawn on each page, checked against the table of objects."""
    assert document.startswith(b"%PDF-1.4\n")
    at = int(document.split(b"startxref\n")[1].split()[0])
    lines = document[at:].split(b"\n")
    assert lines[0] == b"xref"
    starts = [int(line.split()[0]) for line in lines[3 : 2 + int(lines[1].split()[1])]]
    for number, start in enumerate(starts, start=1):
        assert document[start:].startswith(f"{number} 0 obj\n".encode())
    found = re.finditer(rb"/Length (\d+) /Filter /FlateDecode >>\nstream\n", document)
    return [zlib.decompress(document[one.end() : one.end() + int(one[1])]).decode("cp1252") for one in found]


def texts_of(drawn: str) -> list[tuple[float, float, str]]:
    return [
        (float(x), float(y), re.sub(r"\\(.)", r"\1", words))
        for x, y, words in re.findall(r"([-\d.]+) ([-\d.]+) Tm \((.*)\) Tj", drawn)
    ]


def test_a_pdf_holds_every_value_verdict_and_figure_within_its_pages(tmp_path: Path) -> None:
    store = Store(tmp_path, Owner(4711, "20x/0.75"))
    names = [name for name in RAW if not name.startswith(("optics", "lens"))]
    store.keep_all(
        {
            name: Measured(0.9, 0.1, WHEN, "method (of this) \\ µ", "0.1.0", store.keep_raw(name, RAW[name]))
            for name in names
        }
    )
    pages = drawn_on(report_pdf(store.load(), SHEET, tmp_path, lambda _name, _one: "used"))
    assert len(pages) > 1
    texts = [one for page in pages for one in texts_of(page)]
    words = [one[2] for one in texts]
    for expected in (
        *names,
        "camera: linear <b>",
        "stage: refused: a & b",
        "4995.2",
        "method (of this) \\ µ",
    ):
        assert expected in words, expected
    assert "Z: focus curves" in words
    for x, y, word in texts:
        assert 0.0 <= x <= PAGE_WIDTH, word
        assert 0.0 <= y <= PAGE_HEIGHT, word


def test_many_verdicts_go_on_on_the_next_page(tmp_path: Path) -> None:
    verdicts = tuple(Verdict(f"part {k}", "fine " * 90) for k in range(60))
    sheet = Sheet(datetime(2026, 11, 27, tzinfo=timezone.utc), "0.1.0", {}, verdicts)
    pages = drawn_on(report_pdf(Store(tmp_path, Owner(1, "a")).empty(), sheet, tmp_path, lambda _n, _o: ""))
    assert len(pages) == 3
    assert min(y for page in pages for _, y, _ in texts_of(page)) >= 36.0
    words = [one[2] for page in pages for one in texts_of(page)]
    assert [word.split(":")[0] for word in words if word.startswith("part ")] == [
        f"part {k}" for k in range(60)
    ]


def test_figures_are_drawn_with_their_colours_and_a_letter_that_is_not_known_is_a_question_mark() -> None:
    page = Page()
    series = [Series(((0.0, 1.0), (2.0, 3.0)), "a line"), Series(((1.0, 1.0),), "", "dots", colour=1)]
    page.figure(10.0, 10.0, 0.5, plot("title", "x", "y", series))
    page.figure(10.0, 200.0, 0.5, shaded("grey", [[0.0, 1.0]]))
    page.text(10.0, 300.0, "日", 9.0)
    (drawn,) = drawn_on(pdf_of([page], "a (title)"))
    assert "0.122 0.373 0.659 RG" in drawn  # the line
    assert "0.761 0.341 0.102 rg" in drawn  # the dot
    assert "0.000 0.000 0.000 rg 15.00" in drawn  # the dark box
    assert "(?) Tj" in drawn
    assert "0 1 -1 0" in drawn  # the label of the upright axis


def test_words_are_wrapped_to_a_width() -> None:
    lines = wrapped("one two three four five", 10.0, 60.0)
    assert " ".join(lines) == "one two three four five"
    assert max(width_of(line, 10.0) for line in lines) <= 60.0
    assert wrapped("a" * 50, 10.0, 60.0) == ["a" * 50]
    assert wrapped("", 10.0, 60.0) == [""]
