"""Synthetic cameras keep the picture and have the faults that they are given."""

import numpy as np
import pytest

from tools.arrays import FloatArray, UInt8Array
from tools.rendering.cameras import (
    LUMINANCE,
    Camera,
    Chroma,
    Exposing,
    compressing_camera,
    processed,
    random_camera,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def densities(n: int = 2) -> FloatArray:
    """Return images with a square of three different densities."""
    images = np.zeros((n, 3, 64, 64), np.float32)
    images[:, :, 20:40, 20:40] = np.array([0.3, 0.9, 0.6], np.float32)[:, None, None]
    return images


def shots_of(densities: FloatArray, camera: Camera, rng: np.random.Generator) -> list[UInt8Array]:
    exposing = Exposing(camera, (64, 64), rng)
    return [exposing.shot(density) for density in densities]


def plain_shot() -> UInt8Array:
    return shots_of(densities(1), Camera(), rng())[0]


@pytest.mark.parametrize(
    "camera",
    [
        Camera(demosaiced=True),
        Camera(denoised=True),
        Camera(chroma="4:2:2"),
        Camera(chroma="4:2:0"),
        Camera(jpeg_quality=85),
        Camera(jpeg_quality=85, chroma="4:2:2"),
        Camera(jpeg_quality=85, chroma="4:2:0"),
    ],
)
def test_colours_stay_in_their_places(camera: Camera) -> None:
    plain = plain_shot()
    seen = processed(plain, camera)
    inside = (slice(26, 34), slice(26, 34))
    assert np.allclose(seen[inside].mean(axis=(0, 1)), plain[inside].mean(axis=(0, 1)), atol=3.0)
    assert not np.array_equal(seen, plain)


def test_gamma_lifts_the_dark_and_sharpening_the_edges() -> None:
    plain = plain_shot().astype(float)
    lifted = shots_of(densities(1), Camera(gamma=0.5), rng())[0].astype(float)
    assert lifted[30, 30].mean() > plain[30, 30].mean() + 20.0
    sharp = processed(plain_shot(), Camera(sharpening=0.8)).astype(float)
    assert sharp[20:40, 20].mean() < plain[20:40, 20].mean() - 5.0


def red_dots(camera: Camera) -> tuple[float, float]:
    """How strong columns and rows, each a pixel wide and a pixel apart, stay in the colours a camera delivers."""
    shot = np.full((64, 64, 3), 120, np.uint8)
    columns, rows = shot.copy(), shot.copy()
    columns[:, ::2, 0], columns[:, 1::2, 0] = 180, 60
    rows[::2, :, 0], rows[1::2, :, 0] = 180, 60
    seen = [processed(one, camera).astype(float) for one in (columns, rows)]
    redness = [one[16:48, 16:48, 0] - one[16:48, 16:48, 1] for one in seen]
    return float(redness[0].std(axis=1).mean()), float(redness[1].std(axis=0).mean())


@pytest.mark.parametrize("quality", [None, 95])
@pytest.mark.parametrize(
    ("chroma", "keeps"), [("4:4:4", (True, True)), ("4:2:2", (False, True)), ("4:2:0", (False, False))]
)
def test_colours_of_fewer_samples_are_lost_along_rows_and_then_across_them(
    quality: int | None, chroma: Chroma, keeps: tuple[bool, bool]
) -> None:
    found = red_dots(Camera(jpeg_quality=quality, chroma=chroma))
    assert tuple(one > 30.0 for one in found) == keeps
    assert all(one > 30.0 or one < 5.0 for one in found)


def test_saturation_moves_colours_away_from_their_grey_and_leaves_it() -> None:
    plain = plain_shot().astype(float)
    for saturation in (0.5, 1.5):
        seen = processed(plain_shot(), Camera(saturation=saturation)).astype(float)
        assert seen[30, 30] @ LUMINANCE == pytest.approx(plain[30, 30] @ LUMINANCE, abs=1.0)
        assert np.ptp(seen[30, 30]) == pytest.approx(saturation * np.ptp(plain[30, 30]), abs=2.0)


def test_a_denoising_camera_smooths_the_noise_and_keeps_the_edges() -> None:
    plain, seen = (processed(plain_shot(), c).astype(float) for c in (Camera(), Camera(denoised=True)))
    assert seen[4:16, 4:16, 1].std() < 0.6 * plain[4:16, 4:16, 1].std()
    steps = [(one[22:38, 18, 1] - one[22:38, 21, 1]).mean() for one in (plain, seen)]
    assert steps[1] > 0.95 * steps[0]


def test_a_gain_step_changes_the_brightness_between_shots() -> None:
    means = [[s.mean() for s in shots_of(densities(20), Camera(gain_step=g), rng())] for g in (0.0, 0.02)]
    assert np.std(means[1]) > 3.0 * np.std(means[0])


def test_noise_is_that_of_the_photons_and_the_electronics() -> None:
    blank = np.zeros((3, 64, 64), np.float32)
    shots = [Exposing(Camera(), (64, 64), np.random.default_rng(seed)).shot(blank) for seed in range(20)]
    deviations = [float(shot[..., 1].std()) for shot in shots]
    # Full wells of 7,000 to 30,000 electrons at about 220 grey levels.
    assert 1.3 < min(deviations) < max(deviations) < 5.0
    first, second = (s[..., 1].ravel() for s in shots_of(np.stack([blank, blank]), Camera(), rng()))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_a_pattern_stays_from_shot_to_shot_and_dead_pixels_are_dark() -> None:
    blank = np.zeros((2, 3, 64, 64), np.float32)
    first, second = (s[..., 1].astype(float) for s in shots_of(blank, Camera(pattern=0.05), rng()))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8
    dead = shots_of(blank, Camera(dead_share=0.01), rng())[0]
    assert 0.003 < np.mean(dead.max(axis=2) < 20) < 0.03


def test_about_half_of_the_cameras_are_plain_and_the_others_have_every_fault() -> None:
    generator = rng()
    cameras = [random_camera(generator) for _ in range(400)]
    assert 0.4 < np.mean([camera == Camera() for camera in cameras]) < 0.65
    assert {camera.jpeg_quality is None for camera in cameras} == {True, False}
    for fault in ("demosaiced", "gamma", "sharpening", "gain_step", "chroma", "pattern", "dead_share"):
        assert len({getattr(camera, fault) for camera in cameras}) > 1


def test_compressing_cameras_halve_the_sampling_of_the_colours() -> None:
    generator = rng()
    cameras = [compressing_camera(generator) for _ in range(100)]
    assert all(camera.jpeg_quality is not None and camera.chroma == "4:2:0" for camera in cameras)
    assert len({(camera.jpeg_quality, camera.demosaiced, camera.gamma == 1.0) for camera in cameras}) > 20
