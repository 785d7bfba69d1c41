"""The play from focus curves that are drawn here, by another formula than the one that is fitted."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.play import Direction, FocusCurve, check_curve, fit_play, peak_of

STEP_UM = 0.625
ORDER: tuple[Direction, ...] = ("up", "down", "down", "up") * 2
Floats = NDArray[np.float64]
Shape = Callable[[Floats], Floats]


def lobe(width_um: float = 2.5, lean: float = 0.1) -> Shape:
    """Sharpness against defocus: steeper on one side, as under a real objective; 4000 at the focus."""

    def sharpness(defocus_um: Floats) -> Floats:
        side_um = width_um * (1.0 + lean * np.tanh(defocus_um))
        return np.asarray(60.0 + 4000.0 / (1.0 + (defocus_um / side_um) ** 2) ** 2)

    return sharpness


def curve(
    direction: Direction,
    middle_um: float,
    focus_um: float,
    shape: Shape,
    time_s: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    reach: int = 8,
) -> FocusCurve:
    """A curve of shots about `middle_um`, with the focus at `focus_um`, both in commanded heights."""
    z_um = middle_um + STEP_UM * np.arange(-reach, reach + 1, dtype=np.float64)
    rng = np.random.default_rng([seed, round(1000 * time_s)])
    values = shape(z_um - focus_um) * (1.0 + noise * rng.standard_normal(len(z_um)))
    if direction == "down":
        z_um, values = z_um[::-1], values[::-1]
    return FocusCurve(direction, tuple(z_um), tuple(values), (0.0,) * len(z_um), time_s)


def measured(
    play_um: float,
    drift_um_per_min: float = 0.0,
    order: tuple[Direction, ...] = ORDER,
    wobble_um: float = 0.0,
    **drawn: Any,  # noqa: ANN401  # what `curve` takes
) -> list[FocusCurve]:
    """Curves one after the other, 3 s each, as a stage with this play and drift gives them."""
    rng = np.random.default_rng(drawn.get("seed", 0))
    drawn.setdefault("shape", lobe())
    curves = []
    for k, direction in enumerate(order):
        focus_um = 2500.13 + drift_um_per_min * 3.0 * k / 60.0 + wobble_um * rng.standard_normal()
        focus_um -= play_um if direction == "down" else 0.0
        about_um = STEP_UM * round(focus_um / STEP_UM)
        curves.append(curve(direction, about_um, focus_um, time_s=3.0 * k, **drawn))
    return curves


@settings(max_examples=50)
@given(
    play_um=st.floats(0.0, 60.0),
    drift_um_per_min=st.floats(-3.0, 3.0),
    width_um=st.floats(1.6, 4.0),
    lean=st.floats(-0.2, 0.2),
    seed=st.integers(0, 1000),
)
def test_play_is_found_whatever_the_drift_and_the_shape_of_the_curve(
    play_um: float, drift_um_per_min: float, width_um: float, lean: float, seed: int
) -> None:
    found = fit_play(measured(play_um, drift_um_per_min, shape=lobe(width_um, lean), noise=0.01, seed=seed))
    assert abs(found.play_um - play_um) <= 0.25
    assert abs(found.drift_um_per_min - drift_um_per_min) <= 1.0


@pytest.mark.parametrize("wobble_um", [0.02, 0.15])
def test_the_interval_holds_the_truth_in_nine_runs_of_ten(wobble_um: float) -> None:
    # The place of the stage itself is uncertain, beyond what any single curve shows.
    holds = []
    for seed in range(50):
        play_um = 0.15 * seed + 2.0
        try:
            found = fit_play(measured(play_um, 0.5, noise=0.01, wobble_um=wobble_um, seed=seed))
        except CalibPoor:
            continue
        holds.append(abs(found.play_um - play_um) <= found.uncertainty_um)
    assert len(holds) > 35
    assert np.mean(holds) >= 0.9


def test_up_down_down_up_cancels_a_drift_that_alternation_would_take_for_play() -> None:
    curves = measured(8.0, 6.0, order=("up", "down", "down", "up"))
    assert fit_play(curves).play_um == pytest.approx(8.0, abs=0.05)


def test_a_gear_without_play_has_none_and_never_less() -> None:
    found = [fit_play(measured(0.0, noise=0.02, seed=seed)) for seed in range(12)]
    assert min(one.play_um for one in found) == 0.0
    assert max(one.play_um for one in found) < 0.2


def test_peaks_that_scatter_are_refused_with_their_interval() -> None:
    with pytest.raises(CalibPoor, match=r"\+- \d\.\d+ um refused: the interval must be \+-0\.5 um or less"):
        fit_play(measured(8.0, wobble_um=0.9, seed=3))


def test_negative_play_is_refused() -> None:
    with pytest.raises(CalibPoor, match="it cannot be negative"):
        fit_play(measured(-2.0))


@pytest.mark.parametrize("order", [("up", "down", "up"), ("up",) * 6, ("up", "up", "up", "down")])
def test_too_few_curves_are_an_error_of_the_program(order: tuple[Direction, ...]) -> None:
    with pytest.raises(ValueError, match="two in each direction"):
        fit_play(measured(5.0, order=order))


def two_layers(apart_um: float, second: float) -> Shape:
    one = lobe(1.2)
    return lambda defocus_um: one(defocus_um) + second * one(defocus_um - apart_um)


@pytest.mark.parametrize(
    ("shape", "at_um", "told"),
    [
        (lambda defocus_um: np.full(defocus_um.shape, 40.0), 0.0, "it is flat: it falls by only 0 %"),
        (lambda defocus_um: 400.0 + lobe()(defocus_um) / 40.0, 0.0, "it is flat: it falls by only 1"),
        (lambda defocus_um: np.zeros(defocus_um.shape), 0.0, "it is flat"),
        (lobe(), 5.0, "still high at its upper end"),
        (lobe(), -5.0, "still high at its lower end"),
        (lobe(20.0), 0.0, "it is"),
        (two_layers(4.5, 0.4), -1.5, r"a second peak at 250[23]\.\d um"),
        (two_layers(-4.5, 0.4), 1.5, r"a second peak at 249[67]\.\d um"),
        (two_layers(4.5, 0.15), -1.5, "a second peak"),
    ],
)  # fmt: skip
def test_a_curve_without_one_clear_peak_is_refused_with_the_reason(
    shape: Shape, at_um: float, told: str
) -> None:
    with pytest.raises(CalibPoor, match=told):
        check_curve(curve("up", 2500.0, 2500.0 + at_um, shape))


@pytest.mark.parametrize(("white", "is_refused"), [(0.45, False), (0.55, True)])
def test_a_saturated_curve_is_refused(white: float, is_refused: bool) -> None:
    whiter = msgspec.structs.replace(
        curve("down", 2500.0, 2500.2, lobe()), white_share=(0.0,) * 16 + (white,)
    )
    if not is_refused:
        assert peak_of(whiter).z_um == pytest.approx(2500.2, abs=0.1)
        return
    with pytest.raises(
        CalibPoor, match=r"downward focus curve of 2495\.0\.\.2505\.0 um refused: it is saturated"
    ):
        peak_of(whiter)


def test_a_low_lobe_beside_the_peak_is_no_second_peak() -> None:
    # Out of focus the contrast of fine detail comes back a little, reversed.
    check_curve(curve("up", 2500.0, 2498.5, two_layers(5.0, 0.06)))


def test_noise_is_no_second_peak() -> None:
    for seed in range(30):
        check_curve(curve("up", 2500.0, 2500.2, lobe(), noise=0.02, seed=seed))


def test_too_few_points_are_an_error_of_the_program() -> None:
    with pytest.raises(ValueError, match="7 or more"):
        peak_of(curve("up", 2500.0, 2500.0, lobe(), reach=2))
