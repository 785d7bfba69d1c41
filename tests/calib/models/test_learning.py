"""A slow drift is followed within bounds, a sudden change is reported, and a wrong field is not felt."""

import numpy as np
import pytest

from parfocal.calib.models.learning import (
    MAX_GAIN_CHANGE,
    MAX_OFFSET_UM,
    OFFSET_STEP_UM,
    Learned,
    Observation,
    gain_between,
    learned_from,
    peak_of_shots,
)


def after(drift: list[float], noise_um: float = 0.05, wrong: tuple[int, ...] = ()) -> Learned:
    """What is learned while the predicted focus ends too high by `drift`, um, less what was learned."""
    rng, state = np.random.default_rng(6), Learned()
    for k, too_high_um in enumerate(drift):
        seen_um = (
            too_high_um + state.offset_um + noise_um * rng.standard_normal() + (2.0 if k in wrong else 0.0)
        )
        state = learned_from(state, Observation(below_um=seen_um))
    return state


def test_a_slow_drift_of_the_offset_is_followed() -> None:
    state = after(list(np.linspace(0.0, 0.2, 60)))
    assert state.offset_um == pytest.approx(-0.2, abs=0.06)
    assert (state.told, state.n_fields, state.gain) == ("", 60, 1.0)


def test_noise_alone_changes_hardly_anything() -> None:
    assert abs(after([0.0] * 60).offset_um) < 0.05


def test_a_wrong_field_is_not_felt() -> None:
    assert abs(after([0.0] * 30, wrong=(11, 19)).offset_um) < 0.05


def test_a_sudden_change_is_reported_and_not_followed() -> None:
    state = after([0.0] * 12 + [0.8] * 10)
    assert state.told.startswith("the optics changed suddenly: offset, um, ")
    assert abs(state.offset_um) <= OFFSET_STEP_UM
    assert state.n_fields == 15


def test_what_is_learned_is_bounded_and_the_bound_is_told() -> None:
    state = after(list(np.linspace(0.0, 1.5, 150)), noise_um=0.02)
    assert state.offset_um == -MAX_OFFSET_UM
    assert "offset -0.30 um). Run `parfocal calibrate optics`" in state.told
    assert with_gain(list(np.linspace(1.0, 1.4, 300))).gain == pytest.approx(1.0 + MAX_GAIN_CHANGE)


def test_a_move_that_the_distance_follows_too_much_makes_a_gain_below_one() -> None:
    assert gain_between((2490.0, 2494.0), (10.0, 5.0)) == pytest.approx(0.8)
    assert gain_between((2490.0, 2491.0), (10.0, 8.75)) is None  # too short a move
    assert gain_between((2490.0, 2494.0), (5.0, 6.0)) is None  # it contradicts the move


def with_gain(right: list[float], share_up: float = 0.5, seed: int = 8) -> Learned:
    """What is learned while the right gain is `right`, from moves as the shipped model answers them (H&E, bacteria)."""
    rng, state = np.random.default_rng(seed), Learned()
    for gain in right:
        is_up = bool(rng.random() < share_up)
        shape = 1.08 if is_up else 0.90
        called = gain * (shape + 0.02 * rng.standard_normal())
        state = learned_from(state, Observation(gain=called / state.gain, is_up=is_up))
    return state


@pytest.mark.parametrize("share_up", [0.0, 0.3, 0.7, 1.0])
def test_the_shape_of_the_model_is_not_taken_for_a_gain(share_up: float) -> None:
    for seed in range(4):
        state = with_gain([1.0] * 60, share_up, seed)
        assert state.gain == pytest.approx(1.0, abs=0.025)
        assert state.told == ""


def test_a_slow_drift_of_the_gain_is_followed() -> None:
    for drifted in (1.08, 0.92):
        gains = [with_gain(list(np.linspace(1.0, drifted, 60)), seed=seed).gain for seed in range(8)]
        assert np.mean(gains) == pytest.approx(drifted, abs=0.03)


def test_a_sudden_change_of_the_gain_is_reported_and_not_followed() -> None:
    state = with_gain([1.0] * 30 + [1.3] * 10)
    assert state.told.startswith("the optics changed suddenly: gain 1.0")
    assert state.gain == pytest.approx(1.0, abs=0.02)


def sharp(z_um: float, peak_um: float = 2500.0) -> float:
    return 300.0 / (1.0 + ((z_um - peak_um) / 2.2) ** 2) ** 2


@pytest.mark.parametrize("pivot_um", [2500.9, 2502.0, 2503.0])
def test_four_shots_about_the_focus_tell_where_it_is(pivot_um: float) -> None:
    heights_um = [pivot_um, pivot_um - 5.0, pivot_um - 3.125, 2500.3]
    found_um = peak_of_shots(heights_um, [sharp(z) for z in heights_um])
    assert found_um == pytest.approx(2500.0, abs=0.05)


def test_shots_that_do_not_enclose_the_focus_or_contradict_each_other_tell_nothing() -> None:
    below = [2498.0, 2493.0, 2495.0, 2499.9]
    assert peak_of_shots(below, [sharp(z) for z in below]) is None
    about = [2502.0, 2497.0, 2498.8, 2500.2]
    assert peak_of_shots(about[1:], [sharp(z) for z in about[1:]]) is None
    assert (
        peak_of_shots(about, [sharp(z) * f for z, f in zip(about, (0.2, 1.5, 0.3, 1.0), strict=True)]) is None
    )
