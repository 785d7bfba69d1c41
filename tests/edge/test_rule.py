import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.config import FocusConfig
from parfocal.edge.estimate import Estimate
from parfocal.edge.rule import Accept, Again, Decision, GiveUp, approach_start_um, decide, first_shot_um

CONFIG = FocusConfig()
LIMITS_UM = (0.0, 5000.0)


def seen(distance_um: float, spread_um: float = 0.2) -> Estimate:
    return Estimate(distance_um, spread_um, (distance_um,) * 4, (1.0,) * 4)


def test_the_first_field_positions_are_those_of_the_paper() -> None:
    assert first_shot_um(1000.0, CONFIG) == 992.0
    assert approach_start_um(992.0, CONFIG) == 978.0


@pytest.mark.parametrize(
    ("distance_um", "spread_um", "expected"),
    [
        (6.0, 0.2, Accept(2506.0, "accept")),
        (0.0, 0.0, Accept(2500.0, "accept")),
        (12.0, 1.0, Accept(2512.0, "accept")),  # both thresholds are exclusive
        (12.1, 0.2, Again(2506.05, "half_distance")),
        (6.0, 1.1, Again(2503.0, "half_spread")),
        (14.0, 3.0, Again(2507.0, "half_spread")),
        (-0.2, 0.2, Accept(2500.0, "in_focus")),
        # focus below z2: both new shots below it by more than the distance, as seen from here
        (-3.0, 0.2, Again(2492.0, "down")),
        (-12.0, 0.2, Again(2474.0, "down")),
        # uncertain and downwards: half-way, for the second shot
        (-6.0, 1.5, Again(2495.0, "half_spread")),
        (-14.0, 0.2, Again(2491.0, "half_distance")),
        (math.nan, 0.2, GiveUp("exhausted")),
        (3.0, math.nan, GiveUp("exhausted")),
    ],
)
def test_one_estimate_leads_to_one_decision(distance_um: float, spread_um: float, expected: Decision) -> None:
    found = decide(seen(distance_um, spread_um), 2500.0, 1, LIMITS_UM, CONFIG)
    assert type(found) is type(expected)
    assert found.rule == expected.rule
    if isinstance(found, Accept) and isinstance(expected, Accept):
        assert found.target_um == pytest.approx(expected.target_um)
    if isinstance(found, Again) and isinstance(expected, Again):
        assert found.z1_um == pytest.approx(expected.z1_um)


@pytest.mark.parametrize(
    ("distance_um", "z2_um"),
    [(6.0, 4996.0), (30.0, 4990.0), (-3.0, 4.0)],
    ids=["target above the limit", "half-way above the limit", "next shot below the limit"],
)
def test_what_would_leave_the_limits_is_given_up(distance_um: float, z2_um: float) -> None:
    assert decide(seen(distance_um), z2_um, 1, LIMITS_UM, CONFIG) == GiveUp("beyond_limits")


def test_attempts_are_bounded_but_a_good_last_one_counts() -> None:
    last = CONFIG.max_attempts
    assert isinstance(decide(seen(5.0, 2.0), 2500.0, last - 1, LIMITS_UM, CONFIG), Again)
    assert decide(seen(5.0, 2.0), 2500.0, last, LIMITS_UM, CONFIG) == GiveUp("exhausted")
    assert isinstance(decide(seen(5.0, 0.2), 2500.0, last, LIMITS_UM, CONFIG), Accept)


@given(
    st.floats(-40.0, 40.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 5000.0),
    st.integers(1, 6),
    st.floats(0.0, 2000.0),
)
def test_no_decision_leaves_the_limits_or_accepts_downwards(
    distance_um: float, spread_um: float, z2_um: float, attempt: int, low_um: float
) -> None:
    limits_um = (low_um, low_um + 3000.0)
    decision = decide(seen(distance_um, spread_um), z2_um, attempt, limits_um, CONFIG)
    if isinstance(decision, Accept):
        assert z2_um <= decision.target_um <= limits_um[1]
        assert spread_um <= CONFIG.max_spread_um
        assert abs(distance_um) <= CONFIG.max_distance_um
    if isinstance(decision, Again):
        assert limits_um[0] <= decision.z1_um
        assert decision.z1_um + CONFIG.delta_um <= limits_um[1]


@given(st.floats(-12.0, -0.26))
def test_going_down_puts_both_shots_below_the_predicted_focus(distance_um: float) -> None:
    decision = decide(seen(distance_um), 2500.0, 1, LIMITS_UM, CONFIG)
    assert isinstance(decision, Again)
    assert decision.z1_um + CONFIG.delta_um < 2500.0 + distance_um
    assert 2500.0 - decision.z1_um > 2.0 * abs(distance_um)
