"""Tiles near the end of the stage: swept where the run-up fits, else taken at rest, so that every scan is finished."""

from pathlib import Path

import msgspec
import pytest

from parfocal.board.own.sweeping import Along
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.continuous.plan import sweep_plan
from parfocal.edge.scan.continuous.survey import survey_sweeps
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, plan_tiles
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.conftest import PLAYS, REGION, Scan
from tests.edge.scan.tiling.small_slide import BRIGHT, CONFIG, UM_PER_PX, SmallSlide


def worst_um(taken: list[TileDone]) -> float:
    return max(abs(done.error_um or 0.0) for done in taken if done.tile.tissue)


def with_end(config: Config, name: str, end: str, at_um: float) -> Config:
    """The configuration with the lower or upper end of an axis where it may just be sent to `at_um`."""
    axis = config.board.axis(name)
    limit = {"min_um": at_um} if end == "lower" else {"max_um": at_um + axis.upper_margin_um}
    board = msgspec.structs.replace(config.board, **{name: msgspec.structs.replace(axis, **limit)})
    return msgspec.structs.replace(config, board=board)


def beside_the_end(plan: TilePlan, end: str, needed_um: float) -> Config:
    """The configuration of a stage that ends `needed_um` beyond the outermost tiles of a plan."""
    at_um = [getattr(tile, f"{plan.along}_um") for tile in plan.tiles]
    limit_um = min(at_um) - needed_um if end == "lower" else max(at_um) + needed_um
    return with_end(BRIGHT, plan.along, end, limit_um)


@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_tiles_at_the_end_of_the_stage_are_swept_where_the_run_up_fits_and_else_taken_at_rest(
    scan: Scan, out: Path, along: Along, end: str
) -> None:
    plan = plan_tiles(rectangle(*REGION), CONFIG, field_of(CONFIG.camera, UM_PER_PX), 0.1, along)
    axis, ends = BRIGHT.board.axis(along), sweep_plan(plan, BRIGHT, PLAYS).ends
    needed_um = ends.beyond_um + axis.um_per_step + (axis.play_um if end == "lower" else 0.0)
    at_um = [getattr(tile, f"{along}_um") for tile in plan.tiles]
    outermost = {k for k, at in enumerate(at_um) if at == (min(at_um) if end == "lower" else max(at_um))}
    enough, less = (beside_the_end(plan, end, um) for um in (needed_um + 0.01, needed_um - 0.1))
    assert sweep_plan(plan, enough, PLAYS).n_alone == 0
    sweeps = sweep_plan(plan, less, PLAYS)
    assert sweeps.n_alone == len(outermost)
    assert sweeps.scan_s > sweep_plan(plan, enough, PLAYS).scan_s
    taken = scan(SmallSlide(config=less), sweeps=sweeps, tiles=plan)
    assert read_scan(out).is_complete
    places = {plan.places[k] for k in outermost}
    assert len(taken) == len(plan.tiles)
    assert {(d.tile.row, d.tile.column) for d in taken[-len(places) :]} == places
    assert worst_um(taken) < 0.96


@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_a_sweep_with_just_enough_room_is_not_refused(scan: Scan, out: Path, along: Along, end: str) -> None:
    plan = plan_tiles(rectangle(*REGION), CONFIG, field_of(CONFIG.camera, UM_PER_PX), 0.1, along)
    axis, ends = BRIGHT.board.axis(along), sweep_plan(plan, BRIGHT, PLAYS).ends
    needed_um = ends.beyond_um + axis.um_per_step + (axis.play_um if end == "lower" else 0.0)
    config = beside_the_end(plan, end, needed_um + 0.01)
    taken = scan(SmallSlide(config=config), sweeps=sweep_plan(plan, config, PLAYS), tiles=plan)
    assert read_scan(out).is_complete
    assert len([done for done in taken if done.tile.reason is None]) >= len(taken) - 2


def test_a_slide_that_lies_nearer_to_the_end_of_the_stage_after_an_interruption_is_finished(
    scan: Scan, out: Path, plan: TilePlan
) -> None:
    ends = sweep_plan(plan, BRIGHT, PLAYS).ends
    config = beside_the_end(plan, "upper", ends.beyond_um + 5.0)
    sweeps = sweep_plan(plan, config, PLAYS)
    assert sweeps.n_alone == 0
    scan(SmallSlide(config=config), n_tiles=7, sweeps=sweeps)
    moved = SmallSlide(config=config, moved_um=(12.0, 0.0, 0.0))
    taken = scan(moved, sweeps=sweeps)
    assert read_scan(out).is_complete
    assert worst_um(taken) < 0.96


@pytest.mark.parametrize("end", ["lower", "upper"])
def test_a_survey_is_swept_as_near_to_the_end_of_the_stage_as_a_scan(end: str) -> None:
    points = points_of_region(Region(20_000.0, 10_000.0, 20_400.0, 10_400.0), BRIGHT, 25, 100.0)
    made = survey_sweeps(points, BRIGHT, PLAYS)
    name = made.sweeps.along
    axis = BRIGHT.board.axis(name)
    spare_um = made.sweeps.ends.beyond_um + axis.um_per_step
    outer_um = (20_000.0 if name == "x" else 10_000.0) + (400.0 if end == "upper" else 0.0)
    for missing_um in (-0.01, 0.1):
        config = BRIGHT
        for each in ("x", "y"):
            at_um = outer_um + (0.0 if each == name else 10_000.0 if each == "x" else -10_000.0)
            needed_um = spare_um - missing_um
            limit_um = at_um + needed_um if end == "upper" else at_um - axis.play_um - needed_um
            config = with_end(config, each, end, limit_um)
        if missing_um < 0.0:
            assert survey_sweeps(points, config, PLAYS).sweeps.n_alone == 0
        else:
            with pytest.raises(
                ConfigError, match=r"would go to [xy]=\d+ um, beyond the stage; nothing moved"
            ):
                survey_sweeps(points, config, PLAYS)
