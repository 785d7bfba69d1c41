"""A survey on the virtual microscope with a predictor that knows the truth."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import Config
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import point_of, survey_report, surveyed
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


def test_a_point_after_a_blank_stretch_starts_from_its_neighbour_in_space(config: Config) -> None:
    """Two rows: the middle of the first, and the end of both, is empty."""
    row = [20_000.0, 21_000.0, 22_000.0]
    plan = tuple(Field(x, y) for y, xs in ((10_000.0, row), (11_000.0, row[::-1])) for x in xs)
    session, done = survey_of(config, plan, lambda x, y: (x > 20_500.0 and y < 10_500.0) or x > 21_500.0)
    assert [d.outcome for d in done] == ["focused", "blank", "blank", "blank", "focused", "focused"]
    # (20 000, 11 000) is as near to the first point as to the one before it: the latest counts.
    assert done[5].report.path_um[0] == done[4].z_um
    assert done[4].report.path_um[0] == done[0].z_um
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
