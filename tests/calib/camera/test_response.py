"""Response curves, flicker and flat fields from levels."""

import cv2
import numpy as np
import pytest

from parfocal.calib.camera.response import (
    Floats,
    Level,
    fit_response,
    flat_field,
    flicker_of,
    light_table,
)
from parfocal.calib.errors import CalibPoor

LIGHTS = np.linspace(0.05, 0.9, 12)


def levels(
    gamma: float, offset: float = 4.0, scale: float = 240.0, noise: float = 0.2, seed: int = 1
) -> list[Level]:
    rng = np.random.default_rng(seed)
    found = []
    for light in LIGHTS:
        level = offset + scale * light**gamma
        noisy = float(min(level, 255.0) + rng.normal(0.0, noise))
        found.append(Level(float(light), noisy, 0.2 if level > 250.0 else 0.0))
    return found


@pytest.mark.parametrize("gamma", [0.45, 0.7, 1.0, 1.4])
@pytest.mark.parametrize("offset", [0.0, 6.0])
def test_gamma_and_dark_level_are_found_within_their_intervals(gamma: float, offset: float) -> None:
    fitted = fit_response([offset, offset + 0.02, offset - 0.02], levels(gamma, offset))
    assert abs(fitted.gamma - gamma) < fitted.gamma_uncertainty <= 0.05
    assert abs(fitted.dark_level - offset) < fitted.dark_uncertainty
    assert fitted.is_linear is (gamma == 1.0)
    table = light_table(fitted)
    seen = offset + 200.0 * np.array([0.25, 0.5]) ** gamma
    ratio = float(np.interp(seen[1], range(256), table) / np.interp(seen[0], range(256), table))
    assert ratio == pytest.approx(2.0, rel=0.05)


def test_levels_at_the_upper_end_do_not_bend_the_curve_and_are_named() -> None:
    fitted = fit_response([4.0, 4.0], levels(1.0, scale=330.0))
    assert fitted.gamma == pytest.approx(1.0, abs=0.02)
    assert fitted.saturation_light == pytest.approx(next(x for x in LIGHTS if 4.0 + 330.0 * x > 250.0))


def test_a_lamp_that_changes_nothing_and_a_camera_that_adjusts_itself_are_refused() -> None:
    with pytest.raises(CalibPoor, match="0 brightnesses between dark and saturation"):
        fit_response([4.0, 4.0], [Level(light, 4.5, 0.0) for light in LIGHTS])
    wild = [Level(one.light, one.level * (1.0 + 0.3 * (-1) ** k), 0.0) for k, one in enumerate(levels(1.0))]
    with pytest.raises(CalibPoor, match=r"the interval must be \+-0\.05 or less"):
        fit_response([4.0, 4.0], wild)


def test_flicker_counts_from_frame_to_frame_and_a_slow_drift_does_not() -> None:
    rng = np.random.default_rng(5)
    light = np.linspace(1.0, 1.2, 64)
    share, uncertainty = flicker_of((light * (1.0 + 0.01 * rng.standard_normal(64))).tolist())
    assert abs(share - 0.01) < uncertainty
    assert flicker_of(light.tolist())[0] < 0.001
    with pytest.raises(ValueError, match="8 or more"):
        flicker_of([1.0] * 7)


PLACES = [(2.0 / 3.0 * column, 2.0 / 3.0 * row) for row in (-1, 0, 1) for column in (-1, 0, 1)]


def places_of(slide: Floats, fall: float, turn: int = 0) -> list[Floats]:
    """Pictures (72, 90) of nine overlapping places of a slide, in a light that falls by `fall` to the corners.

    `turn`: by how many half turns the camera lies otherwise.
    """
    y, x = np.meshgrid(np.linspace(-1.0, 1.0, 72), np.linspace(-1.0, 1.0, 90), indexing="ij")
    light, rng = 1.0 - fall * (x * x + y * y) / 2.0, np.random.default_rng(2)
    pictures = []
    for column, row in PLACES:
        top, left = 100 + round(72 * row), 100 + round(90 * column)
        seen = np.rot90(slide[top : top + 72, left : left + 90], 2 * turn)
        pictures.append(200.0 * seen * light + rng.normal(0.0, 3.0, x.shape))
    return pictures


def stained() -> Floats:
    """A slide out of focus: soft blobs, and darker from one side to the other."""
    blobs = np.random.default_rng(8).normal(0.0, 1.0, (9, 9)).astype(np.float32)
    soft = np.asarray(cv2.resize(blobs, (300, 300), interpolation=cv2.INTER_CUBIC), np.float64)
    return 0.7 + 0.08 * soft - 0.3 * np.linspace(0.0, 1.0, 300)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("slide", [np.ones((300, 300)), stained()], ids=["glass", "tissue"])
@pytest.mark.parametrize("fall", [0.0, 0.3])
def test_the_fall_to_the_very_corner_is_that_of_the_light_and_not_of_the_slide(
    slide: Floats, fall: float, turn: int
) -> None:
    grid, found, uncertainty = flat_field(places_of(slide, fall, turn), PLACES)
    assert abs(found - fall) < max(uncertainty, 0.03)
    assert uncertainty < 0.04
    assert grid.shape == (9, 9)
    assert grid.max() == pytest.approx(1.0)


def test_a_flat_field_needs_pictures_that_overlap() -> None:
    pictures = places_of(stained(), 0.1)
    with pytest.raises(ValueError, match="four or more"):
        flat_field(pictures[:3], PLACES[:3])
    with pytest.raises(ValueError, match="hardly overlap"):
        flat_field(pictures, [(3.0 * column, 3.0 * row) for column, row in PLACES])
