"""How far a picture is shifted."""

import cv2
import numpy as np
import pytest

from parfocal.calib.errors import CalibPoor
from parfocal.edge.calibrate.register import MIN_RESPONSE, check_unique, fine_shift_between, shift_between
from parfocal.edge.pixels import UInt8Array
from tests.edge.scope import tissue


def part(image: UInt8Array, left: float, top: float, side_px: int, seed: int) -> UInt8Array:
    """A part of an image whose corner lies between pixels, with the noise of a camera."""
    cut = cv2.getRectSubPix(image, (side_px, side_px), (left + side_px / 2.0, top + side_px / 2.0))
    noise = np.random.default_rng(seed).normal(0.0, 3.0, cut.shape)
    noisy: UInt8Array = np.clip(cut + noise, 0, 255).astype(np.uint8)
    return noisy


@pytest.mark.parametrize("side_px", [452, 1000])
@pytest.mark.parametrize(("dx", "dy"), [(0.4, -0.3), (-57.2, 20.6)])
def test_a_shift_is_found_to_a_fraction_of_a_pixel(dx: float, dy: float, side_px: int) -> None:
    image = tissue(1150)
    first, second = part(image, 70.0, 70.0, side_px, 1), part(image, 70.0 - dx, 70.0 - dy, side_px, 2)
    found = shift_between(first, second)
    assert (found.dx_px, found.dy_px) == pytest.approx((dx, dy), abs=0.25)
    assert found.response > 2.0 * MIN_RESPONSE


def test_pictures_without_anything_in_common_are_refused() -> None:
    image, empty = tissue(1000), np.full((1000, 1000, 3), 228, np.uint8)
    for first, second in (
        (part(empty, 0.0, 0.0, 452, 1), part(empty, 0.0, 0.0, 452, 2)),
        (part(image, 0.0, 0.0, 452, 1), part(image, 500.0, 500.0, 452, 2)),
        (part(image, 0.0, 0.0, 452, 1), part(empty, 0.0, 0.0, 452, 2)),
    ):
        with pytest.raises(CalibPoor, match="two pictures in a row do not match"):
            shift_between(first, second)


@pytest.mark.parametrize(("dx", "dy"), [(56.4, 0.3), (-113.3, 20.2), (0.4, -0.3)])
def test_a_fine_shift_is_not_off_by_the_same_fraction_each_time(dx: float, dy: float) -> None:
    image = tissue(1150)
    found = [
        fine_shift_between(part(image, left, 170.0, 452, 1), part(image, left - dx, 170.0 - dy, 452, 2))
        for left in (130.0, 300.0, 470.0)
    ]
    assert np.mean([one.dx_px for one in found]) == pytest.approx(dx, abs=0.06)
    assert np.mean([one.dy_px for one in found]) == pytest.approx(dy, abs=0.06)


@pytest.mark.parametrize(("dx", "dy"), [(20.3, -0.45), (-0.2, 7.1)])
def test_a_fine_shift_is_found_to_a_hundredth_of_a_pixel(dx: float, dy: float) -> None:
    whole = cv2.GaussianBlur(tissue(600), (0, 0), 1.2).astype(np.float64)
    rows, columns = np.fft.fftfreq(600)[:, None, None], np.fft.fftfreq(600)[None, :, None]
    turn = np.exp(-2j * np.pi * (columns * dx + rows * dy))  # moves a picture without any interpolation
    moved = np.fft.ifft2(np.fft.fft2(whole, axes=(0, 1)) * turn, axes=(0, 1)).real
    rng = np.random.default_rng(1)
    first, second = (
        np.clip(np.rint(p[100:484, 100:484] + rng.normal(0.0, 2.0, (384, 384, 3))), 0, 255).astype(np.uint8)
        for p in (whole, moved)
    )
    found = fine_shift_between(first, second)
    assert (found.dx_px, found.dy_px) == pytest.approx((dx, dy), abs=0.01)


def test_a_grid_is_refused_and_tissue_is_not() -> None:
    check_unique(part(tissue(700), 50.0, 50.0, 452, 1))
    check_unique(
        part(np.full((700, 700, 3), 228, np.uint8), 50.0, 50.0, 452, 1)
    )  # the registration refuses that
    grid = np.full((452, 452, 3), 230, np.uint8)
    grid[:, np.arange(452) % 40 < 12] = 60
    tiled = np.tile(tissue(60), (8, 8, 1))[:452, :452]
    for repeated in (grid, np.ascontiguousarray(tiled)):
        with pytest.raises(CalibPoor, match="repeats itself"):
            check_unique(repeated)
