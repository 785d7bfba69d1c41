"""Tiles without a single focus, as on a fold: noticed in one picture, then scanned along the axis."""

from __future__ import annotations

import csv
import io
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import FieldShape, Passed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiling.writer import encoded

# A tile is examined where the sharpness of its parts differs this much more than usual. Measured on six stains of the
# virtual slide (`tests.bench.crispness`): beyond lie 4 of 268 even fields, 129 of 133 with folds 5 um high, 136 of 139
# with steps of 4 um, and 114 of 137 tilted by 3.5 um.
UNUSUAL = 1.25
# The same for a tile whose focus was not where it was expected. Of these 409 uneven fields 13 lie below, most of them
# tilted, and 45 of the even ones beyond.
UNUSUAL_UNEXPECTED = 1.1
# The same in a sweep, where a second picture costs five times as much as the first: beyond lie 124 of the 133 folds,
# 134 of the 139 steps, 80 of the 137 tilts, and one even field.
UNUSUAL_SWEPT = 1.5
MIN_USUAL = 5
# What is usual about a place is the median of so many even tiles, the nearest ones: of two stains side by side each has
# its own. By the last 20 of a scan along rows, twice as many even tiles of four stains were looked at a second time.
NEAREST = 20
KEPT_USUAL = 1000  # even tiles that are remembered: of 25 rows of a slide
# So many tiles that were unusual and proved even are remembered. The second highest counts: one may be mistaken.
KEPT_PROVEN = 12
# More than even tiles of most stains had (0.9), and less than nearly all folds. Farther apart, the parts of a tile
# whose shape was not measured count only where they are usual by what is known: of some H&E they lie 1.3 apart, and cut
# off at a fixed value, what is usual would be the lowest tenth.
MAX_USUAL = 1.0
STACK_STEP_SHARE = 0.6  # of the depth of field from plane to plane
MAX_PLANES = 48

Place = tuple[float, float]  # X and Y, um
# Of an even tile: how far apart its parts are in sharpness, and its X and Y, um.
Usual = tuple[float, float, float]
Write = Callable[[Path, bytes], None]
# What beside its parts speaks against a single focus of a tile: it was not in focus where it was expected; or its
# patches contradict each other, or no focus was found.
Doubt = Literal["unexpected", "contradicting"]


class UsualSpread:
    """How far apart the sharpness of the parts of an even tile lies. It depends on the stain, and so on the place."""

    def __init__(self, known: Sequence[Usual] = ()) -> None:
        """`known`: what an earlier session of the same scan has learned."""
        self._known: deque[Usual] = deque(known, maxlen=KEPT_USUAL)
        self._proven: deque[float] = deque(maxlen=KEPT_PROVEN)

    @property
    def known(self) -> tuple[Usual, ...]:
        """What was learned, to be kept for a scan that is continued."""
        return tuple(self._known)

    @property
    def is_ready(self) -> bool:
        """Whether enough is known to judge by it."""
        return len(self._known) >= MIN_USUAL

    def learn(self, spread: float | None, place_um: Place, is_even: bool = False) -> None:
        """Learn from a tile. `is_even`: its shape was measured; else a spread that is unusual is left out."""
        if spread is None:
            return
        is_unusual = self.is_unusual(spread, place_um)
        if is_even and is_unusual:
            self._proven.append(spread)
        if is_even or spread <= MAX_USUAL or not is_unusual:
            self._known.append((spread, *place_um))

    def is_unusual(self, spread: float | None, place_um: Place, share: float = UNUSUAL) -> bool:
        """Whether a tile may be uneven, by more than `share` of what is usual. None: too little is in it to tell."""
        if spread is None:
            return False
        return not self.is_ready or spread > share * self._usual_about(place_um)

    def is_unusual_in_sweep(self, spread: float | None, place_um: Place) -> bool:
        """The same where a second picture is dear."""
        return self.is_unusual(spread, place_um, UNUSUAL_SWEPT) and not self.is_like_proven(spread)

    def is_like_proven(self, spread: float | None) -> bool:
        """Whether it is like content that looked uneven and proved even."""
        return spread is not None and len(self._proven) >= 2 and spread <= sorted(self._proven)[-2]

    def _usual_about(self, place_um: Place) -> float:
        known = np.array(self._known)[::-1]  # of two as near the later one: a place may be seen again
        apart_um = np.hypot(known[:, 1] - place_um[0], known[:, 2] - place_um[1])
        return float(np.median(known[np.argsort(apart_um, kind="stable")[:NEAREST], 0]))


class Field(Protocol):
    """The field under the objective: `UnevenField`."""

    def examine_and_stay(self, shot: Shot) -> FieldShape | None:
        """Judge the field of a shot by a second one, and scan through it if need be."""

    def begin_um(self, low_um: float, high_um: float) -> float:
        """Where the stage stands before it goes `through`, engaged upwards."""

    def through(self, low_um: float, high_um: float) -> Passed | None:
        """Scan through the field, whose focus lies about between these heights."""


class UnevenTiles:
    """Judges whether a tile has a single focus."""

    def __init__(self, usual: UsualSpread, field: Field) -> None:
        """`field` is where the stage stands."""
        self.usual, self.field = usual, field

    def shape_of(
        self, shot: Shot, spread: float | None, place_um: Place, doubt: Doubt | None, has_left: bool = False
    ) -> FieldShape | None:
        """The shape of a tile that may be uneven, as it was measured; None for one that was taken for even.

        `spread`: of the sharpness of its parts. `has_left`: the stage had left the tile before it was looked at, and
        came back if `may_be_uneven` said so. The stage may end at another height. Raises BoardError, CameraFailed,
        EngineError.
        """
        if not self.may_be_uneven(spread, place_um, doubt, has_left):
            self.usual.learn(spread, place_um)
            return None
        shape = self.field.examine_and_stay(shot)
        if shape is None or shape.verdict != "uneven":
            self.usual.learn(spread, place_um, is_even=shape is not None)
        return shape

    def may_be_uneven(
        self, spread: float | None, place_um: Place, doubt: Doubt | None, has_left: bool = False
    ) -> bool:
        """Whether `shape_of` examines such a tile, with the stage where its picture was taken.

        Where it `has_left`, coming back is dear, so content that is like some that proved even is left alone.
        """
        if doubt == "unexpected" and spread is not None:
            return self.usual.is_unusual(spread, place_um, UNUSUAL_UNEXPECTED)
        if doubt is not None:
            return True
        return self.usual.is_unusual(spread, place_um) and not (
            has_left and self.usual.is_like_proven(spread)
        )


def doubt_about(is_known: bool, was_expected: bool, spread_um: float | None, depth_um: float) -> Doubt | None:
    """What speaks against a single focus of a tile, beside the sharpness of its parts.

    `is_known`: a focus was found; `was_expected`: where it was expected; `spread_um`: how far its patches lie apart.
    """
    if not is_known or (spread_um is not None and spread_um > depth_um):
        return "contradicting"
    return None if was_expected else "unexpected"


def spread_of(shape: FieldShape) -> tuple[float, float]:
    """The lowest and the highest focus in a field that was scanned, um."""
    if shape.heights is None or shape.heights.range_um is None:
        return shape.z_um, shape.z_um
    return shape.heights.range_um


def stack_heights(range_um: tuple[float, float], depth_um: float) -> tuple[float, ...]:
    """Heights of a stack through a field, upwards, from a depth of field below its lowest focus to one above."""
    low_um, high_um = range_um
    n = min(MAX_PLANES, 1 + math.ceil((high_um - low_um + 2.0 * depth_um) / (STACK_STEP_SHARE * depth_um)))
    return tuple(float(z) for z in np.linspace(low_um - depth_um, high_um + depth_um, n))


def write_planes(folder: Path, planes: Sequence[tuple[float, UInt8Array]], write: Write) -> None:
    """Write planes, (height um, RGB), into a folder that `parfocal evaluate` reads: pictures and stack.csv.

    `write` puts bytes at a path. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "z_um"))
    for number, (z_um, pixels) in enumerate(planes):
        name = f"plane-{number:02d}.png"
        write(folder / name, encoded(pixels, "png"))
        rows.writerow((name, f"{z_um:.4f}"))
    write(folder / "stack.csv", table.getvalue().encode())
