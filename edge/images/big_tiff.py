"""Writes BigTIFF files of JPEG tiles as they come: the tiles first, directories at the end (TIFF 6.0, BigTIFF).

tifffile writes JPEG only with the imagecodecs package, 26 MB more than a microscope needs.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import msgspec

_SHORT, _LONG, _RATIONAL, _ASCII, _LONG8, _IFD8 = 3, 4, 5, 2, 16, 18
_FORMATS = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q", _IFD8: "Q"}
_SIZES = {_SHORT: 2, _LONG: 4, _RATIONAL: 8, _LONG8: 8, _IFD8: 8}  # of one value
Values = list[int] | str  # a rational is two numbers
_JPEG, _YCBCR, _CENTIMETRE, _CONTIGUOUS = 7, 6, 3, 1
UM_PER_CM = 1e4
FIRST_OFFSET_AT = 8  # in the header


class TiffLevel(msgspec.Struct, frozen=True, eq=False):
    """A level of a pyramid: its size, its sampling, and its JPEG tiles of `tile_px` a side, row by row."""

    width_px: int
    height_px: int
    um_per_px: float
    tile_px: int
    tiles: Iterable[bytes]


def write_pyramid(
    file: BinaryIO, levels: Sequence[TiffLevel], description: str, in_sub_directories: bool
) -> None:
    """Write the levels, the largest first: the smaller ones in sub-directories of the first, or as pages of their own.

    `description` is kept in UTF-8. Identical tiles are stored once. Raises OSError.
    """
    file.write(b"II" + struct.pack("<HHHQ", 43, 8, 0, 0))
    placed = [_put_tiles(file, level.tiles) for level in levels]
    directories: list[int] = []
    subs: list[int] = []
    next_at = FIRST_OFFSET_AT
    # The smaller levels first, since the first directory may name them.
    order = [*range(1, len(levels)), 0] if in_sub_directories else range(len(levels))
    for number in order:
        tags = _tags(levels[number], placed[number], number > 0)
        if number == 0:
            tags[270] = (_ASCII, description)
            if in_sub_directories and subs:
                tags[330] = (_IFD8, subs)
        at, next_of_it = _put_directory(file, tags)
        if number > 0 and in_sub_directories:
            subs.append(at)
            continue
        directories.append(at)
        _point(file, next_at, at)
        next_at = next_of_it


def _put_tiles(file: BinaryIO, tiles: Iterable[bytes]) -> list[tuple[int, int]]:
    """Write tiles; where each begins and how long it is."""
    placed: list[tuple[int, int]] = []
    last, last_place = b"", (0, 0)
    for tile in tiles:
        if tile != last:  # empty glass is the same tile many times in a row
            last, last_place = tile, (file.tell(), len(tile))
            file.write(tile)
        placed.append(last_place)
    return placed


def _tags(level: TiffLevel, placed: list[tuple[int, int]], is_reduced: bool) -> dict[int, tuple[int, Values]]:
    # As a rational number of pixels per centimetre, exact to a thousandth.
    per_cm = [round(UM_PER_CM / level.um_per_px * 1000.0), 1000]
    return {
        254: (_LONG, [int(is_reduced)]),
        256: (_LONG, [level.width_px]),
        257: (_LONG, [level.height_px]),
        258: (_SHORT, [8, 8, 8]),
        259: (_SHORT, [_JPEG]),
        262: (_SHORT, [_YCBCR]),
        277: (_SHORT, [3]),
        282: (_RATIONAL, per_cm),
        283: (_RATIONAL, per_cm),
        284: (_SHORT, [_CONTIGUOUS]),
        296: (_SHORT, [_CENTIMETRE]),
        305: (_ASCII, "parfocal"),
        322: (_LONG, [level.tile_px]),
        323: (_LONG, [level.tile_px]),
        324: (_LONG8, [offset for offset, _ in placed]),
        325: (_LONG8, [length for _, length in placed]),
        530: (_SHORT, [2, 2]),  # how OpenCV writes JPEG
    }


def _put_directory(file: BinaryIO, tags: dict[int, tuple[int, Values]]) -> tuple[int, int]:
    """Write a directory; where it begins, and where the offset of the next one goes."""
    entries = b"".join(_entry(file, tag, kind, values) for tag, (kind, values) in sorted(tags.items()))
    file.write(b"\0" * (-file.tell() % 8))
    at = file.tell()
    file.write(struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", 0))
    return at, at + 8 + len(entries)


def _entry(file: BinaryIO, tag: int, kind: int, values: Values) -> bytes:
    """The entry of a tag. Values that do not fit into it are written to the file first."""
    if isinstance(values, str):
        data = values.encode() + b"\0"
        count = len(data)
    else:
        data = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        count = len(data) // _SIZES[kind]
    head = struct.pack("<HHQ", tag, kind, count)
    if len(data) <= 8:
        return head + data.ljust(8, b"\0")
    file.write(b"\0" * (-file.tell() % 8))
    at = file.tell()
    file.write(data)
    return head + struct.pack("<Q", at)


def _point(file: BinaryIO, at: int, to: int) -> None:
    end = file.tell()
    file.seek(at)
    file.write(struct.pack("<Q", to))
    file.seek(end)
