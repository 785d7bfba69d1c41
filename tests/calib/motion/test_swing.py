"""Settle times from frames of damped swings."""

import math

import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.swing import Swing, fit_settle

LIMIT_UM = 0.17


def swings(
    amplitude_um: float,
    tau_s: float,
    rate_hz: float,
    seed: int = 1,
    noise_um: float = 0.03,
    n_moves: int = 24,
) -> list[Swing]:
    """Eight frames after each move, at other moments of a camera with 30 frames a second."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_moves):
        since_s = (rng.random() + np.arange(8)) / 30.0
        away_um = amplitude_um * np.exp(-since_s / tau_s) * np.sin(2.0 * np.pi * rate_hz * since_s)
        noisy_um = away_um + rng.normal(0.0, noise_um, 8)
        found.append(Swing(tuple(since_s.tolist()), tuple(noisy_um.tolist())))
    return found


@pytest.mark.parametrize(
    ("amplitude_um", "tau_s", "rate_hz"), [(4.0, 0.04, 20.0), (1.0, 0.015, 40.0), (2.0, 0.03, 68.0)]
)
def test_the_settle_time_is_found_within_its_interval(
    amplitude_um: float, tau_s: float, rate_hz: float
) -> None:
    fitted = fit_settle(swings(amplitude_um, tau_s, rate_hz), LIMIT_UM, 0.05)
    truth_s = tau_s * math.log(amplitude_um / LIMIT_UM)
    assert abs(fitted.settle_s - truth_s) < min(fitted.uncertainty_s, 0.1 * truth_s)
    assert (fitted.tau_s, fitted.rate_hz) == pytest.approx((tau_s, rate_hz), rel=0.15)


def test_a_stage_that_does_not_swing_is_at_rest_at_once() -> None:
    assert fit_settle(swings(0.0, 0.02, 20.0), LIMIT_UM, 0.05).settle_s == 0.0


def test_what_is_no_spring_is_taken_as_it_was_seen() -> None:
    # It stands a whole um away for 50 ms, now on this side and now on that, then jumps into place.
    rng = np.random.default_rng(1)
    jumping = []
    for one in swings(0.0, 0.02, 20.0):
        side = rng.choice([-1.0, 1.0], len(one.since_s)) * (np.array(one.since_s) < 0.05)
        jumping.append(Swing(one.since_s, tuple((side + np.array(one.away_um)).tolist())))
    fitted = fit_settle(jumping, LIMIT_UM, 0.05)
    assert abs(fitted.settle_s - 0.05) < fitted.uncertainty_s + 0.001
    assert fitted.tau_s == 0.0


def test_a_stage_that_never_rests_is_refused() -> None:
    with pytest.raises(CalibPoor, match="the stage does not come to rest"):
        fit_settle(swings(1.0, 5.0, 10.0), LIMIT_UM, 0.05)


def test_too_few_moves_are_an_error() -> None:
    with pytest.raises(ValueError, match="8 or more"):
        fit_settle(swings(1.0, 0.02, 20.0, n_moves=7), LIMIT_UM, 0.05)
