"""The sheet that a professional fills in: a row for each field, as CSV."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from parfocal.edge.errors import EdgeError
from parfocal.edge.slide.review.grades import Grade, overall
from parfocal.edge.words import named

FINDINGS = ("gram positive cocci", "gram negative bacilli")  # dastidar2020 5.2
FIRST = ("review", "observer", "field", "cells", "bacteria")
LAST = "remarks"
YES, NO = ("yes", "y", "x", "1", "true", "+"), ("no", "n", "", "0", "false", "-")
MAX_FILE_BYTES = 5_000_000


class SheetRefused(EdgeError):
    """A sheet or a table of readings cannot be read as it is. Correct the row that is named."""


class Reading(msgspec.Struct, frozen=True):
    """What one observer found on one slide by one method. `findings` are the names of what was seen.

    `looked_for`: the columns of the table, whether seen or not; empty if nobody knows.
    """

    slide: str
    observer: str
    method: str
    findings: frozenset[str]
    looked_for: frozenset[str] = frozenset()


class FilledSheet(msgspec.Struct, frozen=True):
    """A sheet that was filled in: what was seen in any of its fields, and the grades over all of them.

    `fields` counts its rows, `entered` those with an entry. `looked_for`: its columns of findings.
    """

    review: str
    observer: str
    fields: int
    findings: frozenset[str]
    cells: Grade | None
    bacteria: Grade | None
    entered: int = 0
    looked_for: frozenset[str] = frozenset()


def column_of(finding: str) -> str:
    """The name of a column for a finding: `gram_positive_cocci`."""
    return re.sub(r"\W+", "_", finding.strip().lower()).strip("_")


def empty_sheet(review: str, n_fields: int, findings: Sequence[str]) -> str:
    """A sheet to fill in, as CSV."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    columns = [column_of(finding) for finding in findings]
    rows.writerow([*FIRST, *columns, LAST])
    rows.writerows(
        [review, "", number, "", "", *[""] * len(columns), ""] for number in range(1, n_fields + 1)
    )
    return out.getvalue()


def read_sheet(path: Path) -> FilledSheet:
    """Read a sheet that was filled in. Raises SheetRefused."""
    rows, findings = _rows(path, FIRST)
    reviews, observers = ({row[name].strip() for row in rows} - {""} for name in ("review", "observer"))
    if len(reviews) != 1:
        raise refused(path, "its rows are not of one review")
    if len(observers) != 1:
        raise refused(path, "it must name one observer, in the column observer")
    numbers = [row["field"].strip() for row in rows]
    if twice := [number for number, count in Counter(numbers).items() if count > 1]:
        raise refused(path, f"field {twice[0]} is in it twice")
    try:
        cells, bacteria = (overall(what, [row[what] for row in rows]) for what in ("cells", "bacteria"))
        seen = frozenset(
            name
            for number, row in enumerate(rows, start=2)
            for name in findings
            if is_yes(row[name], name, number)
        )
    except ValueError as error:
        raise refused(path, str(error)) from error
    entered = sum(
        any(row[what].strip() for what in ("cells", "bacteria"))
        or any(row[name].strip().lower() in YES for name in findings)
        for row in rows
    )
    if not entered:
        # The page saves "no" for what was not ticked, also in a field that nobody has looked at.
        raise refused(path, "nothing is entered in any of its fields: enter 0 cells where a field is empty")
    return FilledSheet(
        reviews.pop(), observers.pop(), len(rows), seen, cells, bacteria, entered, frozenset(findings)
    )


def read_readings(path: Path) -> tuple[Reading, ...]:
    """Read a table of readings: columns slide, observer, method, and one for each finding. Raises SheetRefused."""
    rows, findings = _rows(path, ("slide", "observer", "method"))
    readings = []
    for number, row in enumerate(rows, start=2):
        who = [row[name].strip() for name in ("slide", "observer", "method")]
        if not all(who):
            raise refused(path, f"row {number} lacks slide, observer or method")
        try:
            seen = frozenset(name for name in findings if is_yes(row[name], name, number))
        except ValueError as error:
            raise refused(path, str(error)) from error
        readings.append(Reading(who[0], who[1], who[2], seen, frozenset(findings)))
    return tuple(readings)


def is_yes(cell: str, name: str, number: int) -> bool:
    """Whether a cell says yes. Raises ValueError where it says neither yes nor no."""
    word = cell.strip().lower()
    if word not in YES and word not in NO:
        raise ValueError(f"row {number}: {name} is {cell!r}, which is neither yes nor no")
    return word in YES


def refused(path: Path, why: str) -> SheetRefused:
    """The error about a table."""
    return SheetRefused(f"table {named(path)} cannot be used: {why}. Correct it.")


def _rows(path: Path, needed: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """The rows of a table, and the names of its columns of findings. Raises SheetRefused."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise refused(path, f"it is larger than {MAX_FILE_BYTES:,} bytes")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise refused(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise refused(path, "it is not UTF-8 text") from error
    first_line = text.partition("\n")[0]
    # Spreadsheets of half of the world save CSV with semicolons.
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    try:
        rows = [{column_of(k or ""): v for k, v in row.items() if isinstance(v, str)} for row in reader]
    except csv.Error as error:
        raise refused(path, f"it is not CSV: {error}") from error
    names = [column_of(name) for name in reader.fieldnames or ()]
    missing = [name for name in needed if name not in names]
    if missing:
        raise refused(path, f"its first row lacks {', '.join(missing)}")
    rows = [row for row in rows if any(cell.strip() for cell in row.values())]
    findings = [name for name in names if name and name not in needed and name != LAST]
    if not rows or not findings:
        raise refused(path, "it has no rows" if not rows else "it has no column of a finding")
    return rows, findings
