import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.rule import (
    Accept,
    Again,
    Decision,
    GiveUp,
    Reach,
    Seen,
    contradicts,
    decide,
    first_shot_um,
    reach_of,
    run_up_um,
)

CONFIG = FocusConfig()
REACH = reach_of(10.0, CONFIG)  # of the models for 20x/0.75
LIMITS_UM = (0.0, 5000.0)


def seen(distance_um: float, spread_um: float = 0.2) -> Estimate:
    return Estimate(distance_um, spread_um, (distance_um,) * 4, (1.0,) * 4)


def test_a_model_is_followed_as_far_as_its_range_allows() -> None:
    assert reach_of(25.0, CONFIG) == Reach(accepted_um=12.0, believed_um=22.5)
    assert msgspec.structs.astuple(REACH) == pytest.approx((4.8, 9.0, 1.0))
    assert reach_of(25.0, FocusConfig(max_distance_um=8.0)).accepted_um == 8.0


def test_the_papers_12_um_are_refused_for_a_model_of_10_um() -> None:
    with pytest.raises(ValueError, match=r"focus\.max_distance_um = 12 .*\+-10 um.*give 9 or less"):
        reach_of(10.0, FocusConfig(max_distance_um=12.0))


def test_the_papers_positions_are_kept_where_they_are_configured() -> None:
    paper = FocusConfig(z0_below_um=22.0, z1_below_um=8.0)
    assert first_shot_um(1000.0, paper) == 992.0
    assert run_up_um(paper) == 14.0


@pytest.mark.parametrize(
    ("distance_um", "spread_um", "expected"),
    [
        (4.0, 0.2, Accept(2504.0, "accept")),
        (4.79, 1.0, Accept(2504.79, "accept")),
        # farther: a second estimate where this one puts the focus
        (4.81, 0.2, Again(2502.81, "check", 2504.81)),
        (8.99, 0.2, Again(2506.99, "check", 2508.99)),
        # beyond what the model can tell apart: its direction, half the way, and nothing to agree with
        (9.01, 0.2, Again(2504.505, "half_distance")),
        (4.0, 1.1, Again(2500.0, "half_spread")),  # the second shot serves as the next first one
        (4.2, 1.1, Again(2502.1, "half_spread")),
        (14.0, 3.0, Again(2507.0, "half_spread")),
        (0.0, 0.0, Accept(2500.0, "in_focus")),
        (0.25, 0.2, Accept(2500.0, "in_focus")),
        (0.26, 0.2, Accept(2500.26, "accept")),
        (-0.2, 0.2, Accept(2500.0, "in_focus")),
        # focus below z2: both new shots below it by more than the distance, as seen from here ...
        (-2.0, 0.2, Again(2494.0, "down", 2498.0)),
        # ... but no farther than in a new field
        (-6.0, 0.2, Again(2489.0, "down", 2494.0)),
        (-8.9, 0.2, Again(2486.1, "down", 2491.1)),
        # uncertain and downwards: half-way, for the second shot
        (-6.0, 1.5, Again(2495.0, "half_spread")),
        (-14.0, 0.2, Again(2491.0, "half_distance")),
        (math.nan, 0.2, GiveUp("exhausted")),
        (3.0, math.nan, GiveUp("exhausted")),
    ],
)
def test_one_estimate_leads_to_one_decision(distance_um: float, spread_um: float, expected: Decision) -> None:
    found = decide(seen(distance_um, spread_um), 2500.0, 1, LIMITS_UM, CONFIG, REACH)
    assert type(found) is type(expected)
    assert found.rule == expected.rule
    if isinstance(found, Accept) and isinstance(expected, Accept):
        assert found.target_um == pytest.approx(expected.target_um)
    if isinstance(found, Again) and isinstance(expected, Again):
        assert found.z1_um == pytest.approx(expected.z1_um)
        assert found.focus_um == pytest.approx(expected.focus_um)


@pytest.mark.parametrize(
    ("distance_um", "earlier_um", "expected"),
    [
        # after a check the shots were taken at the focus that the estimate before had given
        (0.1, 2500.0, Accept(2500.0, "in_focus")),
        (0.9, 2500.0, Accept(2500.9, "accept")),
        # 15 um away a model of +-10 um says 9: from there it says 6
        (6.0, 2500.0, Again(2504.0, "disagrees", 2506.0)),
        (1.2, 2500.0, Again(2499.2, "disagrees", 2501.2)),
        # two estimates from different heights that agree are enough, far as the second was
        (8.0, 2508.6, Accept(2508.0, "accept")),
        (8.0, 2509.1, Again(2506.0, "disagrees", 2508.0)),
        (-2.0, 2500.0, Again(2494.0, "down", 2498.0)),
    ],
)
def test_after_a_long_move_a_second_estimate_must_agree(
    distance_um: float, earlier_um: float, expected: Decision
) -> None:
    assert decide(seen(distance_um), 2500.0, 2, LIMITS_UM, CONFIG, REACH, earlier_um) == expected


@pytest.mark.parametrize(
    ("distance_um", "spread_um", "expected"),
    [
        # an estimate that would have been accepted: a second one, where this one puts the focus
        (4.0, 0.2, Again(2502.0, "not_believed", 2504.0)),
        (0.1, 0.2, Again(2498.1, "not_believed", 2500.1)),
        # the others lead to the same shots as before
        (6.0, 0.2, Again(2504.0, "not_believed", 2506.0)),
        (-2.0, 0.2, Again(2494.0, "not_believed", 2498.0)),
        (12.0, 0.2, Again(2506.0, "not_believed")),
        (4.0, 1.1, Again(2500.0, "not_believed")),
        (math.nan, 0.2, GiveUp("exhausted")),
    ],
)
def test_an_estimate_that_is_not_believed_leads_to_another_one_only(
    distance_um: float, spread_um: float, expected: Decision
) -> None:
    doubted = msgspec.structs.replace(seen(distance_um, spread_um), doubt="strange", sigma_um=0.3)
    assert decide(doubted, 2500.0, 1, LIMITS_UM, CONFIG, REACH) == expected


@pytest.mark.parametrize("doubt", ["strange", "patches", "move"])
def test_a_second_estimate_that_is_not_believed_leads_to_a_sweep(doubt: str) -> None:
    again = msgspec.structs.replace(seen(0.1), doubt=doubt)
    found = decide(again, 2500.0, 2, LIMITS_UM, CONFIG, REACH, 2500.0, doubted=True)
    assert found == GiveUp("not_believed")


def test_a_believed_estimate_after_a_doubted_one_must_agree_with_it() -> None:
    believed = msgspec.structs.replace(seen(0.1), doubt="")
    found = [decide(believed, 2500.0, 2, LIMITS_UM, CONFIG, REACH, z, doubted=True) for z in (2500.5, 2502.0)]
    assert found == [Accept(2500.0, "in_focus"), Again(2498.1, "disagrees", 2500.1)]


@pytest.mark.parametrize(
    ("others", "is_contradicted"),
    [
        ([], False),
        ([Seen(2494.0, 5.0), Seen(2496.0, 16.0)], False),
        # clearly sharper than the final shot, wherever
        ([Seen(2500.5, 118.0)], True),
        ([Seen(2500.5, 117.0)], False),
        # as sharp, 5 um away: the focus lies between, where condensers of another aperture led the loop
        ([Seen(2495.07, 99.0)], True),
        ([Seen(2495.07, 89.0)], False),
        # as sharp, but within a depth of field
        ([Seen(2498.5, 99.0)], False),
        ([Seen(2501.95, 91.0)], True),
    ],
)
def test_shots_of_the_field_contradict_a_final_shot_out_of_focus(
    others: list[Seen], is_contradicted: bool
) -> None:
    assert contradicts(Seen(2500.0, 100.0), others, CONFIG) is is_contradicted


@pytest.mark.parametrize(
    ("distance_um", "z2_um"),
    [(4.0, 4997.0), (6.0, 4996.0), (30.0, 4990.0), (-3.0, 4.0)],
    ids=[
        "target above the limit",
        "check above the limit",
        "half-way above the limit",
        "next shot below the limit",
    ],
)
def test_what_would_leave_the_limits_is_given_up(distance_um: float, z2_um: float) -> None:
    assert decide(seen(distance_um), z2_um, 1, LIMITS_UM, CONFIG, REACH) == GiveUp("beyond_limits")


def test_attempts_are_bounded_but_a_good_last_one_counts() -> None:
    last = CONFIG.max_attempts
    assert isinstance(decide(seen(4.0, 2.0), 2500.0, last - 1, LIMITS_UM, CONFIG, REACH), Again)
    assert decide(seen(4.0, 2.0), 2500.0, last, LIMITS_UM, CONFIG, REACH) == GiveUp("exhausted")
    assert isinstance(decide(seen(4.0, 0.2), 2500.0, last, LIMITS_UM, CONFIG, REACH), Accept)


@given(
    st.floats(-40.0, 40.0),
    st.floats(0.0, 5.0),
    st.floats(0.0, 5000.0),
    st.integers(1, 6),
    st.floats(0.0, 2000.0),
    st.one_of(st.none(), st.floats(0.0, 5000.0)),
)
def test_what_is_accepted_is_near_or_agreed_on_and_within_the_limits(
    distance_um: float, spread_um: float, z2_um: float, attempt: int, low_um: float, earlier_um: float | None
) -> None:
    limits_um = (low_um, low_um + 3000.0)
    decision = decide(seen(distance_um, spread_um), z2_um, attempt, limits_um, CONFIG, REACH, earlier_um)
    if isinstance(decision, Accept):
        assert z2_um <= decision.target_um <= limits_um[1]
        assert spread_um <= CONFIG.max_spread_um
        assert abs(distance_um) <= 9.0
        if earlier_um is None:
            assert abs(distance_um) <= 4.8
        else:
            assert abs(z2_um + distance_um - earlier_um) <= 1.0 + 1e-6
    if isinstance(decision, Again):
        assert limits_um[0] <= decision.z1_um
        assert decision.z1_um + CONFIG.delta_um <= limits_um[1]


@given(st.floats(-9.0, -0.26))
def test_going_down_puts_both_shots_below_the_predicted_focus(distance_um: float) -> None:
    decision = decide(seen(distance_um), 2500.0, 1, LIMITS_UM, CONFIG, REACH)
    assert isinstance(decision, Again)
    assert decision.z1_um + CONFIG.delta_um < 2500.0 + distance_um
    # And so near it that the next estimate is accepted.
    assert 2500.0 + distance_um - (decision.z1_um + CONFIG.delta_um) <= REACH.accepted_um
