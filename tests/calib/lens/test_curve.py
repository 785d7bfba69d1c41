"""The curve of a lens from focal planes: made ones, whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.lens.curve import FocalPlane, fit_lens

CURRENTS_MA = np.arange(-120.0, 121.0, 10.0)


def planes(
    height_um: Callable[[float], float],
    hysteresis_ma: float = 4.0,
    noise_um: float = 0.03,
    drift_um_per_min: float = 0.3,
    seed: int = 1,
) -> list[FocalPlane]:
    """Focal planes of four sweeps, up and down in turn."""
    rng, found, time_s = np.random.default_rng(seed), [], 0.0
    for is_rising in (True, False, True, False):
        for ma in CURRENTS_MA if is_rising else CURRENTS_MA[::-1]:
            held_ma = ma + (-0.5 if is_rising else 0.5) * hysteresis_ma
            lens_um = height_um(held_ma) + drift_um_per_min * time_s / 60.0 + noise_um * rng.standard_normal()
            found.append(FocalPlane(float(ma), 2500.0 - lens_um, is_rising, time_s))
            time_s += 2.0
    return found


def bent(um_per_ma: float) -> Callable[[float], float]:
    return lambda ma: um_per_ma * ma * (1.0 + 0.1 * ma / 120.0 - 0.05 * (ma / 120.0) ** 2)


@pytest.mark.parametrize("um_per_ma", [0.33, -0.33])
@pytest.mark.parametrize("hysteresis_ma", [0.0, 5.0])
def test_the_curve_is_that_of_rising_heights_and_its_interval_holds_the_truth(
    um_per_ma: float, hysteresis_ma: float
) -> None:
    height_um = bent(um_per_ma)
    fit = fit_lens(planes(height_um, hysteresis_ma))
    flank_ma = np.sign(um_per_ma) * hysteresis_ma / 2.0
    true_um = [height_um(ma - flank_ma) - height_um(-flank_ma) for ma in fit.currents_ma]
    assert np.abs(np.array(fit.heights_um) - true_um).max() <= fit.uncertainty_um <= 0.15
    assert np.all(np.diff(fit.heights_um) > 0.0)
    assert fit.residual_um == pytest.approx(0.03, abs=0.01)
    assert fit.drift_um_per_min == pytest.approx(0.3, abs=0.03)
    assert fit.um_per_ma == pytest.approx(um_per_ma, abs=0.01)
    widest_um = max(abs(height_um(ma + flank_ma) - height_um(ma - flank_ma)) for ma in CURRENTS_MA)
    assert fit.play_um == pytest.approx(widest_um, abs=fit.play_uncertainty_um)


@pytest.mark.parametrize(
    ("height_um", "told"),
    [
        (lambda ma: 0.001 * ma, "the focus moves by 0.2 um, less than 10 um"),
        (lambda ma: 0.33 * min(ma, 70.0), "goes flat between 70 and 80 mA"),
        (lambda ma: 0.33 * ma * (1.0 - 0.75 * ma / 120.0), "turns back between 70 and 80 mA"),
        (lambda ma: 0.2 * ma + (3.0 if ma > 0.0 else 0.0), "away from a smooth one|no curve that only rises"),
    ],
)
def test_a_lens_that_does_nothing_goes_flat_turns_back_or_jumps_is_refused(
    height_um: Callable[[float], float], told: str
) -> None:
    with pytest.raises(CalibPoor, match=told):
        fit_lens(planes(height_um))


def test_noise_is_refused() -> None:
    with pytest.raises(CalibPoor, match="away from a smooth one"):
        fit_lens(planes(bent(0.33), noise_um=0.3))


def test_too_few_planes_are_an_error() -> None:
    with pytest.raises(ValueError, match="in both directions"):
        fit_lens([one for one in planes(bent(0.33)) if one.is_rising])
