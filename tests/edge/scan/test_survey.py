"""A survey on the virtual microscope with a predictor that knows the truth."""

from collections.abc import Callable, Generator
from typing import cast

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import Config
from parfocal.edge.focus.result import Attempt, FocusResult, Outcome
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import beside_um, expected_um, is_by_single, point_of, survey_report, surveyed
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.edge.scan.test_session import session_of, swept_near
from tests.edge.scope import FOCUS_Z_UM, Scope

BLANK = np.full((452, 452, 3), 230, np.uint8)


def survey_of(
    config: Config, plan: tuple[Field, ...], is_blank: Callable[[float, float], bool] = lambda _x, _y: False
) -> tuple[Session, list[FieldResult]]:
    scope = Scope(swept_near(config))
    noise = np.random.default_rng(1)

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        if is_blank(x_um, y_um):
            return (BLANK + noise.integers(-1, 2, BLANK.shape)).astype(np.uint8)
        return scope.sample.render(x_um, y_um, z_um, duty)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, render)
    session = session_of(scope)
    return session, list(surveyed(session, plan))


class Visited:
    """Stands in for a session: fields are focused at chosen heights, or blank; notes where each one started."""

    def __init__(self, outcomes: list[tuple[Outcome, float]], left_um: float = 0.0) -> None:
        self._outcomes, self._left_um = outcomes, left_um
        self.pivots_um: list[float | None] = []

    def shows_dust_alone(self, _pixels: NDArray[np.uint8]) -> bool:
        return False

    def run(
        self, plan: tuple[Field, ...], pivot_at: Callable[[Field], float | None]
    ) -> Generator[FieldResult, None, None]:
        for field, (outcome, z_um) in zip(plan, self._outcomes, strict=True):
            self.pivots_um.append(pivot_at(field))
            report = FieldReport(
                field.x_um, field.y_um, z_um, z_um - 0.25, 0.25, None, 4, 1.0, outcome, (), (z_um,)
            )
            yield FieldResult(report, FocusResult(outcome, z_um, 4, (), (z_um,), left_um=self._left_um))


def test_a_point_that_shows_dust_alone_is_blank_and_says_so(config: Config) -> None:
    plan = tuple(Field(20_000.0 + 500.0 * k, 10_000.0) for k in range(2))
    scope = Scope(swept_near(config))
    grain = cv2.circle(np.full_like(BLANK, 230), (200, 230), 9, (60, 58, 52), -1, cv2.LINE_AA)
    noise = np.random.default_rng(1)

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        if abs(x_um - plan[1].x_um) > 100.0:
            return scope.sample.render(x_um, y_um, z_um, duty)
        sigma_px = 0.4 + 0.4 * abs(z_um - FOCUS_Z_UM)
        shown = cv2.GaussianBlur(grain, (0, 0), sigma_px)
        return (shown + noise.integers(-1, 2, grain.shape)).astype(np.uint8)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, render)
    done = list(surveyed(session_of(scope), plan))
    assert [each.outcome for each in done] == ["focused", "blank"]
    point = point_of(done[1].report)
    assert (point.status, point.z_um, point.reason) == ("blank", None, "nothing but dust on glass")


def test_a_point_starts_where_the_points_nearby_lead_to_expect_the_focus() -> None:
    row = [20_000.0, 21_000.0, 22_000.0]
    plan = tuple(Field(x, y) for y, xs in ((10_000.0, row), (11_000.0, row[::-1])) for x in xs)
    # A tilt of 2 um/mm; the first row ends in a blank stretch, which reaches into the second.
    session = Visited(
        [
            ("focused", 2500.0),
            ("focused", 2502.0),
            ("blank", 2502.0),
            ("blank", 2502.0),
            ("focused", 2502.0),
            ("recovered", 2500.0),
        ]
    )
    assert len(list(surveyed(cast("Session", session), plan))) == 6
    first, second, *beyond, fifth, sixth = session.pivots_um
    assert (first, second) == (None, 2500.0)
    # Beyond the focused points the slope goes on, and is not taken for more than two points tell.
    assert all(2502.5 < (pivot_um or 0.0) < 2504.0 for pivot_um in beyond)
    assert fifth == pytest.approx(2502.0, abs=0.3)
    assert sixth == pytest.approx(2500.0, abs=0.3)


def test_a_point_has_the_height_of_the_focus_where_the_stage_did_not_go_there() -> None:
    plan = (Field(20_000.0, 10_000.0), Field(20_010.0, 10_000.0))
    session = Visited([("focused", 2500.0), ("focused", 2500.0)], left_um=-1.25)
    first, second = surveyed(cast("Session", session), plan)
    assert session.pivots_um == [None, 2498.75]
    assert point_of(second.report).z_um == 2498.75
    assert second.error_um == pytest.approx(-1.0)  # the stage was 0.25 um above the focus
    assert first.focus.z_um == 2500.0


@pytest.mark.parametrize(
    ("expected_um", "begin_um"),
    [
        (2503.0, 2503.0),  # up is on the way
        (2500.0, 2500.0),
        (2499.3, 2500.0),  # near enough to be measured from where the stage stands
        (2499.1, 2498.5),  # down, and a little farther, so that the next point may lie lower
    ],
)
def test_z_goes_down_to_a_point_only_where_it_is_too_far_above_it(
    expected_um: float, begin_um: float
) -> None:
    assert beside_um(expected_um, 2500.0, 1.0) == pytest.approx(begin_um)


def test_z_stands_at_its_first_height_when_x_and_y_arrive_at_the_first_point(config: Config) -> None:
    scope = Scope(swept_near(config))
    heights_um: list[float] = []

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        heights_um.append(z_um)
        return scope.sample.render(x_um, y_um, z_um, duty)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, render)
    session = session_of(scope)
    scope.board.home()
    began_s = scope.bench.clock.now_s()
    next(surveyed(session, (Field(20_000.0, 10_000.0),)))
    first_um = scope.config.focus.first_sweep_start_um
    # 2.4 mm at 1 mm/s and 20 mm at 10 mm/s, at the same time; then a look and a pair.
    assert scope.bench.clock.now_s() - began_s < first_um / 1000.0 + 1.7
    assert min(heights_um) >= first_um - 1.0


def at(x_um: float, y_um: float, z_um: float) -> FieldReport:
    return FieldReport(x_um, y_um, z_um, None, None, None, 4, 1.0, "focused", (), (z_um,), reason=None)


def test_a_height_by_single_shots_alone_is_less_certain() -> None:
    def attempt(rule: str) -> Attempt:
        return Attempt(2500.0, 2500.0, (0.1,), 0.1, 0.0, rule, 0.2)

    by = {
        rule: msgspec.structs.replace(at(0.0, 0.0, 2500.0), attempts=(attempt(rule),), sigma_um=0.2)
        for rule in ("single", "single_in_focus", "single_measured", "accept", "pair_measured")
    }
    assert {rule: is_by_single(report) for rule, report in by.items()} == {
        "single": True,
        "single_in_focus": True,
        "single_measured": True,
        "accept": False,
        "pair_measured": False,
    }
    assert {rule: point_of(report).sigma_um for rule, report in by.items()} == {
        "single": 0.25,
        "single_in_focus": 0.25,
        "single_measured": 0.25,
        "accept": 0.2,
        "pair_measured": 0.2,
    }


def test_a_plane_is_expected_to_go_on_and_one_point_on_a_fold_does_not_bend_it() -> None:
    def plane_um(x_um: float, y_um: float) -> float:
        return 2500.0 + 2.0 * (x_um - 20_000.0) / 1000.0 - 3.0 * (y_um - 10_000.0) / 1000.0

    places = [(20_000.0 + 600.0 * i, 10_000.0 + 600.0 * j) for j in range(3) for i in range(4)]
    focused = [at(x, y, plane_um(x, y)) for x, y in places]
    beyond = Field(20_000.0 + 600.0 * 4, 10_000.0 + 600.0 * 2)
    assert expected_um(focused, beyond) == pytest.approx(plane_um(beyond.x_um, beyond.y_um), abs=0.1)
    fold = focused[-2]
    focused[-2] = at(fold.x_um, fold.y_um, fold.z_um + 6.0)
    assert expected_um(focused, beyond) == pytest.approx(plane_um(beyond.x_um, beyond.y_um), abs=0.5)
    assert expected_um(focused[:1], beyond) == focused[0].z_um


def test_blank_points_are_left_out_with_the_reason_and_three_others_give_no_surface(config: Config) -> None:
    row = [20_000.0, 21_000.0, 22_000.0]
    plan = tuple(Field(x, y) for y, xs in ((10_000.0, row), (11_000.0, row[::-1])) for x in xs)
    session, done = survey_of(config, plan, lambda x, y: (x > 20_500.0 and y < 10_500.0) or x > 21_500.0)
    assert [d.outcome for d in done] == ["focused", "blank", "blank", "blank", "focused", "focused"]
    # A given height is where the field starts, to the nearest step.
    assert done[4].report.path_um[0] == pytest.approx(done[0].z_um, abs=0.16)
    report, surface = survey_report([d.report for d in done], session.first_sweep_s)
    assert [p.status for p in report.points].count("blank") == 3
    assert report.points[1].reason == "the field is empty"
    assert surface is None
    assert report.refused is not None
    assert "3 points with a focus, of 6" in report.refused


def test_points_carry_the_height_of_the_focus(config: Config) -> None:
    plan = (Field(20_000.0, 10_000.0), Field(20_400.0, 10_000.0))
    _, done = survey_of(config, plan)
    for point in map(point_of, (d.report for d in done)):
        assert point.status == "used"
        assert point.z_um == pytest.approx(FOCUS_Z_UM, abs=11.0)  # the play of Z below the command
