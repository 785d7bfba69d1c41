import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.edge.focus.picture.sharpness import (
    parabola_vertex,
    peak_inside_um,
    peak_um,
    sharpness_of,
    variance_of_laplacian,
)
from tests.edge.scope import tissue

MEASURES = ("variance_of_laplacian", "brenner", "tenengrad", "normalised_variance")
TISSUE = tissue(160)

Z_UM = [float(z) for z in range(0, 40, 2)]


def bell(centre_um: float, height: float = 100.0, base: float = 50.0) -> list[float]:
    return [base + height * float(np.exp(-(((z - centre_um) / 3.0) ** 2))) for z in Z_UM]


@given(st.floats(6.0, 32.0))
def test_the_peak_of_a_sweep_is_found_between_its_planes(centre_um: float) -> None:
    found = peak_um(Z_UM, bell(centre_um))
    assert found is not None
    assert found == pytest.approx(centre_um, abs=0.3)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([50.0 + 0.1 * (k % 3) for k in range(20)], "level"),
        ([50.0 + k for k in range(20)], "highest at the end"),
        ([70.0 - k for k in range(20)], "highest at the start"),
        ([1.0, 9.0, 1.0], "too short"),
        ([], "empty"),
    ],
)
def test_a_sweep_without_a_peak_gives_none(values: list[float], why: str) -> None:
    assert peak_um(Z_UM[: len(values)], values) is None, why


def test_noise_alone_is_no_peak() -> None:
    rng = np.random.default_rng(3)
    found = [peak_um(Z_UM, rng.normal(50.0, 1.0, len(Z_UM)).tolist()) for _ in range(200)]
    assert sum(peak is not None for peak in found) <= 2


def test_the_vertex_never_leaves_its_three_planes() -> None:
    assert parabola_vertex([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]) == 1.0
    assert parabola_vertex([0.0, 1.0, 2.0], [0.0, 3.0, 3.0]) == pytest.approx(1.5)
    assert parabola_vertex([0.0, 1.0, 2.0], [0.0, 1.0, 1.9999]) == 2.0


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], []])
def test_a_short_sweep_that_is_highest_at_an_end_has_no_peak_inside(values: list[float]) -> None:
    assert peak_inside_um([0.0, 1.0, 2.0][: len(values)], values) is None


def test_a_short_sweep_that_does_not_bend_is_noise_and_no_peak() -> None:
    assert peak_inside_um([0.0, 1.0, 2.0, 3.0], [50.0, 50.4, 50.9, 50.2]) is None


def test_a_short_sweep_needs_no_level_ground() -> None:
    assert peak_inside_um([0.0, 1.0, 2.0], [8.0, 9.0, 8.0]) == 1.0


def test_a_sharp_image_beats_its_blurred_self_and_noise() -> None:
    rng = np.random.default_rng(1)
    squares = np.kron(rng.integers(0, 2, (16, 16, 1)), np.ones((8, 8, 3))) * 150 + 50
    sharp = squares.astype(np.uint8)
    padded = np.pad(squares, ((4, 4), (4, 4), (0, 0)), mode="edge")
    blurred = np.mean([padded[i : i + 128, j : j + 128] for i in range(9) for j in range(9)], axis=0)
    noise = np.clip(rng.normal(128, 3, (128, 128, 3)), 0, 255).astype(np.uint8)
    assert variance_of_laplacian(sharp) > 5 * variance_of_laplacian(blurred.astype(np.uint8))
    assert variance_of_laplacian(sharp) > 100 * variance_of_laplacian(noise)


def values(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four measures of an image in the order of `MEASURES`, (4,)."""
    found = sharpness_of(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return np.array([getattr(found, name) for name in MEASURES], np.float64)


def in_levels(low: float, high: float) -> NDArray[np.float64]:
    """Tissue whose grey levels are within `low` and `high`, so that nothing is cut off when they change."""
    return np.asarray(low + (high - low) * TISSUE / 255.0, np.float64)


@given(st.floats(0.7, 3.0), st.floats(1.2, 3.0))
def test_the_sharper_picture_has_the_larger_value_by_every_measure(blur_px: float, times: float) -> None:
    sharp, blurred = (
        np.asarray(cv2.GaussianBlur(TISSUE, (0, 0), blur), np.float64) for blur in (blur_px, blur_px * times)
    )
    assert (values(sharp) > values(blurred)).all()


@given(st.integers(1, 80))
def test_only_the_normalised_variance_sees_an_even_background(levels: int) -> None:
    dark = in_levels(20.0, 170.0)
    with_light, without = values(dark + levels), values(dark)
    # Rounding to whole levels differs a little: 0.3 levels of noise in both pictures.
    assert with_light[:3] == pytest.approx(without[:3], rel=0.01)
    assert with_light[3] < without[3] * (1.0 - 0.002 * levels)


def test_exposure_counts_squared_and_once_in_the_normalised_variance() -> None:
    dim, bright = values(in_levels(0.0, 120.0)), values(2.0 * in_levels(0.0, 120.0))
    assert bright / dim == pytest.approx(np.array([4.0, 4.0, 4.0, 2.0]), rel=0.02)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_a_mirrored_picture_is_as_sharp(axes: tuple[int, ...]) -> None:
    assert values(np.flip(in_levels(0, 255), axes)) == pytest.approx(values(in_levels(0, 255)), rel=1e-4)


def test_only_brenner_has_a_direction() -> None:
    # Vertical stripes: all of their detail lies along the rows.
    stripes = np.broadcast_to(
        128.0 + 60.0 * np.sign(np.sin(np.arange(160) / 5.0))[None, :, None], (160, 160, 3)
    )
    lying, standing = values(stripes.transpose(1, 0, 2)), values(stripes)
    assert lying[[0, 2, 3]] == pytest.approx(standing[[0, 2, 3]], rel=1e-4)
    assert lying[1] == pytest.approx(0.0, abs=1e-6)
    assert standing[1] > 100.0


# Two grey levels per pixel: four per column of the halved image, which has 32 columns and a mean of 123.
def test_the_measures_of_a_ramp_are_those_worked_out_by_hand() -> None:
    ramp = np.broadcast_to(60.0 + 2.0 * np.arange(64.0)[None, :, None], (64, 64, 3))
    _, brenner, tenengrad, variance = values(ramp)
    assert brenner == pytest.approx(8.0**2, rel=0.05)
    assert tenengrad == pytest.approx(4.0**2 * 30 / 32, rel=0.05)  # none in the outermost columns
    assert variance == pytest.approx((4.0**2 * (32**2 - 1) / 12.0) / 123.0, rel=0.02)


def test_a_black_picture_has_no_sharpness() -> None:
    assert values(np.zeros((40, 40, 3))).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_one_pass_gives_what_the_measure_alone_gives() -> None:
    assert sharpness_of(TISSUE).variance_of_laplacian == variance_of_laplacian(TISSUE)
