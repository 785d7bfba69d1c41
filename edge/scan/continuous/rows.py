"""Rows of a continuous scan: which tiles are swept together, and the straight parts that Z goes along. Pure."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from parfocal.board.config import AxisConfig
from parfocal.board.own.sweeping import Along, Knot
from parfocal.edge.scan.continuous.straight import Costs, Wanted, straight_parts
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.plan import PlannedTile

Expecting = Callable[[float, float], Expected]

# In a second sweep so many tiles that are good already may lie between two that are not: to pass them takes less time
# than to begin anew.
MAX_BETWEEN = 4
MIN_ROW = 3  # fewer tiles are taken one by one, which costs no more
RUN_UP_UM = 20.0  # beyond what the stage takes to reach its speed; there Z gets on its way
# More frames than this are not left to a camera's driver; and a shorter row is less to lose.
MAX_ROW = 64


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


class Section(msgspec.Struct, frozen=True):
    """What a sweep passes without a stop: where it ends, the knots of Z on it, and whether Z goes down there."""

    to_um: float
    knots: tuple[Knot, ...]
    is_falling: bool


class Line(msgspec.Struct, frozen=True):
    """The way of a sweep, um of the slide: where it begins and ends, and the knots between which Z goes straight.

    `stops`: the numbers of the knots at which the stage stops, since Z turns round there, or is too slow to go on.
    """

    begin_um: float
    end_um: float
    knots: tuple[Knot, ...]
    stops: tuple[int, ...] = ()

    @property
    def z_um(self) -> float:
        """The height at which it begins."""
        return self.knots[0].z_um

    def z_at(self, at_um: float) -> float:
        """The height to which Z is sent where the sweep passes `at_um`."""
        ends = sorted((knot.at_um, knot.z_um) for knot in self.knots)
        return float(np.interp(at_um, [at for at, _ in ends], [z for _, z in ends]))

    @property
    def slope_signs(self) -> tuple[int, ...]:
        """For each part between two knots: 1 if Z rises, -1 if it falls, 0 if it stands."""
        return tuple((b.z_um > a.z_um) - (b.z_um < a.z_um) for a, b in itertools.pairwise(self.knots))

    @property
    def is_falling(self) -> tuple[bool, ...]:
        """For each part, whether Z goes down. A flat one is like the one before, a first one like the next."""
        signs = self.slope_signs
        falls, falling = next((sign < 0 for sign in signs if sign), False), list[bool]()
        for sign in signs:
            falls = sign < 0 if sign else falls
            falling.append(falls)
        return tuple(falling)

    @property
    def n_reversals(self) -> int:
        """How often Z turns round."""
        return sum(a != b for a, b in itertools.pairwise(self.is_falling))

    @property
    def sections(self) -> tuple[Section, ...]:
        """What it passes without a stop, one after the other."""
        ends = (0, *self.stops, len(self.knots) - 1)
        falling = self.is_falling
        return tuple(
            Section(
                self.knots[b].at_um if b < len(self.knots) - 1 else self.end_um,
                self.knots[a : b + 1],
                falling[a],
            )
            for a, b in itertools.pairwise(ends)
        )


def room_for_rows(
    limits_um: tuple[float, float], axis: AxisConfig, ends: Ends, off_um: float = 0.0
) -> tuple[float, float]:
    """From where to where tiles may lie along a row that is swept, either way, um of the slide.

    `limits_um`: where the axis may be sent. `off_um`: how far the slide lies from where it lay, along the row.
    """
    # Engaged downwards, an axis is sent lower by its play. To be engaged where a sweep begins, it goes beyond that by
    # the margin of an approach, which is in `beyond_um` too. And all of it is rounded to steps.
    spare_um = ends.beyond_um + axis.um_per_step
    return limits_um[0] + axis.play_um + spare_um - off_um, limits_um[1] - spare_um - off_um


def rows_of(
    tiles: Sequence[PlannedTile], along: Along = "x", room_um: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[tuple[Row, ...], tuple[PlannedTile, ...]]:
    """The rows in which `tiles` are swept, in their order, and the tiles that are not swept.

    Those are too few for a row, or lie along it beyond `room_um`: at the end of the stage there is no way on which to
    get to the speed of a sweep.
    """
    rows, others = list[Row](), list[PlannedTile]()
    for _, found in itertools.groupby(tiles, key=lambda tile: tile.row if along == "x" else tile.column):
        in_row = list[PlannedTile]()
        for tile in found:
            is_inside = room_um[0] <= (tile.x_um if along == "x" else tile.y_um) <= room_um[1]
            (in_row if is_inside else others).append(tile)
        for first in range(0, len(in_row), MAX_ROW):
            run = tuple(in_row[first : first + MAX_ROW])
            if len(run) < MIN_ROW:
                others += run
            else:
                one = Row(run, 1, along)
                is_upwards = one.along_um(run[-1]) > one.along_um(run[0])
                rows.append(one if is_upwards else Row(run, -1, along))
    return tuple(rows), tuple(others)


def runs_of(tiles: Iterable[PlannedTile], along: Along = "x") -> list[Row]:
    """The runs in which tiles are swept for a second time; a tile that lies alone is a run of one."""

    def place(tile: PlannedTile) -> tuple[int, int]:
        return (tile.row, tile.column) if along == "x" else (tile.column, tile.row)

    runs = list[list[PlannedTile]]()
    for tile in sorted(tiles, key=place):
        line, at = place(tile)
        if runs and place(runs[-1][0])[0] == line:
            is_near = at - place(runs[-1][-1])[1] <= 1 + MAX_BETWEEN
            if is_near and at - place(runs[-1][0])[1] < MAX_ROW:
                runs[-1].append(tile)
                continue
        runs.append([tile])
    return [Row(tuple(run), 1, along) for run in runs]


def nearest_run(runs: Iterable[Row], from_um: tuple[float, float]) -> Row:
    """Of runs that may be driven either way, the one that begins nearest."""
    ways = [each for run in runs for each in (run, Row(run.tiles[::-1], -run.way, run.along))]
    return min(ways, key=lambda way: _way_um(way.tiles[0], from_um))


def nearest_first(tiles: Iterable[PlannedTile], from_um: tuple[float, float]) -> Iterator[PlannedTile]:
    """`tiles` in an order that saves way: always the nearest one next."""
    left, at_um = list(tiles), from_um
    while left:
        nearest = min(left, key=functools.partial(_way_um, from_um=at_um))
        left.remove(nearest)
        yield nearest
        at_um = nearest.x_um, nearest.y_um


def _way_um(tile: PlannedTile, from_um: tuple[float, float]) -> float:
    """The longer one of the ways in X and Y, which move at the same time, um."""
    return max(abs(tile.x_um - from_um[0]), abs(tile.y_um - from_um[1]))


class Ends(msgspec.Struct, frozen=True):
    """How far before the first tile of a row a sweep begins, and how far beyond the last it ends, um."""

    before_um: float
    beyond_um: float


def line_of(row: Row, expected: Expecting, ends: Ends, costs: Costs, depth_um: float, step_um: float) -> Line:
    """The way of a sweep over a row, on which Z keeps its tiles in focus.

    `expected` tells where the focus is expected at X and Y. `step_um`: of Z; heights lie on whole steps.
    """
    tiles_um = np.array([row.along_um(tile) for tile in row.tiles])
    places = [expected(*row.place_um(float(at_um), row.across_um)) for at_um in tiles_um]
    wanted = Wanted(
        np.abs(tiles_um - tiles_um[0]),
        np.array([each.z_um for each in places]),
        np.array([each.sigma_um for each in places]),
        np.array([math.nan if each.beyond_um is None else each.beyond_um for each in places]),
    )
    along_um, heights_um = straight_parts(wanted, costs, depth_um, step_um)
    # Z is on its line already where the first tile is taken, and still where the last one is.
    slopes = np.diff(heights_um) / np.diff(along_um)
    heights_um[0] -= slopes[0] * RUN_UP_UM
    heights_um[-1] += slopes[-1] * RUN_UP_UM
    along_um[0] -= RUN_UP_UM
    along_um[-1] += RUN_UP_UM
    on_steps_um = np.rint(heights_um / step_um) * step_um
    at_um = tiles_um[0] + row.way * along_um
    line = Line(
        float(tiles_um[0] - row.way * ends.before_um),
        float(tiles_um[-1] + row.way * ends.beyond_um),
        tuple(Knot(float(at), float(z)) for at, z in zip(at_um, on_steps_um, strict=True)),
    )
    return msgspec.structs.replace(line, stops=_stops(line, costs))


def _stops(line: Line, costs: Costs) -> tuple[int, ...]:
    """The knots at which the stage stops."""
    turns = {k + 1 for k, (a, b) in enumerate(itertools.pairwise(line.is_falling)) if a != b}
    for k, (a, b) in enumerate(itertools.pairwise(line.knots)):
        if abs(b.z_um - a.z_um) > costs.pace.most_rise_um(abs(b.at_um - a.at_um)):
            turns |= {k, k + 1}
    return tuple(sorted(turns - {0, len(line.knots) - 1}))
