"""The arithmetic of an axis as tables: rounding, engagement, the way points of an approach."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.axis import steps_from_um, um_from_steps
from parfocal.board.motion.gear import (
    Engagement,
    engagement_after,
    overshoot_steps_from_play,
    plan_approach_up,
)

UP, DOWN, UNKNOWN = Engagement.UP, Engagement.DOWN, Engagement.UNKNOWN


@pytest.mark.parametrize(
    ("position_um", "steps"),
    [(0.0, 0), (0.3125, 1), (0.15, 0), (0.16, 1), (-0.16, -1), (78.0, 250), (4999.9999, 16000)],
)
def test_positions_are_rounded_to_the_nearest_step(position_um: float, steps: int) -> None:
    assert steps_from_um(position_um, 0.3125) == steps


@given(st.integers(-(10**6), 10**6), st.sampled_from([0.3125, 0.1, 1.25, 2.5, 0.3]))
def test_steps_survive_the_conversion_to_um_and_back(steps: int, um_per_step: float) -> None:
    assert steps_from_um(um_from_steps(steps, um_per_step), um_per_step) == steps


@pytest.mark.parametrize("position_um", [math.nan, math.inf, -math.inf])
def test_a_position_that_is_not_finite_is_a_value_error(position_um: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        steps_from_um(position_um, 0.3125)


@pytest.mark.parametrize(
    ("play_um", "overshoot_um"), [(0.0, 2.1875), (10.0, 12.1875), (20.0, 22.1875), (60.0, 66.25)]
)
def test_the_overshoot_is_the_play_and_a_margin_in_whole_steps(play_um: float, overshoot_um: float) -> None:
    assert um_from_steps(overshoot_steps_from_play(play_um, 0.3125), 0.3125) == overshoot_um


@pytest.mark.parametrize(
    ("before", "delta_steps", "after"),
    [
        (UP, 0, UP),
        (UP, 1, UP),
        (UP, -1, UNKNOWN),
        (UP, -70, DOWN),
        (DOWN, 69, UNKNOWN),
        (DOWN, 70, UP),
        (DOWN, -1, DOWN),
        (UNKNOWN, 69, UNKNOWN),
        (UNKNOWN, 70, UP),
        (UNKNOWN, -70, DOWN),
    ],
)
def test_engagement_is_known_once_a_move_exceeds_the_play(
    before: Engagement, delta_steps: int, after: Engagement
) -> None:
    assert engagement_after(before, delta_steps, overshoot_steps=70) is after


@pytest.mark.parametrize(
    ("pos_steps", "engagement", "target_steps", "from_below_steps", "way_points"),
    [
        pytest.param(100, UP, 100, None, (), id="there_already"),
        pytest.param(100, UP, 101, None, (101,), id="engaged_and_upwards"),
        pytest.param(100, UP, 99, None, (29, 99), id="engaged_but_downwards"),
        pytest.param(100, DOWN, 100, None, (30, 100), id="on_the_wrong_flank"),
        pytest.param(100, UNKNOWN, 120, None, (50, 120), id="flank_unknown"),
        pytest.param(100, DOWN, 170, None, (170,), id="far_enough_below_already"),
        pytest.param(100, UP, 120, 90, (50, 120), id="asked_to_start_lower"),
        pytest.param(100, UP, 120, 40, (40, 120), id="asked_to_start_lower_than_the_overshoot"),
        pytest.param(100, UP, 120, 100, (120,), id="stands_where_it_is_asked_to_start"),
        pytest.param(100, UP, 120, 130, (120,), id="start_above_the_target_asks_nothing"),
    ],
)
def test_way_points_of_an_approach(
    pos_steps: int,
    engagement: Engagement,
    target_steps: int,
    from_below_steps: int | None,
    way_points: tuple[int, ...],
) -> None:
    assert plan_approach_up(pos_steps, engagement, target_steps, 70, from_below_steps) == way_points


@given(
    st.integers(0, 500),
    st.sampled_from(Engagement),
    st.integers(0, 500),
    st.integers(1, 100),
    st.none() | st.integers(0, 500),
)
def test_an_approach_always_ends_upwards_and_engaged(
    pos_steps: int,
    engagement: Engagement,
    target_steps: int,
    overshoot_steps: int,
    from_below_steps: int | None,
) -> None:
    way_points = plan_approach_up(pos_steps, engagement, target_steps, overshoot_steps, from_below_steps)
    at_steps, last_delta, lowest_steps = pos_steps, 0, pos_steps
    for point_steps in way_points:
        last_delta = point_steps - at_steps
        engagement = engagement_after(engagement, last_delta, overshoot_steps)
        at_steps = point_steps
        lowest_steps = min(lowest_steps, at_steps)
    assert at_steps == target_steps
    assert last_delta > 0 or not way_points
    assert engagement is UP
    assert from_below_steps is None or lowest_steps <= max(from_below_steps, min(pos_steps, target_steps))
    assert max(way_points, default=target_steps) == target_steps
