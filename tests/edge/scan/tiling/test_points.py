"""The points of a scan's survey: few on a large slide, near each other on a small one, and on tissue only."""

import itertools

import numpy as np
import pytest

from parfocal.edge.config import Config
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, plan_tiles
from parfocal.edge.scan.tiling.points import ENOUGH_POINTS, spacing_for, survey_points
from parfocal.edge.tissue.area import Area, Polygon, rectangle

CONFIG = Config()
FIELD_UM = field_of(CONFIG.camera, 0.345)
X_UM, Y_UM = 20_000.0, 5_000.0


def planned(width_mm: float, height_mm: float) -> TilePlan:
    area = rectangle(X_UM, Y_UM, X_UM + 1000.0 * width_mm, Y_UM + 1000.0 * height_mm)
    return plan_tiles(area, CONFIG, FIELD_UM, 0.05)


def farthest_um(points: tuple[Field, ...]) -> float:
    """The largest distance of neighbours along X and along Y."""
    lines = (sorted({getattr(point, name) for point in points}) for name in ("x_um", "y_um"))
    return max(float(b - a) for line in lines for a, b in itertools.pairwise(line))


@pytest.mark.parametrize(
    ("width_mm", "height_mm", "spacing_um", "n_points"),
    [
        (1.0, 1.0, 1000.0, 4),
        (5.0, 5.0, 1000.0, 36),
        (8.0, 8.0, 1000.0, 81),
        (12.0, 12.0, 1500.0, 81),
        (15.0, 15.0, 1890.0, 81),
        (20.0, 15.0, 2000.0, 99),
        (14.0, 0.3, 1000.0, 30),  # one row of tiles
    ],
)
def test_points_are_as_far_apart_as_the_region_is_large(
    width_mm: float, height_mm: float, spacing_um: float, n_points: int
) -> None:
    plan = planned(width_mm, height_mm)
    assert spacing_for(plan) == pytest.approx(spacing_um, rel=0.04)
    points = survey_points(plan, CONFIG)
    assert len(points) == n_points
    assert farthest_um(points) <= spacing_for(plan) + 0.2


def test_a_spacing_that_is_asked_for_is_kept() -> None:
    plan = planned(15.0, 15.0)
    assert len(survey_points(plan, CONFIG, 1000.0)) == 256
    assert len(survey_points(plan, CONFIG, 3000.0)) == 36


def test_two_small_pieces_of_tissue_far_apart_get_as_many_points_as_one_piece() -> None:
    corners = np.array([[0.0, 0.0], [4000.0, 0.0], [4000.0, 4000.0], [0.0, 4000.0]])
    pieces = [corners + np.array([X_UM, Y_UM]) + 11_000.0 * k for k in (0, 1)]
    plan = plan_tiles(Area(tuple(Polygon((piece,)) for piece in pieces)), CONFIG, FIELD_UM, 0.05)
    points = survey_points(plan, CONFIG)
    assert spacing_for(plan) == 1000.0
    assert 0.5 * ENOUGH_POINTS <= len(points) <= ENOUGH_POINTS
    for point in points:
        assert any(
            (piece.min(axis=0) - FIELD_UM <= (point.x_um, point.y_um)).all()
            and ((point.x_um, point.y_um) <= piece.max(axis=0) + FIELD_UM).all()
            for piece in pieces
        )


@pytest.mark.parametrize("is_row", [True, False])
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_one_row_of_tiles_at_the_end_of_the_stage_is_surveyed_within_it(is_row: bool, end: str) -> None:
    axis, other = (CONFIG.board.y, CONFIG.board.x) if is_row else (CONFIG.board.x, CONFIG.board.y)
    room = axis.min_um + 2.0 * axis.play_um, axis.highest_um
    at_um = room[0] + 25.0 if end == "lowest" else room[1] - 25.0
    along_um = (other.max_um / 2.0, other.max_um / 2.0 + 3000.0)
    bounds = (along_um[0], at_um - 20.0, along_um[1], at_um + 20.0)
    plan = plan_tiles(
        rectangle(*(bounds if is_row else (*bounds[1::-1], *bounds[:1:-1]))), CONFIG, FIELD_UM, 0.05
    )
    assert len({tile.row if is_row else tile.column for tile in plan.tiles}) == 1
    across_um = [point.y_um if is_row else point.x_um for point in survey_points(plan, CONFIG)]
    assert room[0] <= min(across_um) < max(across_um) <= room[1]
    assert max(across_um) - min(across_um) > plan.pitch_um[1 if is_row else 0] / 2.0
