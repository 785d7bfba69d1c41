"""Scale and camera angle from chains of shifts."""

import math

import numpy as np
import pytest

from parfocal.calib.camera.view import View
from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.scale import Chain, Expected, ScaleFit, fit_camera, fit_scale, screw_share

EXPECTED = Expected("x", 1.25, 16, 0.0, 0.345)
STEPS = 16


def chain(um_per_step: float, angle_deg: float, noise_px: float = 0.0, seed: int = 1) -> Chain:
    """Twelve moves of a stage whose X lies at `angle_deg` in the picture."""
    px = STEPS * um_per_step / 0.345
    move = np.array([math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))]) * px
    shifts = move + np.random.default_rng(seed).normal(0.0, noise_px, (12, 2))
    return Chain(STEPS, tuple((float(x), float(y)) for x, y in shifts))


def chains(um_per_step: float, angle_deg: float) -> list[Chain]:
    return [chain(um_per_step, angle_deg, 0.05, seed) for seed in range(4)]


@pytest.mark.parametrize(
    ("um_per_step", "angle_deg"), [(1.25, 0.0), (1.31, 3.3), (1.18, -178.0), (1.27, 91.0)]
)
def test_scale_and_direction_are_found_within_their_intervals(um_per_step: float, angle_deg: float) -> None:
    fitted = fit_scale(chains(um_per_step, angle_deg), EXPECTED)
    assert abs(fitted.um_per_step - um_per_step) < fitted.uncertainty < 0.005 * um_per_step
    assert abs(fitted.direction_deg - angle_deg) < fitted.direction_uncertainty_deg < 0.2


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("angle_deg", [0.0, 4.2, -90.0, 179.0, -176.0])
def test_a_turned_or_mirrored_camera_is_found_and_its_pixels_become_the_right_moves(
    angle_deg: float, is_mirrored: bool
) -> None:
    y_deg = angle_deg + (-90.0 if is_mirrored else 90.0)
    fits = [fit_scale(chains(1.25, direction_deg), EXPECTED) for direction_deg in (angle_deg, y_deg)]
    camera = fit_camera(*fits)
    assert camera.is_mirrored is is_mirrored
    assert abs((camera.angle_deg - angle_deg + 180.0) % 360.0 - 180.0) < 0.1
    view = View(0.345, camera.angle_deg, camera.is_mirrored)
    # A move of a whole step along X shows what lay along X in the picture.
    for name, direction_deg in (("x", angle_deg), ("y", y_deg)):
        dx_px, dy_px = (100.0 * turn(math.radians(direction_deg)) for turn in (math.cos, math.sin))
        moved_um = dict(zip(("x", "y"), view.um_from_px(dx_px, dy_px), strict=True))
        assert moved_um.pop(name) == pytest.approx(34.5, abs=0.1)
        assert next(iter(moved_um.values())) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("y_deg", "is_mirrored"), [(93.0, False), (-87.0, True)])
def test_rails_that_are_not_quite_square_share_what_they_are_off_by(y_deg: float, is_mirrored: bool) -> None:
    camera = fit_camera(ScaleFit(1.25, 0.001, 1.0, 0.1), ScaleFit(1.25, 0.001, y_deg, 0.1))
    assert camera.skew_deg == pytest.approx(2.0)
    assert camera.angle_deg == pytest.approx(2.0)
    assert camera.is_mirrored is is_mirrored


def test_a_screw_that_is_off_along_its_turn_widens_the_interval() -> None:
    off = Expected("x", 1.25, 16, 2.0, 0.345)
    assert screw_share(off, 1.25, 10.0) == pytest.approx(2.0 * math.pi * 2.0 / 4000.0, rel=1e-3)
    assert screw_share(off, 1.25, 4000.0) == pytest.approx(0.0, abs=1e-9)  # a whole turn is free of it
    assert fit_scale(chains(1.25, 0.0), off).uncertainty > fit_scale(chains(1.25, 0.0), EXPECTED).uncertainty


def test_poor_chains_are_refused_with_the_reason() -> None:
    uneven = Chain(STEPS, ((58.0, 0.0), (58.0, 0.0), (30.0, 0.0)))
    with pytest.raises(CalibPoor, match=r"uneven moves of x: .* board\.x\.speed_um_per_s"):
        fit_scale([uneven, uneven], EXPECTED)
    with pytest.raises(CalibPoor, match=r"3\.125 um per step of x refused: board\.x\.um_per_step is 1\.25"):
        fit_scale(chains(3.125, 0.0), EXPECTED)
    with pytest.raises(CalibPoor, match=r"the interval must be 0\.5 % or less"):
        fit_scale([chain(1.25, 0.0), chain(1.27, 0.0)], EXPECTED)
    skewed = ScaleFit(1.25, 0.001, 96.0, 0.1)
    with pytest.raises(CalibPoor, match=r"X and Y of the stage are at 96\.0 degrees"):
        fit_camera(ScaleFit(1.25, 0.001, 0.0, 0.1), skewed)
    with pytest.raises(ValueError, match="two or more"):
        fit_scale([uneven], EXPECTED)
