import numpy as np
import pytest

from parfocal.edge.focus.following.track import AGREEING, Prediction, Track, followed, waited

FRAME_S = 1.0 / 30.0


def fed(heights_um: list[float], sigma_um: float = 0.3, track: Track | None = None) -> Track:
    """The track after one prediction a frame."""
    for height_um in heights_um:
        begin_s = 0.0 if track is None else track.time_s + FRAME_S
        track = followed(track, Prediction(begin_s, height_um, sigma_um))
    assert track is not None
    return track


def test_a_still_focus_is_known_better_than_one_prediction_tells_it() -> None:
    rng = np.random.default_rng(1)
    off_um = [fed((10.0 + rng.normal(0.0, 0.3, 60)).tolist()).z_um - 10.0 for _ in range(40)]
    assert np.sqrt(np.mean(np.square(off_um))) < 0.15
    assert fed([10.0] * 60).sigma_um == pytest.approx(np.std(off_um), rel=0.5)


@pytest.mark.parametrize("drift_um_per_s", [-1.0, -0.2, 0.5, 2.0])
def test_a_steady_drift_is_found_and_carried_on(drift_um_per_s: float) -> None:
    track = fed([drift_um_per_s * FRAME_S * k for k in range(90)])
    assert track.drift_um_per_s == pytest.approx(drift_um_per_s, abs=0.05)
    assert track.at_um(track.time_s + 0.5) - track.z_um == pytest.approx(0.5 * track.drift_um_per_s)


def test_no_move_before_enough_predictions_agree() -> None:
    assert [fed([5.0] * n).is_agreed for n in (1, AGREEING - 1, AGREEING)] == [False, False, True]


def test_one_wrong_prediction_moves_nothing_and_holds_the_next_move_back() -> None:
    before = fed([5.0] * 20)
    after = fed([-7.0], track=before)
    assert after.z_um == pytest.approx(5.0, abs=0.05)
    assert not after.is_agreed
    assert fed([5.0], track=after).is_agreed


def test_wrong_predictions_that_disagree_with_each_other_are_all_set_aside() -> None:
    after = fed([-7.0, 15.0, -20.0, 30.0], track=fed([5.0] * 20))
    assert after.z_um == pytest.approx(5.0, abs=0.5)


def test_a_jump_is_believed_once_enough_predictions_agree_on_it() -> None:
    before = fed([5.0] * 20)
    track, seen = before, []
    for _ in range(AGREEING):
        track = fed([10.0], track=track)
        seen.append(track.z_um)
    assert seen[:-1] == pytest.approx([5.0] * (AGREEING - 1), abs=0.2)
    assert seen[-1] == pytest.approx(10.0, abs=0.2)
    assert track.is_agreed


def test_after_a_move_new_predictions_must_agree_first() -> None:
    track = waited(fed([5.0] * 20))
    for n in range(1, AGREEING + 1):
        track = fed([5.0], track=track)
        assert track.is_agreed is (n == AGREEING)


def test_what_is_not_looked_at_grows_uncertain() -> None:
    known = fed([5.0] * 30)
    later = followed(known, Prediction(known.time_s + 3.0, 7.0, 0.3))
    # After three seconds two um are no contradiction: the focus may have drifted there.
    assert not later.aside
    assert later.z_um > 6.0
