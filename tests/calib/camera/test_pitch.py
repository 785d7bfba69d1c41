"""The size of a pixel from lines of known pitch."""

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.pitch import fit_pitch
from parfocal.calib.errors import CalibPoor


def lines(period_px: float, angle_deg: float, is_grid: bool, seed: int) -> NDArray[np.float64]:
    """Dark lines, a third of the period wide, on bright ground, with the noise of a camera."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(452.0), np.arange(500.0), indexing="ij")
    turn = np.deg2rad(angle_deg)
    across, along = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    phase = rng.uniform(0.0, period_px)
    dark = (across + phase) % period_px < period_px / 3.0
    if is_grid:
        dark |= (along + phase) % period_px < period_px / 3.0
    return np.asarray(np.where(dark, 60.0, 220.0) + rng.normal(0.0, 4.0, x.shape))


@pytest.mark.parametrize("um_per_px", [0.345, 0.30, 0.40])
@pytest.mark.parametrize(("angle_deg", "is_grid"), [(0.0, False), (2.3, True), (91.0, False), (-44.0, True)])
def test_the_size_of_a_pixel_is_found_at_any_angle(um_per_px: float, angle_deg: float, is_grid: bool) -> None:
    pictures = [lines(10.0 / um_per_px, angle_deg, is_grid, seed) for seed in range(3)]
    found, uncertainty = fit_pitch(pictures, 10.0, 0.345)
    assert abs(found - um_per_px) <= uncertainty <= 0.005 * um_per_px


def test_tissue_and_lines_that_are_too_far_apart_are_refused() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.normal(200.0, 4.0, (452, 452)) for _ in range(3)]
    with pytest.raises(CalibPoor, match=r"no lines about 29\.0 px apart are seen"):
        fit_pitch(noise, 10.0, 0.345)
    with pytest.raises(CalibPoor, match="too far apart.*Use a finer pitch"):
        fit_pitch(noise, 100.0, 0.345)
    with pytest.raises(ValueError, match="two or more"):
        fit_pitch(noise[:1], 10.0, 0.345)
