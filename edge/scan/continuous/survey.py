"""A survey without stops: rows of focus points are swept, and what a sweep does not tell is visited at rest.

A few points about the middle and in the quarters come first, settled by two shots each: they tell where the slide lies,
and how single shots read it. In a sweep each picture tells the height of its focus. After every few rows two shots
settle a point again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Iterator, Sequence

import msgspec

from parfocal.board.own.sweeping import Along
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.plan import ALONGS, SweepPlan, sweep_plan
from parfocal.edge.scan.continuous.rows import Row, line_of, nearest_first, room_for_rows, rows_of
from parfocal.edge.scan.continuous.sweep import Caught, Sweeper
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import SINGLE_SIGMA_UM, Noted, is_by_single
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.moving.going import Offset
from parfocal.edge.scan.tiling.plan import PlannedTile, TilePlan, foretell
from parfocal.engines.predictor import Predictor

# Points that two shots settle at rest before a scan knows how single shots read the slide (`judging/judge.py`).
SETTLED_AT_REST = 40
TAUGHT = 6  # points that two shots settle before the first sweep
VERIFIED_ROWS = 3  # after so many rows two shots settle a point
# The depth of field counts so many times here: a picture tells its height from farther away too, and what is expected
# here is hardly known.
WIDER = 2.0
_QUARTERS = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))


class SurveySweeps(msgspec.Struct, frozen=True):
    """The points of a survey as places of a grid, in the order of its rows, and how these are swept."""

    points: TilePlan
    sweeps: SweepPlan


def survey_sweeps(
    points: Sequence[Field], config: Config, plays: Sequence[PlayInUse], trigger: TriggerInUse | None = None
) -> SurveySweeps:
    """How to sweep `points` of a grid, along X or along Y, whichever takes less time.

    Raises ConfigError as `sweep_plan`; also if a sweep would leave the stage.
    """
    plans = [_in_rows(points, along) for along in ALONGS]
    made = [SurveySweeps(plan, sweep_plan(plan, config, plays, trigger)) for plan in plans]
    inside = [each for each in made if _beyond(each, config) is None]
    if not inside:
        raise ConfigError(
            f"a sweep over the points would go to {_beyond(made[0], config)} um, beyond the stage; nothing moved. Give "
            "a smaller --region, or leave out --continuous."
        )
    return min(inside, key=lambda each: each.sweeps.scan_s)


def sweeps_if_quicker(
    points: Sequence[Field],
    config: Config,
    single: Predictor | None,
    plays: Sequence[PlayInUse],
    trigger: TriggerInUse | None = None,
) -> SurveySweeps | None:
    """How to sweep the points of a scan's survey; None where it takes less time to stop at each of them, or cannot be.

    `single`: the single-shot model; without one nothing tells a height in passing.
    """
    n_points = len(points)
    if single is None or n_points <= SETTLED_AT_REST or config.focus.strategy != "controller":
        return None
    try:
        planned = survey_sweeps(points, config, plays, trigger)
    except ConfigError:  # they lie so near to each other, or to the end of the stage
        return None
    visits_s = foretell(planned.points, config, 1.0, plays, is_triggered=True).scan_s
    return planned if planned.sweeps.scan_s < (1.0 - SETTLED_AT_REST / n_points) * visits_s else None


def _in_rows(points: Sequence[Field], along: Along) -> TilePlan:
    """The points as a grid, back and forth along an axis."""
    x0_um, y0_um = (min(getattr(point, name) for point in points) for name in ("x_um", "y_um"))
    pitch_x_um, pitch_y_um = (
        _pitch_um([getattr(point, name) for point in points]) for name in ("x_um", "y_um")
    )
    places = [
        PlannedTile(
            round((point.y_um - y0_um) / pitch_y_um),
            round((point.x_um - x0_um) / pitch_x_um),
            point.x_um,
            point.y_um,
        )
        for point in points
    ]

    def in_order(tile: PlannedTile) -> tuple[int, int]:
        line, place = (tile.row, tile.column) if along == "x" else (tile.column, tile.row)
        return line, place if line % 2 == 0 else -place

    return TilePlan(tuple(sorted(places, key=in_order)), (pitch_x_um, pitch_y_um), (0.0, 0.0), 0, along)


def _pitch_um(at_um: list[float]) -> float:
    """The distance of neighbours in one direction, um; 1 if all lie at one place."""
    there = sorted(set(at_um))
    return min((b - a for a, b in itertools.pairwise(there) if b - a > 1.0), default=1.0)


def _beyond(made: SurveySweeps, config: Config) -> str | None:
    """Where a sweep would leave the stage, as in messages; None if none does."""
    along = made.sweeps.along
    axis = config.board.axis(along)
    limits_um = axis.min_um, axis.highest_um
    low_um, high_um = room_for_rows(limits_um, axis, made.sweeps.ends)
    for row in rows_of(made.points.tiles, along)[0]:
        ends_um = sorted((row.along_um(row.tiles[0]), row.along_um(row.tiles[-1])))
        if ends_um[0] < low_um:
            return f"{along}={ends_um[0] - low_um + limits_um[0]:.0f}"
        if ends_um[1] > high_um:
            return f"{along}={ends_um[1] - high_um + limits_um[1]:.0f}"
    return None


class SweptSurvey:
    """Surveys points in sweeps."""

    def __init__(
        self, session: Session, instrument: Instrument, config: Config, planned: SurveySweeps
    ) -> None:
        """Nothing moves. Raises ConfigError if board or camera cannot be triggered."""
        self._sweeper = Sweeper(instrument, config, planned.sweeps)
        self._session, self._instrument, self._config, self._planned = session, instrument, config, planned
        self._noted = Noted(session)
        self._left = dict.fromkeys(planned.points.tiles)
        uncertainty_um = {play.axis: play.uncertainty_um for play in instrument.plays}.get("z")
        self._play_sigma_um = uncertainty_um or 0.0

    def run(self) -> Generator[FieldResult, None, None]:
        """Survey all points. The height in a report is that of the focus. Close the iterator to end it early.

        Raises what `Session.run` raises, and CameraFailed if a sweep brings no frame.
        """
        tiles, duty = self._planned.points.tiles, self._config.scan.lamp_duty
        self._instrument.home_if_allowed()
        with self._instrument.lit(duty):
            n_taught = 0
            for tile in taught_first(tiles):
                if n_taught >= TAUGHT and self._session.is_taught:
                    break
                done = self._visited(tile, is_verified=True)
                n_taught += done.outcome in ("focused", "recovered")
                yield done
        rows, _ = rows_of(tiles, self._planned.points.along)
        for number, row in enumerate(rows, start=1):
            if not any(tile in self._left for tile in row.tiles):
                continue
            verified = row.tiles[-1] if number % VERIFIED_ROWS == 0 and row.tiles[-1] in self._left else None
            yield from self._swept(row, verified)
            if verified is not None:
                with self._instrument.lit(duty):
                    yield self._visited(verified, is_verified=True)
        board = self._instrument.board
        with self._instrument.lit(duty):
            for tile in nearest_first(tuple(self._left), (board.x.stage_um, board.y.stage_um)):
                yield self._visited(tile)
        self._session.finish(len(tiles))

    def _visited(self, tile: PlannedTile, is_verified: bool = False) -> FieldResult:
        """Go to a point and focus it. `is_verified`: by two shots, whatever a single one says."""
        if is_verified:
            self._session.verify_next()
        del self._left[tile]
        field = Field(tile.x_um, tile.y_um)
        return self._noted.note(self._session.visit(field, self._noted.expected_um(field)))

    def _swept(self, row: Row, verified: PlannedTile | None) -> Iterator[FieldResult]:
        """The points of a row that their pictures in a sweep settle. `verified` is left to be visited."""
        began_s = self._instrument.clock.now_s()
        sweeps, z, depth_um = self._planned.sweeps, self._config.board.z, self._session.depth_um
        line = line_of(row, self._expected, sweeps.ends, sweeps.costs(z), WIDER * depth_um, z.um_per_step)
        for caught in self._sweeper.sweep(row, line, Offset()):
            if caught.tile not in self._left or caught.tile == verified:
                continue
            elapsed_s = (self._instrument.clock.now_s() - began_s) / len(row.tiles)
            done = self._measured(caught, elapsed_s)
            if done is not None:
                del self._left[caught.tile]
                yield self._noted.note(done)

    def _measured(self, caught: Caught, elapsed_s: float) -> FieldResult | None:
        shot = Shot(caught.z_um, caught.pixels, self._config.focus)
        field = Field(round(caught.x_um, 1), round(caught.y_um, 1))
        done = self._session.measured(field, shot, elapsed_s, caught.error_um)
        if done is None:
            return None
        report = done.report
        if caught.is_falling and is_by_single(report):
            # Engaged downwards, the height is as uncertain as the play.
            single_um = max(report.sigma_um or 0.0, SINGLE_SIGMA_UM)
            report = msgspec.structs.replace(report, sigma_um=math.hypot(single_um, self._play_sigma_um))
        return FieldResult(report, done.focus, (caught.x_um, caught.y_um))

    def _expected(self, x_um: float, y_um: float) -> Expected:
        expected_um = self._noted.expected_um(Field(x_um, y_um))
        return Expected(
            self._config.focus.first_sweep_start_um if expected_um is None else expected_um, SINGLE_SIGMA_UM
        )


def taught_first(tiles: Sequence[PlannedTile]) -> Iterator[PlannedTile]:
    """All of `tiles`: that in the middle and its two neighbours, one in each quarter, then the others in their order.

    The neighbours tell how the slide is tilted, so the quarters are not far from where they are expected.
    """
    columns, rows = [tile.column for tile in tiles], [tile.row for tile in tiles]
    spans = [(min(places), max(places) - min(places)) for places in (columns, rows)]
    wanted = [
        tuple(low + share * span for share, (low, span) in zip(shares, spans, strict=True))
        for shares in _QUARTERS
    ]
    middle_column, middle_row = wanted[0]
    wanted[1:1] = [(middle_column + 1.0, middle_row), (middle_column, middle_row + 1.0)]
    left = list(tiles)
    for column, row in wanted:
        if left:
            nearest = min(left, key=lambda tile: math.hypot(tile.column - column, tile.row - row))
            left.remove(nearest)
            yield nearest
    yield from left
