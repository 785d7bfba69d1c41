"""Grades of cells and bacteria, from what is seen in a field on average (dastidar2020 table 2)."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

Grade = Literal["0", "1+", "2+", "3+", "4+"]
Counted = Literal["cells", "bacteria"]

GRADES: tuple[Grade, ...] = ("0", "1+", "2+", "3+", "4+")
WORDS = {"0": "none", "1+": "rare", "2+": "few", "3+": "moderate", "4+": "many"}
# The mean number in a field up to which grades 2+ and 3+ go; 1+ is below one in a field. The table leaves gaps between
# whole numbers (5 to 6, 10 to 11, for bacteria 1 to 2 as well), which means do not: they belong to the higher grade.
UP_TO: dict[Counted, tuple[float, float]] = {"cells": (5.0, 10.0), "bacteria": (10.0, 50.0)}


def grade_of(what: Counted, mean_number: float) -> Grade:
    """The grade of a mean number in a field; "0" where nothing was seen in any field."""
    if mean_number <= 0.0:
        return "0"
    if mean_number < 1.0:
        return "1+"
    few, moderate = UP_TO[what]
    return "2+" if mean_number <= few else "3+" if mean_number <= moderate else "4+"


def overall(what: Counted, fields: Sequence[str]) -> Grade | None:
    """The grade of a slide from its fields, each a number or a grade; None where none was filled in.

    Numbers are averaged. Of grades the commonest counts, of equally common ones the higher. Raises ValueError for a
    cell that is neither, and for a mixture.
    """
    rows = {row: cell.strip() for row, cell in enumerate(fields, start=2) if cell.strip()}
    given = list(rows.values())
    if not given:
        return None
    grades = [grade for cell in given for grade in GRADES[1:] if cell == grade]
    if len(grades) == len(given):
        counts = Counter(grades)
        return max(counts, key=lambda grade: (counts[grade], grade))
    if grades:
        raise ValueError(f"{what}: some fields have numbers and some have grades; use one of them")
    numbers = [_number(what, cell, row) for row, cell in rows.items()]
    return grade_of(what, sum(numbers) / len(numbers))


def _number(what: Counted, cell: str, row: int) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < 1e6:
        raise ValueError(
            f"row {row}: {what} is {cell!r}, which is neither a number nor a grade ({', '.join(GRADES[1:])})"
        )
    return number
