"""The loop on the virtual microscope: real mechanics, real pictures, a predictor whose errors are chosen."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.errors import MoveRefused
from parfocal.board.motion.gear import Engagement
from parfocal.edge.config import Config
from parfocal.edge.focus import field_work
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.simscope.camera import SimulatedCamera
from tests.edge.scope import FOCUS_Z_UM, Scope, small, with_focus


def lost_result(caught: pytest.ExceptionInfo[FocusLost]) -> FocusResult:
    """The result that a FocusLost carries, with the whole trace."""
    result = caught.value.result
    assert result is not None
    assert (result.outcome, result.reason) == ("lost", str(caught.value))
    assert result.path_um[-1] == result.z_um
    return result


@pytest.mark.parametrize("start_um", [-1.5, -0.6, 0.0, 1.5, 2.5])
def test_a_right_prediction_focuses_in_few_shots_and_arrives_upwards(scope: Scope, start_um: float) -> None:
    done = scope.focuser().focus(FOCUS_Z_UM + start_um)
    assert done.outcome == "focused"
    assert abs(scope.error_um()) <= 0.35
    assert scope.board.z.engagement is Engagement.UP
    assert done.path_um[-1] >= done.path_um[-2]
    assert done.images == 4  # at the pivot, the two of the estimate, at the end
    assert done.end is not None


def test_the_two_shots_lie_delta_apart_in_truth_whatever_the_play(config: Config) -> None:
    errors_um = []
    for play_um in (0.0, 20.0):
        scope = Scope(config, z_play_um=play_um)
        focuser = scope.focuser()
        for start_um in (-5.0, 3.0, -1.0):
            focuser.focus(FOCUS_Z_UM + start_um)
            errors_um.append(scope.error_um())
        scope.board.close()
    assert np.ptp(np.abs(errors_um).reshape(2, 3).mean(axis=1)) < 0.1


def test_an_uncertain_estimate_moves_half_way_and_looks_again(scope: Scope) -> None:
    done = scope.focuser([[-3.0, 3.0, -3.0, 3.0], [0.0] * 4]).focus(FOCUS_Z_UM - 3.0)
    assert [attempt.rule for attempt in done.attempts] == ["half_spread", "accept"]
    first, second = done.attempts
    assert second.z1_um == pytest.approx(first.z2_um + first.distance_um / 2.0, abs=0.2)
    assert abs(scope.error_um()) <= 0.35


def test_focus_below_the_second_shot_is_approached_again_from_below(scope: Scope) -> None:
    done = scope.focuser().focus(FOCUS_Z_UM + 10.0)
    assert [attempt.rule for attempt in done.attempts] == ["down", "accept"]
    assert done.attempts[1].z2_um < FOCUS_Z_UM
    assert abs(scope.error_um()) <= 0.35
    assert scope.board.z.engagement is Engagement.UP


@pytest.mark.parametrize("saturates_um", [8.0, 13.0])
@pytest.mark.parametrize("start_um", [-25.0, -15.0, 15.0, 25.0])
def test_a_saturated_model_never_ends_focused_far_from_the_focus(
    scope: Scope, start_um: float, saturates_um: float
) -> None:
    # 8 um: an instrument on which the model says less than it was trained to.
    done = scope.focuser(saturates_um=saturates_um).focus(FOCUS_Z_UM + start_um)
    assert done.outcome == "focused"
    assert abs(scope.error_um()) <= 0.5
    assert done.attempts[0].rule in ("half_distance", "check", "down")


def test_a_long_move_is_checked_where_it_ends_with_one_more_pair_of_shots(scope: Scope) -> None:
    done = scope.focuser().focus(FOCUS_Z_UM - 5.0)
    assert [attempt.rule for attempt in done.attempts] == ["check", "in_focus"]
    assert done.attempts[1].z2_um == pytest.approx(FOCUS_Z_UM, abs=0.35)
    assert done.images == 5


def test_a_second_estimate_that_disagrees_is_followed_by_a_third(scope: Scope) -> None:
    # The first estimate is 3 um short, as of a model that gives too little from far away.
    done = scope.focuser([[-3.0] * 4, [0.0] * 4]).focus(FOCUS_Z_UM - 5.0)
    assert [attempt.rule for attempt in done.attempts] == ["check", "disagrees", "in_focus"]
    assert abs(scope.error_um()) <= 0.35


def test_two_shots_as_sharp_on_both_sides_of_the_focus_are_not_taken_for_it(scope: Scope) -> None:
    # The pivot is 2.2 um too low, the prediction 2.0 um too far: both look alike, the focus lies between.
    done = scope.focuser([[2.0] * 4]).focus(FOCUS_Z_UM - 2.2 + 0.4)
    assert done.attempts[-1].rule == "not_sharper"
    assert done.outcome == "recovered"
    assert abs(scope.error_um()) <= 0.35


def test_the_final_shot_is_held_against_the_two_of_its_estimate(scope: Scope) -> None:
    # The pivot is as blurred as the end that a wrong prediction leads to; the first of the two shots is sharp.
    start_um = scope.config.focus.z1_below_um
    done = scope.focuser([[start_um] * 4]).focus(FOCUS_Z_UM + start_um)
    assert done.attempts[-1].rule == "not_sharper"
    assert done.outcome == "recovered"
    assert abs(scope.error_um()) <= 0.35


@pytest.mark.parametrize(
    ("good", "level", "told"),
    [(0, 0, "black"), (1, 0, "black"), (2, 255, "saturated"), (2, 100, "of one colour"), (3, 0, "black")],
)
def test_light_that_fails_during_a_field_ends_it_with_the_reason_and_no_higher_than_the_pivot(
    config: Config, good: int, level: int, told: str
) -> None:
    scope = Scope(config)
    shown = itertools.count()

    def render(x_um: float, y_um: float, z_um: float, duty: float) -> NDArray[np.uint8]:
        pixels = scope.sample.render(x_um, y_um, z_um, duty)
        return pixels if next(shown) < good else np.full_like(pixels, level)

    scope.camera = SimulatedCamera(scope.bench, scope.bench.clock, config.camera, render)
    pivot_um = FOCUS_Z_UM - 1.0
    with pytest.raises(FocusLost, match=f"{told}.*waits at z=2") as caught:
        scope.focuser().focus(pivot_um)
    assert len(lost_result(caught).attempts) == (1 if good == 3 else 0)
    assert scope.true_z_um() <= pivot_um + 0.35
    assert next(shown) == good + 1  # no sweep in the dark


def test_a_wrong_prediction_is_noticed_by_its_blur_and_mended_by_a_sweep(scope: Scope) -> None:
    done = scope.focuser([[6.0] * 4]).focus(FOCUS_Z_UM)
    assert done.outcome == "recovered"
    assert done.attempts[-1].rule == "not_sharper"
    assert abs(scope.error_um()) <= 0.5


def test_a_field_that_was_sharp_at_the_start_never_ends_blurred(scope: Scope) -> None:
    done = scope.focuser([[-2.5] * 4]).focus(FOCUS_Z_UM)
    assert done.attempts[-1].rule == "not_sharper"
    assert done.outcome == "recovered"
    assert abs(scope.error_um()) <= 0.35
    assert done.images <= 20  # a sweep about the pivot is enough


def test_of_two_good_heights_the_sharper_is_kept(scope: Scope) -> None:
    done = scope.focuser([[0.8] * 4]).focus(FOCUS_Z_UM)
    assert done.attempts[-1].rule in ("pivot_sharper", "not_sharper")
    assert abs(scope.error_um()) <= 0.35
    assert scope.board.z.engagement is Engagement.UP
    assert done.path_um[-1] > done.path_um[-2]


def test_endless_uncertainty_ends_in_a_sweep(scope: Scope) -> None:
    done = scope.focuser([[-3.0, 3.0, -3.0, 3.0]]).focus(FOCUS_Z_UM)
    assert done.outcome == "recovered"
    assert len(done.attempts) <= scope.config.focus.max_attempts
    assert abs(scope.error_um()) <= 0.5


def test_a_peak_of_a_sweep_that_is_less_sharp_than_a_shot_already_taken_is_not_the_focus(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(with_focus(config, recovery_reach_um=8.0))
    # As if vibration had put a peak on the flank of both short sweeps.
    monkeypatch.setattr(field_work, "peak_inside_um", lambda *_: FOCUS_Z_UM + 4.0)
    with pytest.raises(FocusLost, match=r"back at z=2500") as caught:
        scope.focuser([[-3.0, 3.0, -3.0, 3.0]]).focus(FOCUS_Z_UM)
    assert lost_result(caught).z_um == pytest.approx(FOCUS_Z_UM, abs=0.35)


def test_an_empty_field_is_blank_and_the_stage_keeps_its_height(config: Config) -> None:
    scope = Scope(config, blank=True)
    done = scope.focuser().focus(2480.0)
    assert (done.outcome, done.images, done.attempts) == ("blank", 1, ())
    assert scope.true_z_um() == pytest.approx(2480.0, abs=0.35)
    assert scope.board.z.engagement is Engagement.UP


def test_a_lost_focus_goes_back_to_the_last_good_height_and_tells_what_it_tried(config: Config) -> None:
    scope = Scope(with_focus(config, recovery_reach_um=8.0))
    with pytest.raises(FocusLost, match=r"back at z=2400\.0 um") as caught:
        scope.focuser([[-103.0, -97.0, -103.0, -97.0]]).focus(2400.0)
    assert len(lost_result(caught).attempts) >= 1
    assert scope.true_z_um() == pytest.approx(2400.0, abs=0.35)


def test_the_first_sweep_finds_the_focus_of_a_slide(config: Config) -> None:
    scope = Scope(with_focus(config, first_sweep_start_um=2475.0, first_sweep_stop_um=2515.0))
    pivot_um = scope.focuser().first_sweep().pivot_um
    assert pivot_um == pytest.approx(FOCUS_Z_UM, abs=1.0)


def test_the_first_sweep_finds_nothing_where_there_is_nothing(config: Config) -> None:
    scope = Scope(with_focus(config, first_sweep_start_um=2475.0, first_sweep_stop_um=2515.0), blank=True)
    focuser = scope.focuser()
    assert focuser.first_sweep().pivot_um is None
    assert focuser.without_focus().outcome == "blank"


def bounded(low_um: float, high_um: float) -> Config:
    """An instrument whose Z may go no further."""
    import msgspec

    config = small(Config())
    z = msgspec.structs.replace(config.board.z, min_um=low_um, max_um=high_um)
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, z=z))


@pytest.mark.parametrize("error_um", [0.0, 4.0, 9.0, 11.9, -11.0, 40.0])
def test_no_prediction_drives_the_stage_past_the_upper_limit(error_um: float) -> None:
    high_um = FOCUS_Z_UM + 7.3  # the margin for the true position ends commanded ones 2.5 um above the focus
    scope = Scope(bounded(0.0, high_um))
    assert FOCUS_Z_UM + 2.0 < scope.board.z.limits_um[1] < FOCUS_Z_UM + 3.0
    highest_um = []
    grab = scope.camera.grab

    def watched() -> object:
        highest_um.append(scope.true_z_um())
        return grab()

    scope.camera.grab = watched  # type: ignore[method-assign,assignment]
    scope.focuser([[error_um] * 4]).focus(FOCUS_Z_UM - 1.0)
    assert max(highest_um) <= FOCUS_Z_UM + 3.0


def test_a_first_sweep_without_room_for_its_approach_is_refused_before_anything_moves() -> None:
    scope = Scope(bounded(0.0, 5000.0))
    config = with_focus(scope.config, first_sweep_start_um=15.0, first_sweep_stop_um=200.0)
    scope.config = config
    before_um = scope.true_z_um()
    with pytest.raises(MoveRefused, match=r"nothing moved"):
        scope.focuser().check_first_sweep()
    assert scope.true_z_um() == before_um


def test_every_shot_of_a_whole_field_is_taken_on_the_way_up_or_after_a_full_run_up(scope: Scope) -> None:
    done = scope.focuser([[0.0] * 4]).focus(FOCUS_Z_UM + 9.0)
    overshoot_um = scope.board.z.overshoot_um
    assert overshoot_um > scope.bench.config.z.play_um
    rises = [b - a for a, b in itertools.pairwise(done.path_um)]
    # Downward legs end in an approach from below; the axis tells, and the truth agrees with the counter.
    assert any(rise < 0 for rise in rises)
    assert scope.true_z_um() == pytest.approx(scope.board.z.position_um, abs=0.35)


def test_an_estimate_with_one_wrong_patch_is_enough(scope: Scope) -> None:
    # Not from the focus itself: there noise decides whether the first shot or the last one is kept.
    done = scope.focuser_that_tells([[0.0, 0.1, -40.0, 0.0]]).focus(FOCUS_Z_UM + 2.5)
    assert [attempt.rule for attempt in done.attempts] == ["accept"]
    assert (done.outcome, done.believed) == ("focused", True)
    assert done.sigma_um is not None
    assert done.sigma_um < 0.3
    assert abs(scope.error_um()) <= 0.35


@pytest.mark.parametrize("start_um", [-4.0, 0.0, 1.5])
def test_a_field_outside_what_the_model_was_made_for_is_never_focused_by_the_model(
    scope: Scope, start_um: float
) -> None:
    done = scope.focuser_that_tells(strangeness=9.0, gain=0.5).focus(FOCUS_Z_UM + start_um)
    assert done.outcome == "recovered"
    assert [(attempt.rule, attempt.doubt) for attempt in done.attempts] == [("not_believed", "strange")] * 2
    assert done.believed is False
    assert abs(scope.error_um()) <= 0.35
    assert scope.board.z.engagement is Engagement.UP


def test_a_sweep_after_doubt_is_about_the_predicted_focus(scope: Scope) -> None:
    done = scope.focuser_that_tells(strangeness=9.0).focus(FOCUS_Z_UM - 5.0)
    assert (done.outcome, len(done.attempts)) == ("recovered", 2)
    assert done.images <= 14
    assert abs(scope.error_um()) <= 0.35


def test_a_distance_that_does_not_shrink_by_the_move_is_not_believed(scope: Scope) -> None:
    # From 10 um above, the first estimate says where the focus is, the second something else.
    done = scope.focuser_that_tells([[4.0] * 4, [0.0] * 4]).focus(FOCUS_Z_UM + 10.0)
    assert done.attempts[0].rule == "down"
    assert done.attempts[1].doubt == "move"
    assert done.believed is False
    assert abs(scope.error_um()) <= 0.35


def test_a_second_estimate_that_is_believed_and_agrees_is_enough(scope: Scope) -> None:
    focuser = scope.focuser_that_tells([[0.2, 0.2, 5.0, -5.0], [0.0] * 4])
    done = focuser.focus(FOCUS_Z_UM)
    assert [attempt.doubt for attempt in done.attempts] == ["patches", ""]
    assert done.outcome == "focused"
    assert abs(scope.error_um()) <= 0.35


def test_without_belief_the_rule_is_the_papers(config: Config) -> None:
    scope = Scope(with_focus(config, belief=False))
    done = scope.focuser_that_tells(strangeness=9.0).focus(FOCUS_Z_UM + 2.5)
    assert [attempt.rule for attempt in done.attempts] == ["accept"]
    assert (done.attempts[0].sigma_um, done.believed) == (None, None)


def test_after_a_short_half_way_upwards_the_second_shot_serves_as_the_next_first_one(scope: Scope) -> None:
    # The first estimate is uncertain and says 3 um: half of it lies within the next pair.
    done = scope.focuser([[-3.0, 3.0, -3.0, 3.0], [0.0] * 4]).focus(FOCUS_Z_UM - 0.4)
    assert [attempt.rule for attempt in done.attempts] == ["half_spread", "accept"]
    first, second = done.attempts
    assert second.z1_um == first.z2_um
    assert done.images == 5  # at the pivot, two, one more, at the end
    assert abs(scope.error_um()) <= 0.35
