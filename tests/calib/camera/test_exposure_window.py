"""When a triggered camera exposes, from the levels that flashes give."""

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.exposure_window import window_from_levels
from parfocal.calib.errors import CalibPoor

EXPOSURE_S, WIDTH_S = 0.008, 0.001
DELAYS_S = np.arange(0.0, 0.045, WIDTH_S)


def levels(
    begins_s: NDArray[np.float64], exposure_s: float = EXPOSURE_S, full: float = 120.0, noise: float = 0.5
) -> NDArray[np.float64]:
    """Mean grey levels of bands whose lines begin to expose at `begins_s`."""
    from_s = np.maximum(DELAYS_S[:, None], begins_s)
    until_s = np.minimum(DELAYS_S[:, None] + WIDTH_S, begins_s + exposure_s)
    lit = np.clip(until_s - from_s, 0.0, None) / WIDTH_S
    noisy: NDArray[np.float64] = 3.0 + full * lit + np.random.default_rng(1).normal(0.0, noise, lit.shape)
    return noisy


@pytest.mark.parametrize("delay_s", [0.0, 0.00002, 0.0004, 0.0013, 0.005])
def test_a_global_shutter_is_found_within_the_uncertainty(delay_s: float) -> None:
    window = window_from_levels(DELAYS_S, levels(np.full(8, delay_s)), WIDTH_S)
    assert window.delay_s == pytest.approx(delay_s, abs=window.uncertainty_s)
    assert window.room_s == pytest.approx(EXPOSURE_S, abs=2.0 * window.uncertainty_s)
    assert not window.is_rolling


def test_of_a_rolling_shutter_the_last_line_to_begin_and_the_first_to_end_count() -> None:
    begins_s = 0.0003 + np.linspace(0.0, 0.005, 8)
    window = window_from_levels(DELAYS_S, levels(begins_s), WIDTH_S)
    assert window.delay_s == pytest.approx(0.0053, abs=1e-4)
    assert window.room_s == pytest.approx(0.003, abs=1e-4)
    assert window.read_out_s == pytest.approx(0.005, abs=1e-4)
    assert window.is_rolling


def test_a_shutter_that_never_exposes_all_lines_at_once_is_refused_with_the_exposure_that_would_do() -> None:
    begins_s = np.linspace(0.0, 0.02, 8)
    with pytest.raises(CalibPoor, match=r"over 20 ms, .* Set camera\.exposure_s above 0\.021"):
        window_from_levels(DELAYS_S, levels(begins_s), WIDTH_S)


def test_flashes_that_hardly_show_are_refused() -> None:
    with pytest.raises(CalibPoor, match=r"by [78]\.\d grey levels, and 10 are needed"):
        window_from_levels(DELAYS_S, levels(np.zeros(8), full=7.5, noise=0.01), WIDTH_S)


def test_an_exposure_that_does_not_end_within_the_delays_is_refused() -> None:
    with pytest.raises(CalibPoor, match="44 ms after the trigger is still in the exposure"):
        window_from_levels(DELAYS_S, levels(np.full(8, 0.002), exposure_s=0.2), WIDTH_S)
