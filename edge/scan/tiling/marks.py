"""Pictures that a survey keeps, to know its slide again before there is a tile to know it by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import ScannedTile, scan_folder
from parfocal.edge.scan.tiling.journal import Journal, digest_of
from parfocal.edge.scan.tiling.writer import encoded

KEY = "marks"
N_MARKS = 3
AMONG_FIRST = 24  # tiles. The first ones: errors of many continuations must not add up

Write = Callable[[Path, bytes], None]


class Mark(msgspec.Struct, frozen=True):
    """A place of the slide and the picture it gave.

    `x_um`, `y_um`: the middle of the picture; `focus_um`: the height of its focus, in the coordinates of the scan's
    first session.
    """

    x_um: float
    y_um: float
    focus_um: float
    path: Path


class _Kept(msgspec.Struct, frozen=True):
    """A mark as the journal has it."""

    x_um: float
    y_um: float
    focus_um: float
    file: str
    digest: str


class _Candidate(msgspec.Struct, frozen=True, eq=False):
    sharpness: float
    place_um: tuple[float, float, float]
    pixels: UInt8Array


class SurveyMarks:
    """The sharpest pictures of a survey, `N_MARKS` at most."""

    def __init__(self) -> None:
        """None yet."""
        self._best: list[_Candidate] = []

    def see(self, place_um: tuple[float, float, float], sharpness: float, pixels: UInt8Array) -> None:
        """Take in a picture in focus. `place_um`: where the stage stood, and the height of the focus."""
        self._best.append(_Candidate(sharpness, place_um, pixels))
        self._best = sorted(self._best, key=lambda seen: -seen.sharpness)[:N_MARKS]

    def keep(self, journal: Journal, write: Write) -> None:
        """Write the pictures, then enter them into the journal. Raises OSError, JournalNotWritten."""
        kept = []
        for number, seen in enumerate(self._best):
            data, path = encoded(seen.pixels, "png"), _folder(journal.slide) / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            write(path, data)
            kept.append(_Kept(*seen.place_um, path.name, digest_of(data)))
        journal.keep(KEY, kept)


def marks_of_survey(journal: Journal) -> tuple[Mark, ...]:
    """The marks of the scan's own survey whose pictures are whole, the sharpest first."""
    marks = []
    for kept in msgspec.json.decode(journal.kept(KEY) or "[]", type=list[_Kept]):
        path = _folder(journal.slide) / kept.file
        if path.is_file() and digest_of(path.read_bytes()) == kept.digest:
            marks.append(Mark(kept.x_um, kept.y_um, kept.focus_um, path))
    return tuple(marks)


def marks_of_tiles(finished: Sequence[ScannedTile]) -> tuple[Mark, ...]:
    """The sharpest of the first tiles with tissue and a focus, in the order of their visit."""
    able = [tile for tile in finished if tile.tissue and not tile.uneven][:AMONG_FIRST]
    with_focus = [tile for tile in able if tile.focus_um is not None] or able
    sharpest = sorted(with_focus, key=lambda tile: -tile.sharpness)[:N_MARKS]
    return tuple(
        Mark(tile.x_um, tile.y_um, tile.z_um + (tile.focus_um or 0.0), tile.path) for tile in sharpest
    )


def _folder(slide: Path) -> Path:
    return scan_folder(slide) / "survey"
