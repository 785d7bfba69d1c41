"""Rows of a continuous scan: which tiles are swept together, and the straight parts that Z goes along. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.own.board import Along
from parfocal.edge.scan.tiling.plan import PlannedTile

Floats = NDArray[np.float64]
Height = Callable[[float, float], float]

MIN_ROW = 3  # fewer tiles are taken one by one, which costs no more
# More frames than this are not left to a camera's driver; and a shorter row is less to lose.
MAX_ROW = 64
# How far Z may be from the surface on a straight part, as a share of the depth of field. Surface, play and single
# shots err by as much.
LINE_SHARE = 0.25
STANDS_OUT = 3.0  # times the tolerance
# Of so many tiles the median tells whether the one in their middle stands out. A fold across a row is up to 5 wide: it
# lies elsewhere in every row, so what the row before has shown cannot be followed.
AROUND = 11
STOP_S, AGAIN_S = 0.08, 0.45  # what a part more costs, and a tile that is taken again (docs/scan.md)
# A knot is put where it helps to stay within this share of it: there is room for the next one then.
NEARER = 0.7


class Row(msgspec.Struct, frozen=True):
    """Tiles that one sweep takes, in the order in which the stage passes them.

    `way`: 1 upwards along the axis `along`, -1 downwards.
    """

    tiles: tuple[PlannedTile, ...]
    way: int
    along: Along = "x"

    @property
    def across_um(self) -> float:
        """Where the row lies on the other axis."""
        return self.tiles[0].y_um if self.along == "x" else self.tiles[0].x_um

    def along_um(self, tile: PlannedTile) -> float:
        """Where a tile lies along the row."""
        return tile.x_um if self.along == "x" else tile.y_um

    def number(self, tile: PlannedTile) -> int:
        """Which place of the grid a tile has along the row."""
        return tile.column if self.along == "x" else tile.row

    def place_um(self, at_um: float, across_um: float) -> tuple[float, float]:
        """X and Y of a place along the row."""
        return (at_um, across_um) if self.along == "x" else (across_um, at_um)


class Part(msgspec.Struct, frozen=True):
    """One straight part of a sweep, from where the one before it ended: along the row, and height, um of the slide."""

    at_um: float
    z_um: float


class Line(msgspec.Struct, frozen=True):
    """The way of a sweep: where it begins, and its straight parts."""

    at_um: float
    z_um: float
    parts: tuple[Part, ...]

    def z_at(self, at_um: float) -> float:
        """The height to which Z is sent where the sweep passes `at_um`."""
        ends = sorted((part.at_um, part.z_um) for part in (Part(self.at_um, self.z_um), *self.parts))
        return float(np.interp(at_um, [at for at, _ in ends], [z for _, z in ends]))

    def slope_sign(self, k: int) -> int:
        """1 if Z rises in part `k`, -1 if it falls, 0 if it stands."""
        before_um = self.parts[k - 1].z_um if k else self.z_um
        return (self.parts[k].z_um > before_um) - (self.parts[k].z_um < before_um)

    @property
    def is_falling(self) -> tuple[bool, ...]:
        """For each part, whether Z goes down; a flat one goes on like the one before it."""
        falling, z_um = list[bool](), self.z_um
        for part in self.parts:
            is_flat = part.z_um == z_um
            falling.append(falling[-1] if is_flat and falling else part.z_um < z_um)
            z_um = part.z_um
        return tuple(falling)

    @property
    def n_reversals(self) -> int:
        """How often Z turns round."""
        return sum(a != b for a, b in itertools.pairwise(self.is_falling))


def rows_of(
    tiles: Sequence[PlannedTile], along: Along = "x"
) -> tuple[tuple[Row, ...], tuple[PlannedTile, ...]]:
    """The rows in which `tiles` are swept, in their order, and the tiles that are too few for a row."""
    rows, others = list[Row](), list[PlannedTile]()
    for _, found in itertools.groupby(tiles, key=lambda tile: tile.row if along == "x" else tile.column):
        in_row = tuple(found)
        for first in range(0, len(in_row), MAX_ROW):
            run = in_row[first : first + MAX_ROW]
            if len(run) < MIN_ROW:
                others += run
            else:
                one = Row(run, 1, along)
                is_upwards = one.along_um(run[-1]) > one.along_um(run[0])
                rows.append(one if is_upwards else Row(run, -1, along))
    return tuple(rows), tuple(others)


def nearest_first(tiles: Iterable[PlannedTile], from_um: tuple[float, float]) -> Iterator[PlannedTile]:
    """`tiles` in an order that saves way: always the nearest one next. X and Y move at the same time."""
    left, (x_um, y_um) = list(tiles), from_um
    while left:
        nearest = min(left, key=lambda tile: max(abs(tile.x_um - x_um), abs(tile.y_um - y_um)))
        left.remove(nearest)
        yield nearest
        x_um, y_um = nearest.x_um, nearest.y_um


class Ends(msgspec.Struct, frozen=True):
    """How far before the first tile of a row a sweep begins, and how far beyond the last it ends, um."""

    before_um: float
    beyond_um: float


def line_of(row: Row, height_um: Height, ends: Ends, depth_um: float, step_um: float) -> Line:
    """The way of a sweep over a row, in as few straight parts as stay near the surface `height_um(x, y)`.

    Parts meet between two tiles, so that the stage is at full speed, or nearly, where a tile is taken. `step_um`: of Z;
    heights lie on whole steps.
    """
    tiles_um = np.array([row.along_um(tile) for tile in row.tiles])
    zs_um = np.array([height_um(*row.place_um(float(at_um), row.across_um)) for at_um in tiles_um])
    knots, heights = _fitted(np.abs(tiles_um - tiles_um[0]), zs_um, LINE_SHARE * depth_um)
    # The first and the last part go on straight to where the stage starts and stops.
    slopes = np.diff(heights) / np.diff(knots)
    heights[0] -= slopes[0] * ends.before_um
    heights[-1] += slopes[-1] * ends.beyond_um
    knots[0] -= ends.before_um
    knots[-1] += ends.beyond_um
    # Between two steps the stage is half a step behind, on average, so the way is half a step ahead.
    signs = np.sign(slopes)
    ahead = np.array([signs[0], *(np.where(signs[1:] == signs[:-1], signs[1:], 0.0)), signs[-1]])
    on_steps = np.rint(heights / step_um + 0.5 * ahead) * step_um
    ends_um = tiles_um[0] + row.way * knots
    parts = tuple(Part(float(at), float(z)) for at, z in zip(ends_um[1:], on_steps[1:], strict=True))
    return Line(float(ends_um[0]), float(on_steps[0]), parts)


def _fitted(along_um: Floats, zs_um: Floats, tolerance_um: float) -> tuple[Floats, Floats]:
    """Knots along a row and heights there: straight parts within the tolerance of its tiles, as far as that pays.

    Knots are added between two tiles, each where it helps most. Each costs a stop, and a tile that stays off costs a
    picture in the second pass. Two may lie between the same tiles, as at a step: with one the line would swing up and
    down behind the step, since each height in a middle follows from the one before it.
    """
    together = ~_stands_out(zs_um, STANDS_OUT * tolerance_um)
    along_um, zs_um, n_out = along_um[together], zs_um[together], int((~together).sum())
    gaps = [(a + (b - a) / 3.0, a + (b - a) / 1.5) for a, b in itertools.pairwise(along_um.tolist())]
    knots = along_um[[0, -1]].astype(np.float64)
    made = list[tuple[float, Floats, Floats]]()
    while True:
        heights = _spline(along_um, zs_um, knots)
        n_off = n_out + int((np.abs(np.interp(along_um, knots, heights) - zs_um) > tolerance_um).sum())
        made.append((STOP_S * len(knots) + AGAIN_S * n_off, knots, heights))
        cheapest = min(cost for cost, _, _ in made)
        added = [one for gap in gaps for one in ((gap[0],), (gap[1],), gap) if not {*one} & {*knots.tolist()}]
        if not added or n_off == n_out or STOP_S * (len(knots) + 1) + AGAIN_S * n_out >= cheapest:
            break
        tried = [np.sort(np.append(knots, one)) for one in added]
        fits = [_spline(along_um, zs_um, each) for each in tried]
        nearer_um = NEARER * tolerance_um
        excess = [_excess(along_um, zs_um, *each, nearer_um) for each in zip(tried, fits, strict=True)]
        # Two knots must help much more than one.
        costs = [(each * len(one) ** 2, len(one)) for each, one in zip(excess, added, strict=True)]
        knots = tried[costs.index(min(costs))]
    _, knots, heights = min(made, key=lambda each: each[0])
    return knots, heights


def _stands_out(zs_um: Floats, by_um: float) -> NDArray[np.bool_]:
    """Which tiles of a row lie farther than `by_um` from the median of those about them: a fold, a wrong value.

    The first and the last tile always count, so that the row has both ends.
    """
    beyond = min(AROUND // 2, len(zs_um) - 1)
    padded = np.pad(zs_um, beyond, mode="reflect", reflect_type="odd")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * beyond + 1)
    out = np.abs(zs_um - np.median(around, axis=1)) > by_um
    out[[0, -1]] = False
    return np.asarray(out, bool)


def _excess(along_um: Floats, zs_um: Floats, knots: Floats, heights: Floats, tolerance_um: float) -> float:
    """By how much the tiles lie outside of the tolerance of a broken line, squared and added."""
    off_um = np.abs(np.interp(along_um, knots, heights) - zs_um)
    return float(np.square(np.maximum(off_um - tolerance_um, 0.0)).sum())


def _spline(along_um: Floats, zs_um: Floats, knots: Floats) -> Floats:
    """Heights at the knots of the broken line that is nearest to the tiles, by least squares."""
    hats = np.stack([np.interp(along_um, knots, unit) for unit in np.eye(len(knots))], axis=1)
    # A knot that the tiles hardly determine is drawn to where its neighbours' line would be.
    bend = np.diff(np.eye(len(knots)), 2, axis=0) * 1e-3
    design, wanted = np.vstack([hats, bend]), np.concatenate([zs_um, np.zeros(len(bend))])
    return np.asarray(np.linalg.lstsq(design, wanted, rcond=None)[0], np.float64)
