"""The acceptance sheet of an instrument as a PDF: what `report_html` shows, on pages of A4."""

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from parfocal.calib.store import Calibration
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.page import svg
from parfocal.edge.calibrate.page.pdf import PAGE_HEIGHT, PAGE_WIDTH, Page, pdf_of, wrapped
from parfocal.edge.calibrate.page.report import (
    HEADS_OF_RANGES,
    HEADS_OF_VALUES,
    Sheet,
    figures_in,
    made_words,
    rows_of_ranges,
    rows_of_values,
    title_of,
)

MARGIN, SIZE, LEADING = 36.0, 7.5, 9.5
WIDTH = PAGE_WIDTH - 2.0 * MARGIN
COLUMNS_OF_VALUES = (0.21, 0.1, 0.08, 0.25, 0.1, 0.26)
COLUMNS_OF_RANGES = (0.1, 0.15, 0.15)
SCALE = (WIDTH - 12.0) / 2.0 / svg.WIDTH
POOR = "#a00000"


def report_pdf(
    calibration: Calibration, sheet: Sheet, folder: Path, use_of: Callable[[str, Measured], str]
) -> bytes:
    """The document. Raw data are read from `folder`; `use_of` says what is done with a value."""
    title, flow = title_of(calibration), _Flow()
    flow.write(title, 14.0, bold=True)
    flow.write(made_words(calibration, sheet), SIZE)
    flow.head("Verdicts")
    for one in sheet.verdicts:
        flow.write(f"{one.part}: {one.words}", SIZE, colour="#222" if one.is_good else POOR)
    flow.head("Range of motion")
    flow.table(HEADS_OF_RANGES, rows_of_ranges(sheet), COLUMNS_OF_RANGES)
    flow.head("Measured values")
    flow.table(HEADS_OF_VALUES, rows_of_values(calibration, use_of), COLUMNS_OF_VALUES)
    flow.head("Figures")
    flow.figures(figures_in(calibration, folder))
    return pdf_of(flow.pages, title)


class _Flow:
    """Pages that are filled from the top; a new one begins where something does not fit."""

    def __init__(self) -> None:
        self.pages = [Page()]
        self._y = MARGIN

    def head(self, words: str) -> None:
        """A heading, not alone at the end of a page."""
        self._y += 6.0
        self._need(50.0)
        self.write(words, 10.0, bold=True)

    def write(self, words: str, size: float, *, bold: bool = False, colour: str = "#222") -> None:
        """A paragraph."""
        for line in wrapped(words, size, WIDTH):
            self._need(1.3 * size)
            self._y += 1.3 * size
            self.pages[-1].text(MARGIN, self._y, line, size, bold=bold, colour=colour)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float]) -> None:
        """A table; `shares` of the width for its columns."""
        for number, row in enumerate([heads, *rows]):
            cells = [
                wrapped(cell, SIZE, share * WIDTH - 4.0) for cell, share in zip(row, shares, strict=True)
            ]
            height = LEADING * max(len(lines) for lines in cells)
            self._need(height + 3.0)
            x = MARGIN
            for lines, share in zip(cells, shares, strict=True):
                for k, line in enumerate(lines, start=1):
                    self.pages[-1].text(x, self._y + LEADING * k, line, SIZE, bold=number == 0)
                x += share * WIDTH
            self._y += height + 3.0
            self.pages[-1].lines([(MARGIN, self._y), (MARGIN + WIDTH, self._y)], "#dddddd", 0.4)

    def figures(self, figures: Sequence[str]) -> None:
        """Figures in two columns; notes in place of those that could not be drawn."""
        height, column = SCALE * svg.HEIGHT + 8.0, 0
        for one in figures:
            if not one.startswith("<svg"):
                self._y += height if column else 0.0
                column = 0
                self.write(html.unescape(re.sub(r"<[^>]*>", "", one)), SIZE)
                continue
            if column == 0:
                self._need(height)
            self.pages[-1].figure(MARGIN + column * (WIDTH + 12.0) / 2.0, self._y + 4.0, SCALE, one)
            self._y += height if column else 0.0
            column = 1 - column

    def _need(self, height_pt: float) -> None:
        if self._y + height_pt > PAGE_HEIGHT - MARGIN:
            self.pages.append(Page())
            self._y = MARGIN
