"""Reads stacks from a folder of images, listed in a table `stack.csv` or numbered in their names."""

import csv
import itertools
import math
import re
from pathlib import Path

from parfocal.edge.images.eight_bits import RawPixels
from parfocal.edge.images.rgb import pixels_from_file
from parfocal.edge.stacks.stack import (
    CONDENSER_KEY,
    FOCUS_KEY,
    MOVED_KEY,
    RawStack,
    StackRefused,
    check_memory,
)

INDEX_NAME = "stack.csv"
MAX_INDEX_BYTES = 10_000_000  # a row takes about 30
FILE_KEY, HEIGHT_KEY = "file", "z_um"
ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
# A comma before three digits may also separate thousands.
MAY_BE_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")

Row = dict[str, str]


def from_folder(folder: Path) -> RawStack:
    """Read a folder. Raises StackRefused."""
    if (folder / INDEX_NAME).exists():
        return _from_index(folder)
    return RawStack(_planes_of(folder, _numbered_names(folder)), None, f"it has no {INDEX_NAME}")


def _from_index(folder: Path) -> RawStack:
    rows = _rows_of(folder)
    numbers = {
        key: _numbers_of(folder, key, [row.get(key, "") for row in rows])
        for key in (HEIGHT_KEY, FOCUS_KEY, CONDENSER_KEY, MOVED_KEY)
    }
    heights_um = numbers[HEIGHT_KEY]
    names = [row.get(FILE_KEY, "") for row in rows]
    if not all(names) or None in heights_um:
        raise StackRefused(folder, f"{INDEX_NAME} needs the columns {FILE_KEY},{HEIGHT_KEY} in every row")
    return RawStack(
        _planes_of(folder, names),
        tuple(z_um for z_um in heights_um if z_um is not None),
        focus_z_um=_only_value(folder, FOCUS_KEY, numbers[FOCUS_KEY]),
        condenser_sigma=_only_value(folder, CONDENSER_KEY, numbers[CONDENSER_KEY]),
        focus_moved_um=_only_value(folder, MOVED_KEY, numbers[MOVED_KEY]),
    )


def _rows_of(folder: Path) -> list[Row]:
    """Rows of the table, separated by commas, semicolons or tabs: whichever its first line has."""
    lines = _index_text(folder).splitlines()
    if lines and lines[0].lower().startswith("sep="):  # spreadsheets name their separator so
        lines = lines[1:]
    first = lines[0] if lines else ""
    delimiter = next((character for character in ";\t" if character in first), ",")
    try:
        cells = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise StackRefused(folder, f"{INDEX_NAME} is not a table ({error})") from error
    header = [name.strip() for name in cells[0]] if cells else []
    if FILE_KEY not in header or HEIGHT_KEY not in header:
        raise StackRefused(
            folder,
            f"{INDEX_NAME} needs the columns {FILE_KEY},{HEIGHT_KEY} in every row, its first line is {first!r}",
        )
    rows = [row for row in cells[1:] if any(row)]
    if any(len(row) > len(header) for row in rows):
        raise StackRefused(
            folder,
            f"{INDEX_NAME} has rows with more than its {len(header)} columns",
            "Write numbers with a decimal point, or separate the columns by semicolons.",
        )
    return [dict(zip(header, (cell.strip() for cell in row), strict=False)) for row in rows]


def _index_text(folder: Path) -> str:
    try:
        with (folder / INDEX_NAME).open("rb") as file:
            data = file.read(MAX_INDEX_BYTES + 1)
        if len(data) > MAX_INDEX_BYTES:
            raise StackRefused(folder, f"{INDEX_NAME} is larger than {MAX_INDEX_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise StackRefused(folder, f"{INDEX_NAME} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StackRefused(
            folder, f"{INDEX_NAME} is not UTF-8 text ({error})", "Save it as CSV UTF-8."
        ) from error


def _numbers_of(folder: Path, key: str, cells: list[str]) -> list[float | None]:
    """The numbers of a column, None for empty cells; a comma is a decimal comma where nothing else is possible.

    Raises StackRefused.
    """
    with_comma = [cell for cell in cells if "," in cell]
    if with_comma and all(MAY_BE_THOUSANDS.fullmatch(cell) for cell in with_comma):
        raise StackRefused(
            folder,
            f"{key} in {INDEX_NAME} is {with_comma[0]}, which may be a fraction or thousands",
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
            folder, f"{key} in {INDEX_NAME} must be a number in every row, found {cell!r}"
        ) from error
    if not math.isfinite(value):
        raise StackRefused(folder, f"{key} in {INDEX_NAME} is {cell}, which is not a finite number")
    return value


def _only_value(folder: Path, key: str, values: list[float | None]) -> float | None:
    """The one value of a column, None where all its cells are empty. Raises StackRefused where values differ."""
    different = {value for value in values if value is not None}
    if len(different) > 1:
        found = ", ".join(f"{value:g}" for value in sorted(different))
        raise StackRefused(
            folder, f"{key} in {INDEX_NAME} must be the same number in every row, found {found}"
        )
    return different.pop() if different else None


def _numbered_names(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted by the one number in which they differ; it must rise by 1.

    Raises StackRefused.
    """
    names = _image_names(folder)
    if len(names) == 1:
        return names
    numbered = _by_number(folder, names)
    for (below, name), (above, _) in itertools.pairwise(numbered):
        if above != below + 1:
            raise StackRefused(
                folder, f"{name} is followed by number {above}: a plane is missing or there twice"
            )
    return [name for _, name in numbered]


def _image_names(folder: Path) -> list[str]:
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
    return names


def _by_number(folder: Path, names: list[str]) -> list[tuple[int, str]]:
    """Numbers and names, sorted. Raises StackRefused where the names differ in anything but one number."""
    parts = [re.split(r"(\d+)", name) for name in names]
    texts = {tuple(part[::2]) for part in parts}
    numbers = [tuple(int(digits) for digits in part[1::2]) for part in parts]
    differing = []
    if len(texts) == 1:
        differing = [k for k in range(len(numbers[0])) if len({row[k] for row in numbers}) > 1]
    if len(differing) != 1:
        raise StackRefused(
            folder,
            f"the names of its images do not differ in exactly one number ({min(names)}, {max(names)})",
            f"Leave only the planes of one stack in it, or write a {INDEX_NAME} of file,z_um.",
        )
    return sorted(zip((row[differing[0]] for row in numbers), names, strict=True))


def _planes_of(folder: Path, names: list[str]) -> tuple[RawPixels, ...]:
    """Read images, which must be alike; the first one shows whether all fit into memory. Raises StackRefused."""
    planes: list[RawPixels] = []
    for name in names:
        try:
            plane = pixels_from_file(folder / name)
        except OSError as error:
            raise StackRefused(folder, f"{name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StackRefused(folder, str(error)) from error
        if not planes:
            check_memory(folder, len(names), plane.nbytes)
        elif plane.shape != planes[0].shape:
            raise StackRefused(folder, f"{name} is {_size_of(plane)}, {names[0]} is {_size_of(planes[0])}")
        elif plane.dtype != planes[0].dtype:
            raise StackRefused(folder, f"{name} is of type {plane.dtype}, {names[0]} of {planes[0].dtype}")
        planes.append(plane)
    return tuple(planes)


def _size_of(plane: RawPixels) -> str:
    return f"{plane.shape[1]} x {plane.shape[0]} px"
