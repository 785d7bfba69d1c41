import cv2
import numpy as np
import pytest

from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.uneven.composite import composite, registered
from parfocal.edge.pixels import UInt8Array
from tests.edge.scope import tissue

SHARP = tissue(300)[:200]
LEFT, RIGHT = np.s_[:, :150], np.s_[:, 150:]


def blurred(pixels: UInt8Array, px: float = 3.0) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), px), np.uint8)


def sharp_in(part: tuple[slice, slice]) -> UInt8Array:
    made: UInt8Array = blurred(SHARP).copy()
    made[part] = SHARP[part]
    return made


def noisy(pixels: UInt8Array, seed: int) -> UInt8Array:
    noise = np.random.default_rng(seed).normal(0.0, 2.0, pixels.shape)
    return np.asarray(np.clip(np.rint(pixels + noise), 0, 255), np.uint8)


def shifted(pixels: UInt8Array, dx: float, dy: float) -> UInt8Array:
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]], np.float32)
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(
        cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def test_the_picture_takes_each_part_from_the_plane_in_which_it_is_sharp() -> None:
    planes = [sharp_in(LEFT), blurred(SHARP), sharp_in(RIGHT)]
    picture, chosen = composite(planes)
    assert (chosen[:, :130] == 0).mean() > 0.97
    assert (chosen[:, 170:] == 2).mean() > 0.97
    assert np.array_equal(picture[chosen == 2], planes[2][chosen == 2])
    for part in (LEFT, RIGHT, np.s_[:, :]):
        assert variance_of_laplacian(picture[part]) > 0.95 * max(
            variance_of_laplacian(p[part]) for p in planes
        )
    assert variance_of_laplacian(picture) > 1.5 * max(variance_of_laplacian(plane) for plane in planes)


def test_noise_does_not_scatter_the_choice() -> None:
    _, chosen = composite([noisy(sharp_in(LEFT), 1), noisy(sharp_in(RIGHT), 2)])
    assert (chosen[:, :130] == 0).mean() > 0.95
    assert (chosen[:, 170:] == 1).mean() > 0.95


def test_one_plane_is_its_own_picture_and_none_is_refused() -> None:
    picture, chosen = composite([SHARP])
    assert np.array_equal(picture, SHARP)
    assert not chosen.any()
    with pytest.raises(ValueError, match="no planes"):
        composite([])


def test_planes_of_a_swaying_stage_are_brought_together() -> None:
    sway = [(0.0, 0.0), (1.6, -2.3), (2.4, -4.0), (5.0, -6.1)]
    planes = [noisy(shifted(blurred(SHARP, 0.6 + 0.3 * k), *by), k) for k, by in enumerate(sway)]
    straight, shifts = registered(planes)
    # The third of the four is the middle one, which stays where it is.
    expected = np.array(sway) - np.array(sway[2])
    assert np.abs(np.array(shifts) - expected).max() < 0.4
    assert np.array_equal(straight[2], planes[2])
    inside = np.s_[20:-20, 20:-20]
    apart = [
        np.abs(plane[inside].astype(float) - straight[2][inside]).mean() for plane in (straight[1], planes[1])
    ]
    assert apart[0] < 0.5 * apart[1]


def test_planes_of_a_steady_stage_are_left_as_they_are() -> None:
    planes = [noisy(blurred(SHARP, px), k) for k, px in enumerate((2.0, 1.2, 0.7, 1.2, 2.0))]
    straight, _ = registered(planes)
    assert all(np.array_equal(after, before) for after, before in zip(straight, planes, strict=True))
