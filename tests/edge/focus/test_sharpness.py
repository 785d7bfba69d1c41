import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.focus.sharpness import parabola_vertex, peak_inside_um, peak_um, variance_of_laplacian

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
