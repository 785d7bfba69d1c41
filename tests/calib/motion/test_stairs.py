"""The play from pictures on staircases, with shifts that are computed here from a stage with play."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.stairs import Stairs, fit_stairs

UM_PER_PX = 0.345


def runs(
    play_um: float,
    step_um: float = 20.0,
    n_moves: int = 12,
    angle_rad: float = 0.1,
    um_per_px: float = UM_PER_PX,
    drift_um: float = 0.0,
    noise_px: float = 0.0,
    n_runs: int = 6,
    seed: int = 0,
) -> list[Stairs]:
    """Staircases down and up. The stage follows its motor as soon as the play is taken up."""
    rng = np.random.default_rng(seed)
    towards = np.array([np.cos(angle_rad), np.sin(angle_rad)]) / um_per_px
    found = []
    for run in range(n_runs):
        sign = -1.0 if run % 2 == 0 else 1.0
        travelled_um = np.maximum(step_um * np.arange(n_moves + 1) - play_um, 0.0)
        moves_um = sign * np.diff(travelled_um) + drift_um / n_moves
        shifts = moves_um[:, None] * towards + noise_px * rng.standard_normal((n_moves, 2))
        found.append(Stairs(sign * step_um, tuple((float(dx), float(dy)) for dx, dy in shifts)))
    return found


@given(
    play_um=st.floats(0.0, 150.0),
    angle_rad=st.floats(0.0, 6.28),
    drift_um=st.floats(-1.0, 1.0),
    scale=st.floats(0.7, 1.4),
    seed=st.integers(0, 1000),
)
def test_play_is_found_whatever_the_angle_of_the_camera_the_scale_and_the_drift(
    play_um: float, angle_rad: float, drift_um: float, scale: float, seed: int
) -> None:
    drawn = runs(
        play_um, angle_rad=angle_rad, um_per_px=scale * UM_PER_PX, drift_um=drift_um, noise_px=0.05, seed=seed
    )
    found = fit_stairs(drawn, UM_PER_PX)
    assert abs(found.play_um - play_um) <= 0.7
    assert abs(found.play_um - play_um) <= found.uncertainty_um
    assert found.um_per_px == pytest.approx(scale * UM_PER_PX, rel=0.02)


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        ({"play_um": 200.0}, r"uneven moves: after 180 um in one direction, steps of 20 um shift the picture by 0\.0"),
        ({"play_um": 20.0, "noise_px": 9.0}, "uneven moves"),
        ({"play_um": 20.0, "um_per_px": 3.0}, r"camera\.um_per_px is 0\.345"),
        ({"play_um": 20.0, "um_per_px": 0.1}, r"camera\.um_per_px is 0\.345"),
        ({"play_um": 60.0, "noise_px": 3.0, "seed": 1}, "the interval must be"),
        ({"play_um": -15.0}, "it cannot be negative"),
    ],
)  # fmt: skip
def test_what_gives_no_good_play_is_refused_with_the_reason(drawn: dict[str, Any], told: str) -> None:
    if drawn["play_um"] < 0.0:
        first = [
            Stairs(
                run.step_um, ((run.shifts_px[0][0] * 1.75, run.shifts_px[0][1] * 1.75), *run.shifts_px[1:])
            )
            for run in runs(0.0)
        ]
        with pytest.raises(CalibPoor, match=told):
            fit_stairs(first, UM_PER_PX)
        return
    with pytest.raises(CalibPoor, match=told):
        fit_stairs(runs(**drawn), UM_PER_PX)


def test_a_steady_drift_is_no_scatter() -> None:
    # It adds to the way down and takes from the way up, on every staircase alike.
    found = fit_stairs(runs(40.0, drift_um=5.0, angle_rad=0.0), UM_PER_PX)
    assert found.play_um == pytest.approx(40.0, abs=0.6)
    assert found.uncertainty_um < 0.7


def test_too_few_staircases_are_an_error_of_the_program() -> None:
    with pytest.raises(ValueError, match="four or more"):
        fit_stairs(runs(10.0, n_runs=3), UM_PER_PX)
