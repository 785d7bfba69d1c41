"""The acceptance sheet of an instrument: one HTML page with every value, its figures and what follows from it."""

import html
import json
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from parfocal.calib.store import Calibration
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.page.figures import figures_of

STYLE = (
    "body{font:14px/1.4 system-ui,sans-serif;color:#222;max-width:1200px;margin:1.5em auto;padding:0 1em}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.4em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25em .6em;border-bottom:1px solid #ddd;"
    "vertical-align:top}.number{text-align:right;white-space:nowrap}"
    ".figures{display:flex;flex-wrap:wrap;gap:8px}svg{width:380px;height:220px;font:10px sans-serif;"
    "border:1px solid #eee}.poor{color:#a00}"
)

HEADS_OF_RANGES = ("axis", "lowest um", "highest um")
HEADS_OF_VALUES = ("value", "measured", "+- (95 %)", "what is done with it", "date", "method")


class Verdict(msgspec.Struct, frozen=True):
    """How a part of the calibration ended: what was found, or why it was refused."""

    part: str
    words: str
    is_good: bool = True


class Sheet(msgspec.Struct, frozen=True):
    """What the page says besides the calibration itself. `ranges_um`: lowest and highest position of each axis."""

    made_at: datetime
    program_version: str
    ranges_um: dict[str, tuple[float, float]]
    verdicts: tuple[Verdict, ...]


def number(one: Measured) -> str:
    """A measured value with two digits of its uncertainty: digits beyond say nothing."""
    if one.uncertainty <= 0.0:
        return f"{one.value:.5g}"
    decimals = max(0, 1 - math.floor(math.log10(one.uncertainty)))
    return f"{round(one.value, decimals) + 0.0:.{decimals}f}"


def report_html(
    calibration: Calibration, sheet: Sheet, folder: Path, use_of: Callable[[str, Measured], str]
) -> str:
    """The page, self-contained. Raw data are read from `folder`; `use_of` says what is done with a value."""
    title = title_of(calibration)
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    return "\n".join(
        [
            f"<!doctype html><html lang='en'><head>{head}</head><body>",
            f"<h1>{html.escape(title)}</h1>",
            f"<p>{html.escape(made_words(calibration, sheet))}</p>",
            "<h2>Verdicts</h2>",
            _list(sheet.verdicts),
            "<h2>Range of motion</h2>",
            _table(HEADS_OF_RANGES, rows_of_ranges(sheet)),
            "<h2>Measured values</h2>",
            _table(HEADS_OF_VALUES, rows_of_values(calibration, use_of)),
            "<h2>Figures</h2>",
            f"<div class='figures'>{''.join(figures_in(calibration, folder))}</div>",
            "</body></html>\n",
        ]
    )


def _list(verdicts: Iterable[Verdict]) -> str:
    items = [
        f"<li{'' if one.is_good else ' class=poor'}><b>{html.escape(one.part)}</b>: {html.escape(one.words)}</li>"
        for one in verdicts
    ]
    return f"<ul>{''.join(items)}</ul>"


def title_of(calibration: Calibration) -> str:
    """What the page is about."""
    return f"Calibration of {calibration.owner}"


def made_words(calibration: Calibration, sheet: Sheet) -> str:
    """The name of the calibration, and who made the page when."""
    made = f"page made {sheet.made_at:%Y-%m-%d %H:%M} UTC by parfocal {sheet.program_version}"
    return f"Calibration {calibration.used or 'empty'}; {made}."


def rows_of_ranges(sheet: Sheet) -> list[list[str]]:
    """The range of each axis, for `HEADS_OF_RANGES`."""
    return [[name, f"{low:.1f}", f"{high:.1f}"] for name, (low, high) in sheet.ranges_um.items()]


def rows_of_values(calibration: Calibration, use_of: Callable[[str, Measured], str]) -> list[list[str]]:
    """Every measured value, for `HEADS_OF_VALUES`."""
    return [
        [
            name,
            number(one),
            f"{one.uncertainty:.2g}",
            use_of(name, one),
            f"{one.measured_at:%Y-%m-%d}",
            one.method,
        ]
        for name, one in calibration.values().items()
    ]


def _table(heads: tuple[str, ...], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"


def figures_in(calibration: Calibration, folder: Path) -> list[str]:
    """Return each figure as an `<svg>` element, or a `<p>` note where its raw data are missing or damaged."""
    figures: list[str] = []
    drawn: set[str] = set()
    for name, one in calibration.values().items():
        made = _of_value(name, folder / one.raw)
        # Values that share their raw data share a figure, too.
        figures += [figure for figure in made if figure not in drawn]
        drawn.update(made)
    return figures


def _of_value(name: str, path: Path) -> list[str]:
    """Its figures; a note where the raw data are gone or are of another form."""
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        return figures_of(name, raw)
    except OSError as error:
        return [
            f"<p>{html.escape(name)}: its raw data {html.escape(path.name)} are gone ({error.strerror}).</p>"
        ]
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return [f"<p>{html.escape(name)}: its raw data {html.escape(path.name)} cannot be drawn.</p>"]
