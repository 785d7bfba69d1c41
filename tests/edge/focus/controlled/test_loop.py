"""The controller's loop on the virtual microscope: real mechanics and pictures, predictors whose errors are chosen."""

import msgspec
import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.config import Config
from parfocal.edge.focus.controlled.claims import ClaimErrors, Record
from parfocal.edge.focus.controlled.history import MAX_UNVERIFIED, History, Verified
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.picture.part import CentralPart
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.focus.shots import Shots
from tests.edge.scope import FOCUS_Z_UM, Scope, with_focus

SHARPEST_UM = 0.37  # the sharpest plane of the drawn section above its focus


def known(focuser: Focuser, clarity: float, bias_um: float = 0.0) -> None:
    """Give the controller a history of single shots that were right but for a bias."""
    records = tuple(
        Record(true_um + bias_um, true_um) for true_um in (-4.0, -2.0, -1.0, -0.1, 0.1, 1.0, 2.0, 4.0)
    )
    controlled = focuser._controlled
    assert controlled is not None
    fields = tuple(Verified(1.0, clarity) for _ in range(5))
    controlled.history = History(controlled.history.depth_of_field_um, ClaimErrors(records * 4), fields)


def history_of(focuser: Focuser) -> History:
    assert focuser._controlled is not None
    return focuser._controlled.history


@pytest.fixture
def clarity(scope: Scope) -> float:
    """Clarity of the field in focus."""
    in_focus = scope.sample.render(0.0, 0.0, FOCUS_Z_UM, scope.config.scan.lamp_duty)
    return CentralPart(in_focus, scope.config.focus).clarity


def test_a_field_in_focus_is_done_in_one_image_and_nothing_moves(scope: Scope, clarity: float) -> None:
    focuser = scope.controlled()
    known(focuser, clarity)
    scope.board.z.approach_up(FOCUS_Z_UM)
    done = focuser.focus(FOCUS_Z_UM)
    assert (done.outcome, done.images, done.start) == ("focused", 1, done.end)
    assert [attempt.rule for attempt in done.attempts] == ["single_in_focus"]
    assert set(done.path_um) == {FOCUS_Z_UM}
    assert abs(scope.error_um()) <= 0.35
    assert history_of(focuser).unverified == 1
    assert done.singles_um == ()  # what a single shot settled says nothing of how far it is off


@pytest.mark.parametrize("start_um", [-1.25, 1.25])
def test_a_field_whose_height_is_wanted_is_left_out_of_focus_and_says_by_how_much(
    scope: Scope, clarity: float, start_um: float
) -> None:
    focuser = scope.controlled(measures=True)
    known(focuser, clarity)
    done = focuser.focus(FOCUS_Z_UM + start_um)
    assert [attempt.rule for attempt in done.attempts] == ["single_measured"]
    assert (done.outcome, done.images, done.z_um) == ("focused", 1, FOCUS_Z_UM + start_um)
    assert done.left_um == pytest.approx(-start_um, abs=0.35)
    assert focuser.focus(FOCUS_Z_UM + 4.0).z_um == pytest.approx(FOCUS_Z_UM, abs=0.5)  # too far


def test_a_pair_that_measures_a_height_does_not_go_back_down_and_goes_on_record(
    scope: Scope, clarity: float
) -> None:
    focuser = scope.controlled(measures=True)
    known(focuser, clarity)
    controlled = focuser._controlled
    assert controlled is not None
    controlled.history = msgspec.structs.replace(controlled.history, unverified=MAX_UNVERIFIED)
    done = focuser.focus(FOCUS_Z_UM - 1.25)
    assert [attempt.rule for attempt in done.attempts] == ["pair_measured"]
    assert (done.outcome, done.images, done.z_um) == ("focused", 2, FOCUS_Z_UM + 0.625)
    assert done.z_um + done.left_um == pytest.approx(FOCUS_Z_UM, abs=0.35)
    history = history_of(focuser)
    assert history.unverified == 0
    # The clarity on record is that of the shot near the focus.
    assert done.start is not None
    assert history.fields[-1].clarity == done.start.part.clarity
    assert history.claim_errors.verified[-1].true_um == pytest.approx(1.25, abs=0.35)
    assert done.singles_um == (
        (history.claim_errors.verified[-1].claimed_um, history.claim_errors.verified[-1].true_um),
    )


def test_while_single_shots_are_learned_both_shots_of_a_measuring_pair_go_on_record(
    scope: Scope, clarity: float
) -> None:
    focuser = scope.controlled(measures=True)
    known(focuser, clarity)
    controlled = focuser._controlled
    assert controlled is not None
    few = msgspec.structs.replace(
        controlled.history, claim_errors=ClaimErrors(controlled.history.claim_errors.verified[:8])
    )
    controlled.history = few.with_verification_due()
    done = focuser.focus(FOCUS_Z_UM - 1.25)
    assert ([attempt.rule for attempt in done.attempts], done.images) == (["pair_measured"], 2)
    true_um = [record.true_um for record in history_of(focuser).claim_errors.verified[8:]]
    assert true_um == pytest.approx([1.25, -0.625], abs=0.35)


def test_a_picture_taken_in_passing_tells_the_height_and_moves_nothing(scope: Scope, clarity: float) -> None:
    assert not scope.controlled(measures=True).is_taught
    focuser = scope.controlled(measures=True)
    known(focuser, clarity)
    assert focuser.is_taught
    config = scope.config.focus
    for above_um, told_um in ((0.9375, -0.9375), (4.0625, None)):
        scope.board.z.approach_up(FOCUS_Z_UM + above_um)
        shots = Shots(scope.board.z, scope.camera, config)
        passed, before = shots.take(FOCUS_Z_UM + above_um), history_of(focuser)
        done = focuser.measured(passed)
        assert scope.board.z.position_um == FOCUS_Z_UM + above_um
        assert history_of(focuser) == before
        if told_um is None:
            assert done is None
            continue
        assert done is not None
        assert (done.outcome, done.images, done.z_um) == ("focused", 1, passed.z_um)
        assert done.left_um == pytest.approx(told_um, abs=0.35)


@pytest.mark.parametrize("start_um", [-3.0, 1.0])
def test_a_small_distance_takes_a_move_from_below_and_one_more_image(
    scope: Scope, clarity: float, start_um: float
) -> None:
    focuser = scope.controlled(single_errors_um=[[0.4]])
    known(focuser, clarity, bias_um=0.4)
    done = focuser.focus(FOCUS_Z_UM + start_um)
    assert (done.outcome, done.images) == ("focused", 2)
    assert abs(scope.error_um()) <= 0.5
    assert scope.board.z.engagement is Engagement.UP
    assert done.path_um[-1] >= done.path_um[-2]


def test_the_wrong_direction_is_noticed_by_the_next_shot_and_settled_by_a_pair(
    scope: Scope, clarity: float
) -> None:
    focuser = scope.controlled(single_errors_um=[[-3.0], [0.0]])
    known(focuser, clarity)
    done = focuser.focus(FOCUS_Z_UM - 1.5)  # says 1.5 um below, and it is above
    assert done.outcome == "focused"
    assert done.attempts[0].rule == "single"
    assert done.attempts[-1].rule in ("accept", "in_focus", "down")
    assert abs(scope.error_um()) <= 0.35


def test_a_new_slide_is_focused_by_pairs_whose_first_shot_is_that_on_arrival(scope: Scope) -> None:
    focuser = scope.controlled(single_errors_um=[[5.0]])
    for start_um, images in ((-4.0, 3), (-2.0, 2), (2.0, 3)):
        done = focuser.focus(FOCUS_Z_UM + start_um)
        assert (done.outcome, done.images) == ("focused", images)
        assert done.attempts[0].z1_um == pytest.approx(FOCUS_Z_UM + start_um, abs=0.35)
        assert abs(scope.error_um()) <= 0.35
        assert scope.board.z.engagement is Engagement.UP
    # What the single shots claimed is on record, and off by 5 um.
    errors_um = [record.claimed_um - record.true_um for record in history_of(focuser).claim_errors.verified]
    assert errors_um == pytest.approx([5.0] * len(errors_um), abs=0.4)
    assert len(errors_um) == 3 + 2 + 3  # one of each picture


def test_on_a_calibrated_microscope_single_shots_lead_from_the_second_field_on(scope: Scope) -> None:
    focuser = scope.controlled(single_errors_um=[[0.4]], above_sharpest_um=-SHARPEST_UM)
    for start_um, images, rules in (
        (-3.0, 3, ["accept"]),
        (-1.5, 2, ["single"]),
        (1.5, 2, ["single"]),
        (0.0, 1, ["single_in_focus"]),
    ):
        done = focuser.focus(FOCUS_Z_UM + start_um)
        assert (done.images, [attempt.rule for attempt in done.attempts]) == (images, rules)
        assert abs(scope.error_um()) <= 0.5
    history = history_of(focuser)
    # The two moves are on record, and their sharpness has told their focus.
    assert len(history.claim_errors.others) == 4
    assert history.unverified == 1
    errors_um = [record.claimed_um - record.true_um for record in history.claim_errors.others]
    assert errors_um == pytest.approx([0.4] * 4, abs=0.35)


def test_a_pair_that_is_wrong_is_held_against_the_curve_of_a_calibrated_microscope(scope: Scope) -> None:
    """The first pair of a slide is 0.7 um off, and single shots would learn its error."""
    focuser = scope.controlled([[0.7] * 4], above_sharpest_um=-SHARPEST_UM)
    focuser.focus(FOCUS_Z_UM - 3.0)
    assert scope.error_um() == pytest.approx(0.6, abs=0.2)
    errors_um = [one.claimed_um - one.true_um for one in history_of(focuser).claim_errors.verified]
    assert errors_um == pytest.approx([0.0] * 3, abs=0.15)


@pytest.mark.parametrize("start_um", [-25.0, 12.0])
def test_saturated_models_never_end_focused_far_from_the_focus(
    scope: Scope, clarity: float, start_um: float
) -> None:
    focuser = scope.controlled(saturates_um=8.0)
    known(focuser, clarity)
    done = focuser.focus(FOCUS_Z_UM + start_um)
    assert done.outcome == "focused"
    assert abs(scope.error_um()) <= 0.5


def test_a_wrong_pair_is_noticed_by_its_blur(scope: Scope) -> None:
    done = scope.controlled([[3.0] * 4, [0.0] * 4], [[9.0]]).focus(FOCUS_Z_UM)
    assert done.attempts[0].rule == "not_sharper"
    assert done.outcome == "focused"
    assert abs(scope.error_um()) <= 0.35
    always = scope.controlled([[3.0] * 4], [[9.0]]).focus(FOCUS_Z_UM)
    assert always.outcome == "recovered"
    assert abs(scope.error_um()) <= 0.35


def test_what_cannot_be_focused_ends_at_the_pivot(config: Config) -> None:
    scope = Scope(with_focus(config, recovery_reach_um=8.0))
    with pytest.raises(FocusLost, match=r"back at z=2400\.0 um") as caught:
        scope.controlled([[-103.0, -97.0, -103.0, -97.0]]).focus(2400.0)
    result = caught.value.result
    assert result is not None
    assert len(result.attempts) <= config.focus.max_attempts
    assert scope.true_z_um() == pytest.approx(2400.0, abs=0.35)


def test_an_empty_field_costs_one_image(config: Config) -> None:
    done = Scope(config, blank=True).controlled().focus(2480.0)
    assert (done.outcome, done.images) == ("blank", 1)
