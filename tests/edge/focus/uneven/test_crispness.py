"""The crispness of the parts of a picture tells what blur does, not what content does."""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.focus.uneven.crispness import Crispness, crispness_of
from parfocal.edge.pixels import UInt8Array
from tests.edge.scan.tiling.small_slide import drawn
from tests.stains import faint, h_and_e, ihc

CONTRAST = 2.5
SHARP = drawn()[100:868, 120:888]  # 12 x 12 cells


def noisy(pixels: NDArray[np.float64]) -> UInt8Array:
    """As a camera shows it."""
    noise = np.random.default_rng(1).normal(0.0, 2.0, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def spread_of(pixels: NDArray[np.float64]) -> float:
    spread = crispness_of(noisy(pixels), CONTRAST).spread
    assert spread is not None
    return spread


def middle_of(pixels: NDArray[np.float64]) -> float:
    middle = crispness_of(noisy(pixels), CONTRAST).middle
    assert middle is not None
    return middle


def test_a_part_out_of_focus_shows_and_blur_of_the_whole_does_not() -> None:
    even = SHARP.astype(np.float64)
    blurred = cv2.GaussianBlur(even, (0, 0), 3.0).astype(np.float64)
    stripe = np.abs(np.arange(768) - 400) < 80  # a fold across the picture
    folded = np.where(stripe[None, :, None], blurred, even).astype(np.float64)
    assert spread_of(folded) > 2.0 * spread_of(even)
    assert spread_of(cv2.GaussianBlur(even, (0, 0), 1.5).astype(np.float64)) < 1.25 * spread_of(even)


def test_contrast_glass_and_dust_do_not_show() -> None:
    even = SHARP.astype(np.float64)
    usual = spread_of(even)
    paler = 200.0 + np.linspace(0.6, 1.0, 768)[None, :, None] * (even - 200.0)  # one side is stained less
    glass = even.copy()
    glass[:300] = 235.0
    dust = even.copy()
    cv2.circle(dust, (300, 300), 20, (60, 55, 50), -1)
    dust[270:330, 270:330] = cv2.GaussianBlur(dust[270:330, 270:330], (0, 0), 5.0)
    assert spread_of(paler) < 1.25 * usual
    assert spread_of(dust) < 1.25 * usual
    large = even.copy()
    cv2.circle(large, (300, 300), 60, (60, 55, 50), -1)
    large[230:370, 230:370] = cv2.GaussianBlur(large[230:370, 230:370], (0, 0), 5.0)
    assert spread_of(large) < 1.25 * usual
    assert spread_of(glass) < 1.4 * usual  # other parts of the tissue; a fold is beyond 2


def tilted(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """In focus along the middle, and the more out of it the farther to the left and right."""
    levels = [pixels, *(cv2.GaussianBlur(pixels, (0, 0), 0.7 * k) for k in (1, 2, 3))]
    away = np.abs(np.linspace(-3.0, 3.0, pixels.shape[1]))
    shares = [np.clip(1.0 - np.abs(away - k), 0.0, 1.0)[None, :, None] for k in range(4)]
    mixed: NDArray[np.float64] = np.sum([a * b for a, b in zip(shares, levels, strict=True)], axis=0)
    return mixed


@pytest.mark.parametrize(("stain", "times"), [(ihc, 1.6), (h_and_e, 1.6), (faint, 1.4)])
def test_tilted_tissue_varies_by_more_than_its_content(stain: Callable[[], UInt8Array], times: float) -> None:
    tissue = cv2.resize(stain(), (1024, 1024), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    assert spread_of(tilted(tissue)) > times * spread_of(tissue)


def test_the_middle_says_how_sharp_tissue_is_whatever_lies_beside_it() -> None:
    even = SHARP[:448, :448].astype(np.float64)
    usual = middle_of(even)
    edges = even.copy()
    edges[:, 150:260] = 240.0  # two straight edges of the tissue, and glass between them
    scratch = even.copy()
    cv2.line(scratch, (0, 100), (447, 400), (20.0, 20.0, 20.0), 6)
    sparse = np.full_like(even, 235.0)
    for x, y in itertools.product(range(40, 400, 110), repeat=2):  # cells on glass
        sparse[y : y + 60, x : x + 60] = even[y : y + 60, x : x + 60]
    paler = 200.0 + 0.6 * (even - 200.0)
    for pixels in (edges, scratch, paler):
        assert middle_of(pixels) == pytest.approx(usual, rel=0.15)
    for pixels in (even, edges, scratch, sparse):
        blurred = cv2.GaussianBlur(pixels, (0, 0), 3.0).astype(np.float64)
        assert middle_of(blurred) < 0.5 * middle_of(pixels)


def test_nothing_but_noise_has_no_crispness_and_a_small_picture_is_one_cell() -> None:
    assert crispness_of(noisy(np.full((768, 768, 3), 200.0)), CONTRAST) == Crispness(None, None)
    small = SHARP[:128, :160].astype(np.float64)
    assert crispness_of(noisy(small), CONTRAST).spread is None
    assert middle_of(cv2.GaussianBlur(small, (0, 0), 3.0).astype(np.float64)) < 0.5 * middle_of(small)
