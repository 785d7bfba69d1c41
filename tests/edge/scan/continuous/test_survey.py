"""A survey without stops finds the heights that one with stops finds, and visits what its pictures do not tell."""

import contextlib
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.scan.continuous.survey import (
    SETTLED_AT_REST,
    SurveySweeps,
    SweptSurvey,
    survey_sweeps,
    sweeps_if_quicker,
    taught_first,
)
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.tiling.job import ScanJob, settings_of
from parfocal.edge.scan.tiling.judging.reading import Known
from parfocal.edge.scan.tiling.marks import marks_of_survey
from parfocal.edge.scan.tiling.plan import PlannedTile, plan_tiles
from parfocal.edge.scan.tiling.registering import shift_px
from parfocal.edge.scan.tiling.request import Request
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.conftest import PLAYS
from tests.edge.scan.tiling.small_slide import BRIGHT, CENTRE_UM, SmallSlide, bent
from tests.edge.scope import with_focus, with_scan

# A flash bright enough for 1.4 mm/s, and the controller, which the survey measures by.
SWEPT = with_focus(BRIGHT, strategy="controller")
X_UM, Y_UM = CENTRE_UM
POINTS = points_of_region(Region(X_UM - 50.0, Y_UM - 100.0, X_UM + 130.0, Y_UM + 100.0), SWEPT, 30, 100.0)


def folded(x_um: float, y_um: float) -> float:
    """The bent slide with a fold along Y, under one column of points."""
    return bent(x_um, y_um) + (6.0 if 20.0 < x_um - X_UM < 60.0 else 0.0)


def surveyed(
    small: SmallSlide, points: tuple[Field, ...] = POINTS
) -> tuple[SurveySweeps, list[FieldResult], float]:
    """The sweeps, the points, and the microscope's time, s."""
    with small.instrument(PLAYS) as instrument:
        planned = survey_sweeps(points, SWEPT, PLAYS)
        session = Session(instrument, small.eyes.two_shot, SWEPT, small.eyes.single, measures=True)
        instrument.home_if_allowed()
        began_s = instrument.clock.now_s()
        done = list(SweptSurvey(session, instrument, SWEPT, planned).run())
        assert small.bench.lamp_duty(instrument.clock.now_s()) == 0.0
        return planned, done, instrument.clock.now_s() - began_s


def off_um(small: SmallSlide, done: list[FieldResult]) -> list[float]:
    return [
        abs(each.z_um - small.focus(each.report.x_um, each.report.y_um))
        for each in done
        if each.outcome == "focused"
    ]


def test_most_points_are_told_by_one_picture_in_passing_and_all_have_the_height_of_the_focus() -> None:
    small = SmallSlide(config=SWEPT, single_sigma_um=0.1)
    planned, done, _ = surveyed(small)
    assert {each.outcome for each in done} == {"focused"}
    assert len(done) == len(POINTS)
    passed = [each for each in done if each.passed_um is not None]
    assert len(passed) >= 15
    assert {each.images for each in passed} == {1}
    assert max(off_um(small, done)) < 0.6
    errors_um = [each.error_um or 0.0 for each in done]
    assert np.abs(errors_um).mean() < 0.28  # liao2021 2.2
    assert np.abs(errors_um).max() < 0.7
    # Each place once, within half a um of where it was asked for.
    left = {(tile.x_um, tile.y_um) for tile in planned.points.tiles}
    for each in done:
        nearest = min(left, key=lambda at: abs(at[0] - each.report.x_um) + abs(at[1] - each.report.y_um))
        assert max(abs(nearest[0] - each.report.x_um), abs(nearest[1] - each.report.y_um)) < 1.5
        left.remove(nearest)
    # Engaged downwards, a height is as uncertain as the play, which is known to 0.3 um.
    sigmas_um = {round(each.report.sigma_um or 0.0, 2) for each in passed}
    assert min(sigmas_um) < 0.3 < max(sigmas_um)


def test_a_scan_sweeps_its_points_only_where_that_takes_less_time_than_to_stop_at_them() -> None:
    single, by_pairs = (
        SmallSlide(config=SWEPT).eyes.single,
        msgspec.structs.replace(SWEPT.focus, strategy="two-shot"),
    )
    assert single is not None
    area = Region(X_UM - 1000.0, Y_UM - 500.0, X_UM + 1000.0, Y_UM + 500.0)
    dense = points_of_region(area, SWEPT, None, 100.0)
    assert sweeps_if_quicker(dense, SWEPT, single, PLAYS) == survey_sweeps(dense, SWEPT, PLAYS)
    # Two shots settle 40 points at rest anyway. More than these, but far apart, are passed at the speed of a sweep.
    far = Region(X_UM - 9000.0, Y_UM - 2500.0, X_UM + 9000.0, Y_UM + 2500.0)
    assert sweeps_if_quicker(points_of_region(far, SWEPT, None, 1000.0), SWEPT, single, PLAYS) is None
    # So near to each other the camera cannot follow.
    close = points_of_region(Region(X_UM, Y_UM, X_UM + 40.0, Y_UM + 40.0), SWEPT, None, 4.0)
    assert sweeps_if_quicker(close, SWEPT, single, PLAYS) is None
    assert sweeps_if_quicker(dense[:SETTLED_AT_REST], SWEPT, single, PLAYS) is None
    assert sweeps_if_quicker(dense, SWEPT, None, PLAYS) is None
    assert sweeps_if_quicker(dense, msgspec.structs.replace(SWEPT, focus=by_pairs), single, PLAYS) is None


def test_a_point_that_lies_apart_from_what_is_expected_is_visited() -> None:
    small = SmallSlide(focus=folded, config=SWEPT, single_sigma_um=0.1)
    _, done, _ = surveyed(small)
    on_fold = [each for each in done if 20.0 < each.report.x_um - X_UM < 60.0]
    assert len(on_fold) >= 4
    assert all(each.passed_um is None for each in on_fold)
    assert max(off_um(small, done)) < 0.6


def test_points_whose_flash_is_missed_are_visited() -> None:
    small = SmallSlide(config=SWEPT, single_sigma_um=0.1, trigger_delay_s=0.0004)
    _, done, _ = surveyed(small)
    assert len(done) == len(POINTS)
    assert all(each.passed_um is None for each in done)
    assert max(off_um(small, done)) < 0.5


def test_glass_is_blank_in_passing() -> None:
    points = points_of_region(Region(X_UM - 150.0, Y_UM - 60.0, X_UM + 30.0, Y_UM + 60.0), SWEPT, 28, 100.0)
    _, done, _ = surveyed(SmallSlide(config=SWEPT, single_sigma_um=0.1), points)
    blank = [each for each in done if each.outcome == "blank"]
    assert blank
    assert all(each.report.x_um < X_UM - 90.0 for each in blank)
    assert any(each.passed_um is not None for each in blank)


def test_points_are_taught_in_the_middle_beside_it_and_in_the_quarters_first() -> None:
    tiles = [PlannedTile(row, column, 0.0, 0.0) for row in range(9) for column in range(9)]
    order = [(tile.row, tile.column) for tile in taught_first(tiles)]
    assert order[:7] == [(4, 4), (4, 5), (5, 4), (2, 2), (2, 6), (6, 6), (6, 2)]
    assert order[7:9] == [(0, 0), (0, 1)]
    assert len(set(order)) == 81


def test_rows_lie_along_the_axis_that_takes_less_time_and_keep_their_gaps() -> None:
    wide = points_of_region(Region(20_000.0, 10_000.0, 26_000.0, 13_000.0), SWEPT, None, 1000.0)
    kept = tuple(point for point in wide if point != Field(22_000.0, 11_000.0))
    for points, along in ((kept, "y"), (tuple(Field(p.y_um, p.x_um - 10_000.0) for p in kept), "x")):
        made = survey_sweeps(points, SWEPT, PLAYS)
        assert (made.sweeps.along, made.sweeps.n_rows, len(made.points.tiles)) == (along, 7, 27)
        numbers = [tile.row if along == "y" else tile.column for tile in made.points.tiles]
        assert numbers == [0, 1, 2, 3, 3, 2, 1, 0, 0, 2, 3, *([3, 2, 1, 0, 0, 1, 2, 3] * 2)]


def test_a_sweep_that_would_leave_the_stage_is_refused() -> None:
    points = points_of_region(Region(200.0, 200.0, 3000.0, 3000.0), SWEPT, 16, 1000.0)
    fast = with_scan(SWEPT, flash_brightness=500.0)
    with pytest.raises(ConfigError, match=r"would go to [xy]=-\d+ um, beyond the stage; nothing moved"):
        survey_sweeps(points, fast, PLAYS)


def test_a_scan_is_known_again_by_pictures_that_its_survey_took_in_passing(tmp_path: Path) -> None:
    plan = plan_tiles(
        rectangle(X_UM - 80.0, Y_UM - 90.0, X_UM + 120.0, Y_UM + 90.0), SWEPT, (55.2, 44.2), 0.1
    )
    small = SmallSlide(config=SWEPT, single_sigma_um=0.1)
    with small.instrument(PLAYS) as instrument:
        settings = settings_of(Request("A1", "png", plan), instrument, SWEPT, small.eyes)
        began_at = datetime(2026, 11, 27, tzinfo=timezone.utc)
        job = ScanJob(tmp_path / "slide.zarr", Request("A1", "png", plan), settings, began_at, "0.1")
        with contextlib.closing(job):
            done = list(
                job.survey(instrument, small.eyes, SWEPT, POINTS, survey_sweeps(POINTS, SWEPT, PLAYS))
            )
            marks = marks_of_survey(job.journal)
            known = msgspec.json.decode(job.journal.kept("known_singles") or "", type=tuple[Known, ...])
    passed_um = {each.passed_um for each in done if each.passed_um is not None}
    at_um = [(mark.x_um, mark.y_um) for mark in marks]
    assert len(at_um) == 3
    assert passed_um & {*at_um}
    ideal = SmallSlide()
    for mark in marks:
        z_um = ideal.focus(mark.x_um, mark.y_um)
        there = ideal.render(mark.x_um, mark.y_um, z_um, SWEPT.scan.lamp_duty)
        assert np.hypot(*shift_px(there, rgb_from_file(mark.path))[:2]) < 0.5
    # What two shots settled tells the constant of single shots, which is -0.7 um here.
    assert len(known) >= 5
    assert np.median([each.told_um - each.true_um for each in known]) == pytest.approx(-0.7, abs=0.15)
