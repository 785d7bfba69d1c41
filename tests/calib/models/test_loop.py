"""The repeatability of the loop, and where it takes its shots."""

import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.loop import Approach, Judged, SharpestPlane, choose_spacing, fit_loop

PLANES = (SharpestPlane(2500.0, 0.0), SharpestPlane(2501.0, 100.0))  # the focus drifts by 1 um


def approaches(scatter_um: float, above_um: float = 0.24, lost: int = 0) -> list[Approach]:
    rng = np.random.default_rng(4)
    z_um = [2500.0 + k / 20.0 + above_um + scatter_um * rng.standard_normal() for k in range(20)]
    ended = ["recovered"] * lost + ["focused"] * (20 - lost)
    return [
        Approach(2500.0, z, 5.0 * k, outcome, 4)
        for k, (z, outcome) in enumerate(zip(z_um, ended, strict=True))
    ]


def test_scatter_and_constant_are_found_whatever_the_drift() -> None:
    fit = fit_loop(approaches(0.1), PLANES)
    assert fit.repeatability_um == pytest.approx(0.1, abs=fit.repeatability_uncertainty_um)
    assert fit.above_um == pytest.approx(0.24, abs=fit.above_uncertainty_um)
    assert fit_loop(approaches(0.0), PLANES).repeatability_um == pytest.approx(0.0, abs=1e-9)


def test_a_loop_that_scatters_or_needs_sweeps_is_refused() -> None:
    with pytest.raises(CalibPoor, match=r"standard deviation of \d\.\d+ um, 0.5 um is the limit"):
        fit_loop(approaches(0.9), PLANES)
    with pytest.raises(CalibPoor, match="in 17 of 20 approaches, 18 are needed"):
        fit_loop(approaches(0.1, lost=3), PLANES)
    assert fit_loop(approaches(0.1, lost=2), PLANES).repeatability_um > 0.0
    with pytest.raises(ValueError, match="0 focus curves"):
        fit_loop(approaches(0.1), ())


def judged(best_um: float) -> list[Judged]:
    """A model that is best at one distance."""
    return [Judged(float(d), 0.1 * abs(d - best_um)) for d in np.arange(-10.0, 10.1, 0.5)]


@pytest.mark.parametrize(("play_um", "z0_um"), [(14.0, 20.0), (45.0, 51.0)])
def test_the_second_shot_is_taken_where_one_estimate_is_enough_and_z0_exceeds_the_play(
    play_um: float, z0_um: float
) -> None:
    found = choose_spacing(judged(0.0), 1.875, 4.8, play_um)
    # About 2.4 um below the focus, so that a pivot 2.4 um too high or too low is within 0..4.8 um.
    assert found.z1_below_um == pytest.approx(1.875 + 2.4, abs=0.5)
    assert found.z0_below_um == z0_um
    assert found.z0_below_um - found.z1_below_um >= play_um


def test_of_equal_places_the_one_where_the_model_is_best_is_taken() -> None:
    near, far = (choose_spacing(judged(um), 1.875, 8.0, 14.0).z1_below_um for um in (0.0, 6.0))
    assert near < far
    with pytest.raises(ValueError, match="none of 0 pictures"):
        choose_spacing([], 1.875, 4.8, 14.0)
