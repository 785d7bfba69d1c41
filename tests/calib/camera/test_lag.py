"""How much of a picture is of the frame before, where only the test knows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.calib.camera.lag import LAGS_FROM, MIN_FRAMES, lag_of

Floats = NDArray[np.float64]


def pictures(
    lag: float, noise: float = 2.0, apart: int = 1, n: int = 8, flicker: float = 0.0
) -> list[Floats]:
    """Pictures of a bright ground, of a camera that mixes each frame with what it gave before."""
    rng = np.random.default_rng(7)
    ground = 150.0 + 40.0 * np.sin(np.arange(160) / 20.0)[:, None, None] + np.zeros((160, 160, 3))
    given, taken = ground, []
    for number in range(20 + apart * n):
        light = 1.0 + flicker * rng.standard_normal()
        new = light * ground + noise * rng.standard_normal(ground.shape)
        given = lag * given + (1.0 - lag) * new
        if number >= 20 and (number - 20) % apart == 0:
            taken.append(np.rint(given))
    return taken


@pytest.mark.parametrize("apart", [1, 2, 3])
@pytest.mark.parametrize("lag", [0.3, 0.5, 0.7])
def test_the_share_is_found_however_far_apart_the_pictures_are(lag: float, apart: int) -> None:
    assert lag_of(pictures(lag, apart=apart), apart) == pytest.approx(lag, abs=0.05)


@pytest.mark.parametrize("flicker", [0.0, 0.02])
def test_a_camera_that_mixes_nothing_has_none(flicker: float) -> None:
    found = lag_of(pictures(0.0, flicker=flicker))
    assert found is not None
    assert found < LAGS_FROM


def test_flicker_is_no_lag_and_hides_none() -> None:
    assert lag_of(pictures(0.5, flicker=0.02)) == pytest.approx(0.5, abs=0.05)


def test_without_noise_nothing_is_told_and_too_few_pictures_are_refused() -> None:
    assert lag_of(pictures(0.5, noise=0.05)) is None
    with pytest.raises(ValueError, match="5 pictures given: it takes 6 or more"):
        lag_of(pictures(0.5)[: MIN_FRAMES - 1])


@given(st.floats(0.0, 0.7), st.floats(1.5, 4.0))
@settings(max_examples=20, deadline=None)
def test_whatever_the_share_and_the_noise_it_is_found_to_a_tenth(lag: float, noise: float) -> None:
    found = lag_of(pictures(lag, noise))
    if found is not None:
        assert abs(found - lag) < 0.1
