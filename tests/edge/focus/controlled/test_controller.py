"""The controller's steps, as tables."""

import msgspec
import pytest

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.controlled.claims import Claim
from parfocal.edge.focus.controlled.controller import (
    Bounds,
    Go,
    Look,
    Pair,
    Stay,
    Step,
    Sweep,
    confirmed_by,
    is_measured_by_pair,
    is_pivot_better,
    on_arrival,
    on_far_arrival,
    on_pair,
    on_pair_check,
    on_pair_followed,
    on_passing,
    on_single_check,
)
from parfocal.edge.focus.controlled.curve import curve_before
from parfocal.edge.focus.controlled.history import MAX_UNVERIFIED, History, Verified
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.rule import Reach, Seen
from parfocal.edge.focus.result import Attempt

CONFIG = FocusConfig()
BOUNDS = Bounds((2000.0, 3000.0), Reach(4.8, 9.0))
MEASURES = msgspec.structs.replace(BOUNDS, measures=True)
DEPTH_UM = 0.96
NEAR = History(DEPTH_UM, fields=tuple(Verified(1.0, 1000.0) for _ in range(5)))
# The sharpest plane is at the focus.
CALIBRATED = msgspec.structs.replace(NEAR, curve=curve_before(DEPTH_UM, 0.0))
Z_UM = 2500.0


def look(claim: Claim | None, clarity: float = 1000.0, z_um: float = Z_UM, sharpness: float = 100.0) -> Look:
    return Look(z_um, sharpness, clarity, claim=claim)


def estimated(distance_um: float, spread_um: float = 0.2, doubt: str | None = None) -> Estimate:
    return msgspec.structs.replace(Estimate(distance_um, spread_um, (distance_um,), (1.0,)), doubt=doubt)


def attempt(distance_um: float, z2_um: float = Z_UM, doubt: str | None = None) -> Attempt:
    return Attempt(z2_um - 2.0, z2_um, (distance_um,), distance_um, 0.2, "x", doubt=doubt)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim(0.0, 0.2), Stay("single_in_focus")),
        (Claim(0.38, 0.2), Stay("single_in_focus")),
        (Claim(-0.38, 0.2), Stay("single_in_focus")),
        # near, but not surely within a depth of field: a move and a look cost less than a pair
        (Claim(0.42, 0.3), Go(Z_UM + 0.42, "single")),
        (Claim(-0.42, 0.4), Go(Z_UM - 0.42, "single")),
        # too near for a move to tell more
        (Claim(0.38, 0.3), Pair(Z_UM, "check")),
        (Claim(-0.2, 0.4), Pair(Z_UM, "check")),
        (Claim(0.0, 0.49), Pair(Z_UM, "check")),
        # a believable small distance
        (Claim(0.5, 0.2), Go(Z_UM + 0.5, "single")),
        (Claim(-1.5, 0.4), Go(Z_UM - 1.5, "single")),
        (Claim(1.5, 0.4), Go(Z_UM + 1.5, "single")),
        (Claim(8.9, 0.4), Go(Z_UM + 8.9, "single")),
        # a far one may be less certain: the next picture, much closer, tells more
        (Claim(-6.0, 0.9), Go(Z_UM - 6.0, "single")),
        (Claim(8.0, 1.2), Go(Z_UM + 8.0, "single")),
        # beyond what the model can tell only the direction counts
        (Claim(11.0, 0.2), Go(Z_UM + 9.0, "single")),
        # too uncertain
        (Claim(-1.5, 1.0), Pair(Z_UM, "check")),
        (Claim(6.0, 1.0), Pair(Z_UM, "check")),
        (Claim(8.0, 1.25), Pair(Z_UM, "check")),
        (None, Pair(Z_UM, "check")),
    ],
)
def test_the_shot_on_arrival_leads_to_one_step(claim: Claim | None, expected: Step) -> None:
    assert on_arrival(look(claim), NEAR, BOUNDS, CONFIG) == expected


@pytest.mark.parametrize(
    ("claim", "up_um"),
    [
        (Claim(1.5, 0.4), 1.34),
        (Claim(4.7, 0.5), 4.5),
        (Claim(0.5, 0.4), 0.48),  # far enough to tell more
        (Claim(1.5, 0.25), 1.5),  # certain enough
        (Claim(4.9, 0.5), 4.9),  # from afar claims say too little
        (Claim(-1.5, 0.4), -1.5),
    ],
)
def test_where_the_curve_is_calibrated_the_stage_aims_below_a_claimed_focus(
    claim: Claim, up_um: float
) -> None:
    """What is then missing costs less than the way back down through the play."""
    step = on_arrival(look(claim), CALIBRATED, BOUNDS, CONFIG)
    assert isinstance(step, Go)
    assert step.target_um == pytest.approx(Z_UM + up_um)


@pytest.mark.parametrize("claim", [Claim(0.38, 0.3), Claim(-0.2, 0.4)])
def test_where_the_curve_is_calibrated_a_step_up_tells_more_of_a_focus_that_is_near(claim: Claim) -> None:
    assert on_arrival(look(claim), CALIBRATED, BOUNDS, CONFIG) == Go(Z_UM + 0.48, "single")
    top = msgspec.structs.replace(BOUNDS, limits_um=(2000.0, Z_UM + 0.4))
    assert isinstance(on_arrival(look(claim), CALIBRATED, top, CONFIG), Pair)
    # A pair where one is due, and where only the height is wanted: it tells that from where it ends.
    unsure = msgspec.structs.replace(claim, sigma_um=0.49)
    assert on_arrival(look(unsure), CALIBRATED, MEASURES, CONFIG) == Pair(Z_UM, "check")
    assert on_arrival(look(claim), CALIBRATED.with_verification_due(), BOUNDS, CONFIG) == Pair(Z_UM, "check")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim(0.38, 0.2), Stay("single_in_focus")),
        # near, and its height is known within a depth of field
        (Claim(0.2, 0.47), Stay("single_measured")),
        (Claim(1.4, 0.3), Stay("single_measured")),
        (Claim(-1.4, 0.3), Stay("single_measured")),
        # too far to be told from here, too uncertain
        (Claim(1.5, 0.3), Go(Z_UM + 1.5, "single")),
        (Claim(-0.45, 0.49), Go(Z_UM - 0.45, "single")),
        (Claim(-0.3, 0.49), Pair(Z_UM, "check")),
    ],
)
def test_where_only_the_height_is_wanted_a_shot_near_the_focus_is_enough(
    claim: Claim, expected: Step
) -> None:
    assert on_arrival(look(claim), NEAR, MEASURES, CONFIG) == expected


def test_a_height_is_not_measured_by_a_blurred_picture_nor_where_a_pair_is_due() -> None:
    claim, due = Claim(1.0, 0.2), msgspec.structs.replace(NEAR, unverified=MAX_UNVERIFIED)
    assert on_arrival(look(claim, clarity=40.0), NEAR, MEASURES, CONFIG) == Go(Z_UM + 1.0, "single")
    assert on_arrival(look(claim), due, MEASURES, CONFIG) == Pair(Z_UM, "check")


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim(0.38, 0.2), "single_in_focus"),
        (Claim(-1.4, 0.3), "single_measured"),
        (Claim(1.5, 0.3), None),  # too far to be told from here
        (Claim(-0.3, 0.49), None),  # too uncertain
        (None, None),
    ],
)
def test_a_picture_taken_in_passing_tells_a_height_near_it_also_where_a_pair_is_due(
    claim: Claim | None, expected: str | None
) -> None:
    due = NEAR.with_verification_due()
    assert due.is_verification_due
    assert on_passing(look(claim), due, MEASURES, True) == expected


def test_a_picture_taken_in_passing_tells_nothing_if_it_is_blurred_or_the_slide_is_not_known() -> None:
    sure = Claim(0.1, 0.1)
    assert on_passing(look(sure, clarity=40.0), NEAR, MEASURES, True) is None
    assert on_passing(look(sure), NEAR, MEASURES, False) is None
    assert on_passing(look(sure), History(DEPTH_UM), MEASURES, True) is None


@pytest.mark.parametrize(
    ("claim", "away_um", "doubt", "expected"),
    [
        (Claim(0.9, 0.3), 1.4, None, True),
        (Claim(-0.9, 0.3), -1.4, None, True),
        (Claim(0.4, 0.3), 1.4, None, False),  # they do not agree within a depth of field
        (Claim(1.4, 0.3), 1.5, None, False),  # not near the shot on arrival
        (Claim(0.9, 0.3), 1.0, "strange", False),
        (None, 1.0, None, False),
    ],
)
def test_a_pair_measures_a_height_where_the_single_shot_agrees(
    claim: Claim | None, away_um: float, doubt: str | None, expected: bool
) -> None:
    found = estimated(away_um - CONFIG.delta_um, doubt=doubt)
    assert is_measured_by_pair(look(claim), found, Z_UM + away_um, DEPTH_UM) is expected


@pytest.mark.parametrize(
    "history",
    [
        History(0.96),  # nothing verified yet
        msgspec.structs.replace(NEAR, unverified=MAX_UNVERIFIED),
        msgspec.structs.replace(NEAR, fields=tuple(Verified(6.0, 1000.0) for _ in range(5))),
        msgspec.structs.replace(NEAR, fields=NEAR.fields[:2]),  # one of two may be wrong
    ],
)
def test_without_a_history_of_near_and_verified_fields_no_field_is_settled_by_one_shot(
    history: History,
) -> None:
    assert on_arrival(look(Claim(0.0, 0.1)), history, BOUNDS, CONFIG) == Pair(Z_UM, "check")


def test_before_pairs_are_proven_on_this_microscope_no_single_shot_settles_anything() -> None:
    for claim in (Claim(0.0, 0.1), Claim(2.0, 0.1)):
        assert on_arrival(look(claim), NEAR, BOUNDS, CONFIG, is_proven=False) == Pair(Z_UM, "check")


def test_before_three_fields_are_verified_no_move_follows_a_single_shot() -> None:
    two = msgspec.structs.replace(NEAR, fields=NEAR.fields[:2])
    assert on_arrival(look(Claim(2.0, 0.1)), two, BOUNDS, CONFIG) == Pair(Z_UM, "check")


def test_where_a_pair_is_due_no_move_follows_a_single_shot() -> None:
    due = msgspec.structs.replace(NEAR, unverified=MAX_UNVERIFIED)
    assert on_arrival(look(Claim(2.0, 0.1)), due, BOUNDS, CONFIG) == Pair(Z_UM, "check")


def test_a_blurred_picture_is_not_in_focus_whatever_a_single_shot_says() -> None:
    # 18 um away a model may say anything, also 0.
    assert on_arrival(look(Claim(0.0, 0.1), clarity=40.0), NEAR, BOUNDS, CONFIG) == Pair(Z_UM, "check")


def test_no_step_leads_out_of_the_limits() -> None:
    top = Bounds((2000.0, Z_UM + 1.0), BOUNDS.reach)
    assert on_arrival(look(Claim(1.5, 0.2)), NEAR, top, CONFIG) == Pair(Z_UM - 2.0, "check")
    assert on_pair(estimated(1.5), Z_UM, (), top, CONFIG, None, DEPTH_UM) == Sweep("beyond_limits")
    bottom = Bounds((Z_UM - 1.0, 3000.0), BOUNDS.reach)
    assert on_arrival(look(Claim(-1.5, 0.2)), NEAR, bottom, CONFIG) == Pair(Z_UM, "check")
    assert on_pair(estimated(-1.5), Z_UM, (), bottom, CONFIG, None, DEPTH_UM) == Sweep("beyond_limits")


@pytest.mark.parametrize(
    ("claim", "sharpness", "clarity", "expected"),
    [
        (Claim(0.1, 0.3), 120.0, 1000.0, Stay("single")),
        (Claim(0.7, 0.3), 120.0, 1000.0, Stay("single")),  # the mean of both lies 0.35 um away
        (Claim(0.0, 0.7), 120.0, 1000.0, Stay("single")),  # as uncertain, but what it is told before holds
        # The two disagree a little: the nearer one leads on, whatever the first said. Much: a pair.
        (Claim(1.3, 0.2), 120.0, 1000.0, Go(Z_UM + 1.3, "single")),
        (Claim(1.5, 0.2), 120.0, 1000.0, Pair(Z_UM, "check")),
        # Not quite there: once more.
        (Claim(0.9, 0.15), 120.0, 1000.0, Go(Z_UM + 0.72, "single")),
        (Claim(-0.9, 0.15), 120.0, 1000.0, Go(Z_UM - 0.72, "single")),
        # A little less sharp: the plane that counts as focus is not quite the sharpest. Much less: a wrong direction.
        (Claim(0.0, 0.2), 95.0, 1000.0, Stay("single")),
        (Claim(0.0, 0.2), 80.0, 1000.0, Pair(Z_UM, "check")),
        (Claim(0.0, 0.2), 120.0, 400.0, Pair(Z_UM, "check")),
        (None, 120.0, 1000.0, Pair(Z_UM, "check")),
    ],
)
def test_a_move_by_a_single_shot_is_checked_by_the_next(
    claim: Claim | None, sharpness: float, clarity: float, expected: Step
) -> None:
    start = look(Claim(1.5, 0.3), z_um=Z_UM - 1.5)
    step = on_single_check(start, look(claim, clarity, sharpness=sharpness), NEAR, BOUNDS, CONFIG, 1)
    assert type(step) is type(expected)
    assert msgspec.structs.asdict(step) == pytest.approx(msgspec.structs.asdict(expected))


@pytest.mark.parametrize(
    ("claimed_um", "target_um"),
    [
        (9.5, 9.5),
        (-13.0, -13.0),
        (8.9, None),  # within what the model can tell
        (15.0, None),  # no model says so much
    ],
)
def test_a_sure_single_shot_from_far_away_is_gone_by_and_the_next_picture_tells_more(
    claimed_um: float, target_um: float | None
) -> None:
    start = msgspec.structs.replace(look(Claim(claimed_um, 2.0)), single=estimated(claimed_um))
    found = on_far_arrival(start, NEAR, BOUNDS)
    assert (found is None) is (target_um is None)
    if found is None or target_um is None:
        return
    assert found[1] == Go(Z_UM + target_um, "single")
    # The distance may be off by a third, so a picture there that sees a few um left contradicts nothing.
    final = look(Claim(3.0, 0.4), z_um=Z_UM + target_um, sharpness=200.0)
    assert isinstance(on_single_check(found[0], final, NEAR, BOUNDS, CONFIG, 1), Go)


def test_a_far_single_shot_is_not_gone_by_unless_single_shots_lead_and_not_beyond_the_limits() -> None:
    start = msgspec.structs.replace(look(Claim(-11.0, 2.0)), single=estimated(-11.0))
    two = msgspec.structs.replace(NEAR, fields=NEAR.fields[:2])
    assert on_far_arrival(start, two, BOUNDS) is None
    assert on_far_arrival(start, NEAR, BOUNDS, is_proven=False) is None
    assert on_far_arrival(msgspec.structs.replace(start, claim=None), NEAR, BOUNDS) is None  # it is doubted
    bottom = Bounds((Z_UM - 4.0, 3000.0), BOUNDS.reach)
    found = on_far_arrival(start, NEAR, bottom)
    assert found is not None
    assert found[1].target_um == Z_UM - 4.0


def fallen(above_um: float) -> float:
    """Sharpness so far above the focus, on a slide whose sharpest plane is at the focus."""
    return 120.0 / (1.0 + (above_um / 3.3) ** 2) ** 2


@pytest.mark.parametrize(
    ("claim", "end_um", "expected"),
    [
        # Sharpness says the same as the two claims: it makes a field certain that they alone would not end.
        (Claim(-0.35, 0.7), 0.3, Stay("single")),
        # It says that the focus is a little farther than they do.
        (Claim(0.3, 0.3), -0.8, Go(Z_UM + 0.57, "single")),
        # It says that both are wrong.
        (Claim(0.0, 0.2), -1.0, Pair(Z_UM, "check")),
        (Claim(0.0, 0.2), 1.0, Pair(Z_UM, "check")),
    ],
)
def test_where_the_focus_curve_is_known_sharpness_is_the_third_to_say_where_the_focus_is(
    claim: Claim, end_um: float, expected: Step
) -> None:
    """`end_um`: the end of the move above the true focus."""
    start = look(Claim(1.5, 0.7), z_um=Z_UM - 1.5, sharpness=fallen(end_um - 1.5))
    final = look(claim, sharpness=fallen(end_um))
    known = msgspec.structs.replace(NEAR, curve=curve_before(DEPTH_UM, 0.0))
    step = on_single_check(start, final, known, BOUNDS, CONFIG, 1)
    assert type(step) is type(expected)
    assert msgspec.structs.asdict(step) == pytest.approx(msgspec.structs.asdict(expected), abs=0.1)
    without = on_single_check(start, final, NEAR, BOUNDS, CONFIG, 1)
    assert type(without) is not type(expected)


def test_a_step_up_that_went_the_wrong_way_leads_down() -> None:
    start = look(Claim(0.1, 0.4), z_um=Z_UM - 0.6, sharpness=fallen(0.4))
    final = look(Claim(-1.0, 0.2), sharpness=fallen(1.0))
    step = on_single_check(start, final, CALIBRATED, BOUNDS, CONFIG, 1)
    assert isinstance(step, Go)
    assert step.target_um == pytest.approx(Z_UM - 1.0, abs=0.15)
    # A move by a claim must have brought it closer.
    moved = look(Claim(0.6, 0.6), z_um=Z_UM - 0.6, sharpness=fallen(0.4))
    assert on_single_check(moved, final, CALIBRATED, BOUNDS, CONFIG, 1) == Pair(Z_UM, "check")


@pytest.mark.parametrize(("moved_um", "expected"), [(0.2, Pair(Z_UM, "check")), (2.5, Stay("single"))])
def test_two_single_shots_from_nearly_the_same_height_are_no_more_certain_than_one(
    moved_um: float, expected: Step
) -> None:
    start = look(Claim(moved_um, 0.5), z_um=Z_UM - moved_um, sharpness=80.0)
    final = look(Claim(0.1, 0.5), sharpness=120.0)
    assert on_single_check(start, final, NEAR, BOUNDS, CONFIG, 1) == expected


def test_a_far_single_shot_counts_less_than_the_near_one_that_follows() -> None:
    start = look(Claim(-8.0, 1.2), z_um=Z_UM + 8.0, sharpness=20.0)
    near = look(Claim(0.8, 0.3))
    step = on_single_check(start, near, NEAR, BOUNDS, CONFIG, 1)
    assert isinstance(step, Go)
    assert step.target_um == pytest.approx(Z_UM + 0.75, abs=0.01)
    # Single shots move twice in a field at most.
    assert on_single_check(start, near, NEAR, BOUNDS, CONFIG, 2) == Pair(Z_UM, "check")
    # The first one had said that the focus lies 2 um below here: it moved 9 um of 11.
    beyond = look(Claim(-11.0, 1.2), z_um=Z_UM + 9.0, sharpness=20.0)
    assert isinstance(on_single_check(beyond, look(Claim(-2.0, 0.3)), NEAR, BOUNDS, CONFIG, 1), Go)
    assert isinstance(on_single_check(beyond, look(Claim(2.0, 0.3)), NEAR, BOUNDS, CONFIG, 1), Pair)


def test_two_single_shots_that_disagree_never_end_a_field() -> None:
    start = look(Claim(1.5, 0.3), z_um=Z_UM - 0.3)  # puts the focus 1.2 um above the next shot
    assert on_single_check(start, look(Claim(0.0, 0.1)), NEAR, BOUNDS, CONFIG, 1) == Pair(Z_UM, "check")


def test_no_second_move_follows_claims_that_come_no_closer() -> None:
    start = look(Claim(0.6, 0.45), z_um=Z_UM - 0.6)
    assert on_single_check(start, look(Claim(0.95, 0.1)), NEAR, BOUNDS, CONFIG, 1) == Pair(Z_UM, "check")


def test_a_field_is_left_at_its_pivot_only_if_that_is_sharper_and_near_its_focus() -> None:
    final = look(None)
    sharper = look(None, sharpness=105.0)
    assert is_pivot_better(sharper, final, Z_UM + 0.4, NEAR)
    assert not is_pivot_better(sharper, final, Z_UM - 0.9, NEAR)  # on the other side of the sharpest plane
    assert not is_pivot_better(look(None, sharpness=103.0), final, Z_UM + 0.4, NEAR)  # noise


@pytest.mark.parametrize(
    ("step", "found_um", "expected_um", "sigma_um"),
    [
        (Pair(Z_UM + 5.0, "check", Z_UM + 7.0), 7.0, 7.0, 1.0),
        (Pair(Z_UM - 11.0, "down", Z_UM - 6.0), -6.0, -6.0, 1.0),
        # beyond what the model can tell: the distance may be off by a third
        (Pair(Z_UM + 10.0, "far"), 12.0, 12.0, 4.2),
        (Pair(Z_UM - 17.4, "far"), -12.0, -17.4, 4.2),
    ],
)
def test_where_a_pair_leads_far_a_single_shot_replaces_the_next_pair(
    step: Pair, found_um: float, expected_um: float, sigma_um: float
) -> None:
    followed = on_pair_followed(estimated(found_um), look(None), step, BOUNDS)
    assert followed is not None
    second, go = followed
    assert go.rule == step.rule
    assert go.target_um == pytest.approx(Z_UM + expected_um)
    assert second.claim is not None
    assert second.claim.distance_um == found_um
    assert second.claim.sigma_um == pytest.approx(sigma_um)


@pytest.mark.parametrize(
    "step", [Stay("in_focus"), Go(Z_UM, "accept"), Sweep("exhausted"), Pair(Z_UM, "not_believed")]
)
def test_what_a_pair_settles_or_doubts_is_not_left_to_single_shots(step: Step) -> None:
    assert on_pair_followed(estimated(2.0), look(None), step, BOUNDS) is None


def test_the_more_uncertain_a_far_pair_the_farther_down_the_stage_goes() -> None:
    down_um = []
    for sigma_um in (0.2, 0.4, 0.6, 1.5):
        found = msgspec.structs.replace(estimated(-12.0), sigma_um=sigma_um)
        step = on_pair(found, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM)
        assert isinstance(step, Pair)
        assert step.rule == "far"
        down_um.append(Z_UM - step.z1_um)
    assert down_um == pytest.approx([12.0, 14.88, 18.72, 21.0])


@pytest.mark.parametrize(
    ("distance_um", "earlier_um", "expected"),
    [
        (0.2, None, Stay("in_focus")),
        (-0.2, None, Stay("in_focus")),
        (3.0, None, Go(Z_UM + 3.0, "accept")),
        # the focus below: straight there, from below
        (-2.0, None, Go(Z_UM - 2.0, "down")),
        (-4.8, None, Go(Z_UM - 4.8, "down")),
        (-4.9, None, Pair(Z_UM - 9.9, "down", Z_UM - 4.9)),
        # far, and a single shot says so too: that is the second estimate
        (-7.0, Z_UM - 6.5, Go(Z_UM - 7.0, "down")),
        (7.0, Z_UM + 7.5, Go(Z_UM + 7.0, "accept")),
        (7.0, None, Pair(Z_UM + 5.0, "check", Z_UM + 7.0)),
        (-2.0, Z_UM + 4.0, Pair(Z_UM - 6.0, "down", Z_UM - 2.0)),
        # beyond what the model can tell: up by what it says, down by more
        (12.0, None, Pair(Z_UM + 10.0, "far")),
        (-12.0, None, Pair(Z_UM - 17.4, "far")),
    ],
)
def test_an_estimate_by_two_shots_leads_to_one_step(
    distance_um: float, earlier_um: float | None, expected: Step
) -> None:
    step = on_pair(estimated(distance_um), Z_UM, (), BOUNDS, CONFIG, earlier_um, DEPTH_UM)
    assert type(step) is type(expected)
    assert msgspec.structs.asdict(step) == pytest.approx(msgspec.structs.asdict(expected))


def test_patches_that_spread_far_from_the_focus_still_tell_the_direction() -> None:
    far = msgspec.structs.replace(estimated(-13.0, spread_um=1.5), predictions_um=(-10.0, -15.0))
    assert on_pair(far, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM) == Pair(Z_UM - 18.85, "far")
    nearer = msgspec.structs.replace(far, predictions_um=(-8.0, -15.0))
    assert on_pair(nearer, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM) == Pair(Z_UM - 8.5, "half_spread")


def test_a_pair_that_ends_half_a_depth_of_field_too_high_does_not_go_down_again() -> None:
    certain = msgspec.structs.replace(estimated(-0.4), sigma_um=0.2)
    assert on_pair(certain, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM) == Stay("in_focus")
    below = msgspec.structs.replace(certain, distance_um=0.4)
    assert on_pair(below, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM) == Go(Z_UM + 0.4, "accept")
    vague = msgspec.structs.replace(certain, sigma_um=0.3)
    assert on_pair(vague, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM) == Go(Z_UM - 0.4, "down")
    # It was to confirm an estimate, and does not.
    assert isinstance(on_pair(certain, Z_UM, (), BOUNDS, CONFIG, Z_UM + 3.0, DEPTH_UM), Pair)


def test_an_estimate_that_is_not_believed_twice_is_swept_for() -> None:
    doubted = estimated(1.0, doubt="strange")
    assert isinstance(on_pair(doubted, Z_UM, (), BOUNDS, CONFIG, None, DEPTH_UM), Pair)
    before = (attempt(1.0, doubt="strange"),)
    assert on_pair(doubted, Z_UM, before, BOUNDS, CONFIG, None, DEPTH_UM) == Sweep("not_believed", Z_UM + 1.0)


@pytest.mark.parametrize(
    ("before_um", "now_um", "goes_on"),
    [
        ((6.0,), 8.0, True),  # one estimate without progress may be the first that is right
        ((6.0, 8.0), 8.5, False),
        ((6.0, 8.0), 5.0, True),
        ((12.0, 12.5, 12.2, 13.0), 12.9, True),  # saturated, but always upwards
        ((12.0, -12.0), 12.0, False),
        ((7.8, -5.2, 8.6), -5.2, False),  # to and fro: the model says too much
        ((7.0, 6.5, 6.0, 5.5), 5.0, True),
    ],
)
def test_a_field_ends_when_estimates_no_longer_come_closer(
    before_um: tuple[float, ...], now_um: float, goes_on: bool
) -> None:
    before = tuple(attempt(distance_um) for distance_um in before_um)
    step = on_pair(estimated(now_um), Z_UM, before, BOUNDS, CONFIG, None, DEPTH_UM)
    assert isinstance(step, Pair) is goes_on
    if not goes_on:
        assert step == Sweep("exhausted")


def test_a_last_shot_that_others_contradict_is_settled_by_a_pair_and_then_by_a_sweep() -> None:
    sharper, less = Seen(Z_UM - 1.0, 130.0), Seen(Z_UM - 3.0, 40.0)
    final = look(None)
    assert on_pair_check(final, (less,), NEAR, CONFIG, False) == Stay("accept")
    assert on_pair_check(final, (less, sharper), NEAR, CONFIG, False) == Pair(Z_UM, "not_sharper")
    assert on_pair_check(final, (less, sharper), NEAR, CONFIG, True) == Sweep("not_sharper")
    # So does a picture that is far less clear than the fields before, wherever the others were taken.
    assert isinstance(on_pair_check(look(None, clarity=400.0), (less,), NEAR, CONFIG, False), Pair)
    assert on_pair_check(look(None, clarity=400.0), (less,), History(0.96), CONFIG, False) == Stay("accept")
    # A single shot that is sure to be out of focus contradicts too.
    assert isinstance(on_pair_check(look(Claim(1.2, 0.3)), (less,), NEAR, CONFIG, False), Pair)
    assert isinstance(on_pair_check(look(Claim(1.2, 0.5)), (less,), NEAR, CONFIG, False), Stay)


def test_a_single_shot_that_is_not_yet_believed_may_confirm_and_not_contradict() -> None:
    single = msgspec.structs.replace(look(None), single=estimated(3.0))
    assert confirmed_by(single, Z_UM + 3.9, BOUNDS.reach) == Z_UM + 3.0
    assert confirmed_by(single, Z_UM + 4.1, BOUNDS.reach) is None
    believed = msgspec.structs.replace(single, claim=Claim(2.5, 0.2))
    assert confirmed_by(believed, Z_UM + 6.0, BOUNDS.reach) == Z_UM + 2.5
    far = msgspec.structs.replace(look(None), single=estimated(12.0))  # saturated
    assert confirmed_by(far, Z_UM + 12.0, BOUNDS.reach) is None
    doubted = msgspec.structs.replace(look(None), single=estimated(3.0, doubt="strange"))
    assert confirmed_by(doubted, Z_UM + 3.0, BOUNDS.reach) is None
    assert confirmed_by(look(None), Z_UM, BOUNDS.reach) is None
