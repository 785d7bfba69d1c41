"""What the measured play of Z leaves is learned from the pictures of sweeps."""

import numpy as np
import pytest

from parfocal.edge.scan.continuous.engagement import MIN_PICTURES, Engagement


def taught(n: int, falling_um: float, play_sigma_um: float = 0.45) -> Engagement:
    """From `n` pictures in either engagement, whose constant is off by 0.2 um."""
    rng, made = np.random.default_rng(1), Engagement(play_sigma_um)
    for _ in range(n):
        made.learn(-0.2 + float(rng.normal(0.0, 0.35)), is_falling=False)
        made.learn(-0.2 + falling_um + float(rng.normal(0.0, 0.35)), is_falling=True)
    return made


def test_an_error_of_the_play_is_found_whatever_the_constant_of_single_shots() -> None:
    made = taught(200, 0.5)
    assert made.above_um == pytest.approx(0.5, abs=0.1)
    assert 0.05 < made.sigma_um < 0.15


def test_before_pictures_tell_the_play_is_as_uncertain_as_it_was_measured() -> None:
    few = taught(MIN_PICTURES - 1, 0.5)
    assert (few.above_um, few.sigma_um) == (0.0, 0.45)
    some = taught(MIN_PICTURES, 0.5)
    assert 0.1 < some.sigma_um < 0.45
    assert 0.0 < some.above_um < 0.55
    assert taught(50, 0.5, play_sigma_um=0.0).above_um == 0.0
