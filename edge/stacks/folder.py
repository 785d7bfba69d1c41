"""Stacks in a folder of images: with a table `stack.csv` of them, or with numbers in their names."""

import csv
import itertools
import math
import re
from pathlib import Path

from parfocal.edge.images.eight_bits import Picture
from parfocal.edge.images.rgb import pixels_from_file
from parfocal.edge.stacks.data import (
    CONDENSER_KEY,
    FOCUS_KEY,
    TO_CORRECT,
    Raw,
    StackRefused,
    size_of,
)

INDEX_NAME = "stack.csv"
FILE_KEY, HEIGHT_KEY = "file", "z_um"
ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# A comma before three digits may part thousands as well.
MAY_BE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")

Row = dict[str, str]


def from_folder(folder: Path) -> Raw:
    """Read a folder. Raises StackRefused."""
    if (folder / INDEX_NAME).exists():
        return _from_table(folder)
    names = numbered(folder)
    return Raw(_planes_of(folder, names), None, f"it has no {INDEX_NAME}")


def _from_table(folder: Path) -> Raw:
    rows = _rows_of(folder)
    numbers = {
        key: _numbers_of(folder, key, [row.get(key, "") for row in rows])
        for key in (HEIGHT_KEY, FOCUS_KEY, CONDENSER_KEY)
    }
    heights_um = numbers[HEIGHT_KEY]
    names = [row.get(FILE_KEY, "") for row in rows]
    if not all(names) or None in heights_um:
        raise StackRefused(folder, f"{INDEX_NAME} needs the columns {FILE_KEY},{HEIGHT_KEY} in every row")
    return Raw(
        _planes_of(folder, names),
        tuple(z_um for z_um in heights_um if z_um is not None),
        focus_z_um=_told_by_all(folder, FOCUS_KEY, numbers[FOCUS_KEY]),
        condenser_sigma=_told_by_all(folder, CONDENSER_KEY, numbers[CONDENSER_KEY]),
    )


def _rows_of(folder: Path) -> list[Row]:
    """Rows of the table, parted by commas, semicolons or tabs: whichever its first line has."""
    try:
        text = (folder / INDEX_NAME).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StackRefused(folder, f"{INDEX_NAME} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StackRefused(
            folder, f"{INDEX_NAME} is no text of UTF-8 ({error})", "Save it as CSV UTF-8."
        ) from error
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):  # what spreadsheets write for each other
        lines = lines[1:]
    first = lines[0] if lines else ""
    delimiter = next((character for character in ";\t" if character in first), ",")
    try:
        parted = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise StackRefused(folder, f"{INDEX_NAME} is no table ({error})") from error
    header = [name.strip() for name in parted[0]] if parted else []
    if FILE_KEY not in header or HEIGHT_KEY not in header:
        raise StackRefused(
            folder,
            f"{INDEX_NAME} needs the columns {FILE_KEY},{HEIGHT_KEY} in every row, its first line says {first!r}",
        )
    rows = [row for row in parted[1:] if any(row)]
    if any(len(row) > len(header) for row in rows):
        raise StackRefused(
            folder,
            f"{INDEX_NAME} has rows of more than its {len(header)} columns",
            "Write numbers with a decimal point, or part the columns by semicolons.",
        )
    return [dict(zip(header, (cell.strip() for cell in row), strict=False)) for row in rows]


def _numbers_of(folder: Path, key: str, cells: list[str]) -> list[float | None]:
    """The numbers of a column, None for empty cells; a comma is a decimal one where it can be nothing else.

    Raises StackRefused.
    """
    with_comma = [cell for cell in cells if "," in cell]
    if with_comma and all(MAY_BE_THOUSANDS.fullmatch(cell) for cell in with_comma):
        raise StackRefused(
            folder,
            f"{key} in {INDEX_NAME} says {with_comma[0]}, which may be a fraction or thousands",
            "Write numbers with a decimal point.",
        )
    return [_number_of(folder, key, cell) for cell in cells]


def _number_of(folder: Path, key: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell)
    except ValueError as error:
        raise StackRefused(
            folder, f"{key} in {INDEX_NAME} must be a number in every row, it says {cell!r}"
        ) from error
    if not math.isfinite(value):
        raise StackRefused(folder, f"{key} in {INDEX_NAME} holds {cell}, which is no number of um")
    return value


def _told_by_all(folder: Path, key: str, values: list[float | None]) -> float | None:
    """What every row that says something says. Raises StackRefused where they differ."""
    told = {value for value in values if value is not None}
    if len(told) > 1:
        said = ", ".join(f"{value:g}" for value in sorted(told))
        raise StackRefused(folder, f"{key} in {INDEX_NAME} must be one number, it says {said}")
    return told.pop() if told else None


def numbered(folder: Path) -> list[str]:
    """Names of the images in a folder by the one number that tells them apart, which rises by 1.

    Raises StackRefused.
    """
    try:
        names = [path.name for path in folder.iterdir() if path.suffix.lower() in ENDINGS]
    except OSError as error:
        raise StackRefused(folder, f"it cannot be read: {error.strerror}") from error
    if not names:
        raise StackRefused(
            folder,
            f"it has neither {INDEX_NAME} nor images ({', '.join(ENDINGS)})",
            "Give a folder of images, or an OME-TIFF.",
        )
    parts = {name: re.split(r"(\d+)", name) for name in names}
    texts = {tuple(part[::2]) for part in parts.values()}
    numbers = [tuple(int(digits) for digits in part[1::2]) for part in parts.values()]
    differing = (
        [k for k in range(len(numbers[0])) if len({row[k] for row in numbers}) > 1] if len(texts) == 1 else []
    )
    if len(differing) != 1 and len(names) > 1:
        raise StackRefused(
            folder,
            f"its images are not told apart by one number in their names ({min(names)}, {max(names)})",
            f"Leave the planes of one stack in it, or write a {INDEX_NAME} of file,z_um.",
        )
    at = differing[0] if differing else 0
    ordered = sorted(zip((row[at] for row in numbers), names, strict=True)) if differing else [(0, names[0])]
    for (below, name), (above, _) in itertools.pairwise(ordered):
        if above != below + 1:
            raise StackRefused(
                folder, f"after {name} comes number {above}: a plane is missing, or there twice", TO_CORRECT
            )
    return [name for _, name in ordered]


def _planes_of(folder: Path, names: list[str]) -> tuple[Picture, ...]:
    planes: list[Picture] = []
    for name in names:
        try:
            plane = pixels_from_file(folder / name)
        except OSError as error:
            raise StackRefused(folder, f"{name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StackRefused(folder, str(error)) from error
        if planes and plane.shape != planes[0].shape:
            raise StackRefused(folder, f"{name} is {size_of(plane)}, {names[0]} is {size_of(planes[0])}")
        if planes and plane.dtype != planes[0].dtype:
            raise StackRefused(folder, f"{name} is of type {plane.dtype}, {names[0]} of {planes[0].dtype}")
        planes.append(plane)
    return tuple(planes)
