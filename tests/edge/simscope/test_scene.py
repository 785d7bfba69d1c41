"""How shots are drawn: the image against the plain formula, the noise against the camera's model."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope import scene
from parfocal.edge.simscope.noise import FULL_WELL_ELECTRONS, READ_NOISE_LEVELS, CameraNoise
from parfocal.edge.simscope.optics import Optics, radial_grid, spread
from parfocal.edge.simscope.scene import Scene
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide
from parfocal.edge.stitch.shift import shift_between
from tests.edge.scope import tissue

SIDE_PX = 500
ONES = np.ones((SIDE_PX, SIDE_PX), np.float32)


def scene_of(shape_px: tuple[int, int] = (129, 64), seed: int = 1, na: float = 0.75) -> Scene:
    slide = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed=1, blank_share=0.0)
    return Scene(slide, Optics(na=na), shape_px, seed)


@pytest.mark.parametrize("shape_px", [(129, 64), (64, 129)])  # an odd number of padded rows, and an even one
@pytest.mark.parametrize("defocus_um", [0.0, -3.3])
def test_an_image_is_the_slide_through_the_transfer_of_optics_and_pixel(
    shape_px: tuple[int, int], defocus_um: float
) -> None:
    made = scene_of(shape_px)
    padded_px = made._padded_px
    assert padded_px[0] % 2 == shape_px[0] % 2
    index, fraction, pixel = radial_grid(padded_px, Optics().um_per_px)
    top, left = ((padded - side) // 2 for padded, side in zip(padded_px, shape_px, strict=True))
    images = made._image_density(1000.0, 1000.0, defocus_um)
    for density, profile, image in zip(
        made._slide.density(1000.0, 1000.0, padded_px), made._profile(defocus_um), images, strict=True
    ):
        transfer = spread(profile, index, fraction) * pixel
        whole = np.fft.irfft2(np.fft.rfft2(density) * transfer, padded_px)
        expected = whole[top : top + shape_px[0], left : left + shape_px[1]]
        assert np.abs(image - expected).max() < 1e-5
        assert image.dtype == np.float32


def test_the_same_seed_gives_the_same_shots_and_another_seed_other_noise() -> None:
    first, again, other = scene_of(seed=1), scene_of(seed=1), scene_of(seed=2)
    for z_um in (0.0, 2.0):
        shots = [made.shot(1000.0, 1000.0, z_um, 1.0) for made in (first, again, other)]
        assert np.array_equal(shots[0], shots[1])
        assert not np.array_equal(shots[0], shots[2])


def test_beyond_the_greatest_defocus_shots_differ_only_in_noise_and_noise_is_new() -> None:
    made, nearer = scene_of(), scene_of()
    first, second = (made.shot(1000.0, 1000.0, z_um, 1.0) for z_um in (70.0, 90.0))
    assert np.array_equal(first, nearer.shot(1000.0, 1000.0, scene.MAX_DEFOCUS_UM, 1.0))
    assert not np.array_equal(first, second)
    assert np.abs(first.mean(axis=(0, 1)) - second.mean(axis=(0, 1))).max() < 0.2


def test_a_slide_under_a_binned_camera_moves_by_pixels_of_the_camera() -> None:
    """Where the stage swings, a camera of 0.086 um per px sees 0.1 um of it."""
    slide = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, seed=1, blank_share=0.0)

    def image(x_px: float, y_px: float) -> NDArray[np.float32]:
        made = Scene(slide, Optics(), (128, 96), 1, binned=4)
        return made._image_density(1000.1 + 0.345 * x_px, 1000.1 + 0.345 * y_px, 0.0)[1]

    there = image(0.0, 0.0)
    for x_px, y_px in ((0.25, 0.0), (0.5, 0.0), (0.0, 0.25), (-0.25, 0.5)):
        found = shift_between(there, image(x_px, y_px), 3.0)
        assert found is not None
        assert (found.dx_px, found.dy_px) == pytest.approx((x_px, y_px), abs=0.03)
    whole = image(1.0, 0.0)
    assert np.abs(whole[:, :-1] - there[:, 1:]).max() < 0.02


def test_an_aperture_that_sees_deeper_is_drawn_as_much_farther_out() -> None:
    """Through NA 0.3 a loop begins 60 um from the focus and more."""
    reach_um = scene.MAX_DEFOCUS_UM * Optics(na=0.3).depth
    assert reach_um == pytest.approx(250.0)
    made, fresh = scene_of(na=0.3), scene_of(na=0.3)
    nearer, farther = made.shot(1000.0, 1000.0, 60.0, 1.0), fresh.shot(1000.0, 1000.0, 90.0, 1.0)
    assert not np.array_equal(nearer, farther), "the noise of both is the same"
    ends = (made.shot(1000.0, 1000.0, reach_um, 1.0), fresh.shot(1000.0, 1000.0, 2.0 * reach_um, 1.0))
    assert np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize("there", [(2000.0, 1000.0, 1.3), (1000.0, 2000.0, 1.3), (1000.0, 1000.0, -1.3)])
def test_a_shot_does_not_depend_on_the_one_before(there: tuple[float, float, float]) -> None:
    made, fresh = scene_of(), scene_of()
    made.shot(1000.0, 1000.0, 1.3, 1.0)
    fresh.shot(*there, 0.0)  # as much noise is drawn
    assert np.array_equal(made.shot(*there, 1.0), fresh.shot(*there, 1.0))


class LastFirst:
    """Does the work of the threads in this one, the last channel first."""

    def map(self, draw: Callable[..., object], *channels: Iterable[object]) -> list[object]:
        return [draw(*of_one) for of_one in reversed(list(zip(*channels, strict=False)))][::-1]


def test_the_order_in_which_channels_are_drawn_does_not_change_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shots() -> list[UInt8Array]:
        made = scene_of()
        return [made.shot(x_um, 1000.0, 1.3, 1.0) for x_um in (1000.0, 1000.0, 2000.0)]

    in_threads = shots()
    monkeypatch.setattr(scene, "_CHANNELS", LastFirst())
    assert all(np.array_equal(a, b) for a, b in zip(in_threads, shots(), strict=True))


def noise_at(level: float, seed: int = 1) -> NDArray[np.float64]:
    return CameraNoise((seed, 31, 0)).exposed(ONES, level).astype(np.float64) - level


@pytest.mark.parametrize("level", [10.0, 60.25, 128.5, 232.0])
def test_noise_has_the_mean_and_the_variance_of_the_cameras_model(level: float) -> None:
    noise = noise_at(level)
    # Photons, reading, and rounding to whole grey levels.
    variance = level * 255.0 / FULL_WELL_ELECTRONS + READ_NOISE_LEVELS**2 + 1.0 / 12.0
    assert abs(noise.mean()) < 5.0 * np.sqrt(variance / noise.size)
    assert noise.var() == pytest.approx(variance, rel=5.0 * np.sqrt(2.0 / noise.size))


def test_noise_has_the_tails_of_a_normal_distribution() -> None:
    deviation = np.sqrt(200.0 * 255.0 / FULL_WELL_ELECTRONS + READ_NOISE_LEVELS**2)
    noise = noise_at(200.0)
    for least in (3, 5, 7):  # whole grey levels, so the noise before rounding is half a level less
        expected = math.erfc((least - 0.5) / deviation / math.sqrt(2.0))
        share = (np.abs(noise) >= least).mean()
        assert share == pytest.approx(expected, abs=5.0 * np.sqrt(expected / noise.size))
    assert 4.0 < np.abs(noise).max() / deviation < 6.0


def test_noise_is_independent_between_pixels_channels_and_shots() -> None:
    camera = CameraNoise((1, 31, 0))
    first, second = (camera.exposed(ONES, 128.0).astype(np.float64) - 128.0 for _ in range(2))
    other_channel = CameraNoise((1, 31, 1)).exposed(ONES, 128.0).astype(np.float64) - 128.0
    variance = first.var()
    for one, other in [
        (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]),
        (first[:, 4:], first[:, :-4]),  # four pixels are picked with one random number
        (first, second),
        (first, other_channel),
    ]:
        assert abs((one * other).mean() / variance) < 5.0 / np.sqrt(one.size)


def test_levels_that_the_camera_cannot_deliver_are_clipped() -> None:
    assert CameraNoise((1,)).exposed(ONES, 0.0).max() < 10
    assert CameraNoise((1,)).exposed(ONES, 300.0).min() == 255


def test_each_channel_has_its_own_noise() -> None:
    shot = scene_of((200, 200)).shot(1000.0, 1000.0, 0.0, 0.0).astype(np.float64)
    channels = [shot[..., channel] - shot[..., channel].mean() for channel in range(3)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        correlation = (channels[one] * channels[other]).mean() / channels[one].var()
        assert abs(correlation) < 5.0 / 200.0


def test_a_binned_camera_shows_the_picture_of_its_bins_with_noise_in_every_pixel() -> None:
    slide = VirtualSlide(SlideImage(tissue(), 0.345), 0.345, 1, blank_share=0.0)
    plain = Scene(slide, Optics(), (60, 80), seed=1)
    binned = Scene(slide, Optics(), (60, 80), seed=1, binned=4)
    small = plain.shot(0.0, 0.0, 1.0, 1.0).astype(np.float64)
    large = binned.shot(0.0, 0.0, 1.0, 1.0)
    assert large.shape == (240, 320, 3)
    bins = large.astype(np.float64).reshape(60, 4, 80, 4, 3)
    assert np.abs(bins.mean(axis=(1, 3)) - small).mean() < 3.0  # the noise of the small picture
    assert bins.std(axis=(1, 3)).mean() > 1.0
