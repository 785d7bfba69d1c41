import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.edge.focus.judging.belief import SHARED_VARIANCE
from parfocal.edge.focus.uneven.evenness import Evenness, Shape, evenness_of

DEPTH_UM = 0.96
# Two rows of three patches and one in the middle (liao2021 2.1).
XY_UM = np.array([(x, y) for y in (-60.0, 60.0) for x in (-95.0, 0.0, 95.0)] + [(0.0, 0.0)])
ONES = np.ones(7)
RISING = XY_UM[:, 0] / 95.0
RIGHT = (XY_UM[:, 0] > 1.0).astype(np.float64)


def judged(z_um: NDArray[np.float64], sigma_um: float = 0.3, weights: NDArray[np.float64] = ONES) -> Evenness:
    return evenness_of(XY_UM, z_um, np.full(7, sigma_um), weights, DEPTH_UM)


@pytest.mark.parametrize(
    ("z_um", "sigma_um", "shape", "span_um"),
    [
        (0.0 * RISING, 0.3, "even", 0.0),
        (1.5 * RISING, 0.3, "plane", 3.0),
        (-1.5 * XY_UM[:, 1] / 60.0, 0.3, "plane", 3.0),
        (3.0 * RIGHT, 0.3, "step", 3.0),
        (3.0 - 3.0 * RIGHT, 0.3, "step", 3.0),
        # More than its uncertainty, but less than a depth of field: all of it is in focus.
        (0.4 * RISING, 0.05, "even", 0.0),
        (0.9 * RIGHT, 0.05, "even", 0.0),
        # More than a depth of field, but no more than chance makes of such uncertainties.
        (0.7 * RISING, 1.0, "even", 0.0),
        (1.5 * RIGHT, 1.0, "even", 0.0),
    ],
)
def test_a_field_is_uneven_if_a_shape_explains_more_than_chance_and_more_than_a_depth_of_field(
    z_um: NDArray[np.float64], sigma_um: float, shape: Shape, span_um: float
) -> None:
    found = judged(10.0 + z_um, sigma_um)
    assert found.shape == shape
    assert found.is_even is (shape == "even")
    assert found.high_um - found.low_um == pytest.approx(span_um, abs=0.01)
    assert found.low_um <= found.z_um <= found.high_um


@given(st.floats(-3000.0, 3000.0), st.floats(-2.0, 2.0), st.floats(0.0, 4.0))
def test_the_height_of_the_stage_and_the_side_do_not_matter(
    at_um: float, tilt_um: float, step_um: float
) -> None:
    z_um = tilt_um * RISING + step_um * RIGHT
    here, there, mirrored = judged(z_um), judged(z_um + at_um), judged(-z_um)
    assert here.shape == there.shape == mirrored.shape
    assert there.z_um - here.z_um == pytest.approx(at_um, abs=1e-6)
    assert -mirrored.high_um == pytest.approx(here.low_um, abs=1e-6)


def test_an_even_field_is_suspected_in_at_most_two_of_a_hundred() -> None:
    rng = np.random.default_rng(5)
    suspected = 0
    for _ in range(400):
        own, shared = (
            rng.normal(0.0, np.sqrt(1.0 - SHARED_VARIANCE), 7),
            rng.normal(0.0, np.sqrt(SHARED_VARIANCE)),
        )
        suspected += not judged(0.5 * (own + shared), 0.5).is_even
    assert suspected <= 8


def test_patches_without_contrast_count_nothing() -> None:
    wild = np.where(RIGHT > 0.0, 8.0, 0.0)
    found = judged(wild, weights=1.0 - RIGHT)
    assert found == Evenness("even", 0.0, 0.0, 0.0)
    assert judged(np.where(RIGHT > 0.0, np.nan, 0.0)) == found
    with pytest.raises(ValueError, match="nothing to judge"):
        judged(wild, weights=0.0 * ONES)


def test_the_mean_is_weighted_by_contrast_and_certainty() -> None:
    xy_um, z_um = XY_UM[:2], np.array([0.0, 1.0])
    assert evenness_of(
        xy_um, z_um, np.array([1.0, 1.0]), np.array([1.0, 3.0]), DEPTH_UM
    ).z_um == pytest.approx(0.75)
    assert evenness_of(
        xy_um, z_um, np.array([2.0, 1.0]), np.array([1.0, 1.0]), DEPTH_UM
    ).z_um == pytest.approx(0.8)


def test_three_patches_are_too_few_for_a_shape() -> None:
    few = evenness_of(XY_UM[:3], np.array([0.0, 5.0, 10.0]), np.full(3, 0.1), np.ones(3), DEPTH_UM)
    assert few.is_even
