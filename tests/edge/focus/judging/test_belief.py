"""What several patches say together, and when it is not believed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.edge.focus.judging.belief import Together, by_belief, by_contrast, contradicts_move
from parfocal.engines.model.head import Prediction

FOUR = (20.0, 20.0, 20.0, 20.0)


def f32(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def told(
    distances_um: tuple[float, ...],
    sigmas_um: tuple[float, ...] | float = 0.3,
    contrasts: tuple[float, ...] = FOUR,
    strangeness: tuple[float, ...] | None = None,
) -> Together:
    n = len(distances_um)
    sigma_um = f32(sigmas_um if isinstance(sigmas_um, tuple) else (sigmas_um,) * n)
    strange = None if strangeness is None else f32(strangeness)
    return by_belief(Prediction(f32(distances_um), sigma_um, strange, 3.0), f32(contrasts))


def test_one_wrong_patch_of_four_does_not_drag_the_mean() -> None:
    for wrong_um in (-60.0, -4.0, 6.0, 60.0):
        found = told((2.0, 2.1, wrong_um, 1.9))
        assert found.distance_um == pytest.approx(2.0, abs=0.01)
        assert found.spread_um < 0.1
        assert found.doubt == ""


def test_the_more_certain_patch_counts_more() -> None:
    found = told((2.0, 2.4), (0.2, 0.6), (20.0, 20.0))
    certain, other = 1.0 / (0.2**2 + 0.01), 1.0 / (0.6**2 + 0.01)
    assert found.distance_um == pytest.approx((2.0 * certain + 2.4 * other) / (certain + other), abs=1e-5)


def test_contrast_counts_beside_certainty() -> None:
    assert told((2.0, 2.4), 0.3, (30.0, 10.0)).distance_um == pytest.approx(2.1, abs=1e-5)
    # An empty patch says nothing, wherever it says the focus is.
    assert told((2.0, 2.0, -9.0, -9.0), 0.3, (20.0, 20.0, 0.0, 0.0)).distance_um == pytest.approx(2.0)


def test_patch_that_claims_certainty_is_not_the_only_one_that_counts() -> None:
    assert told((2.0, 2.2, 2.2, 2.2), (1e-6, 0.1, 0.1, 0.1)).distance_um > 2.05


def test_patches_that_contradict_each_other_are_not_believed() -> None:
    assert told((2.0, 2.0, 6.0, 6.0)).doubt == "patches"
    assert told((-4.0, 0.0, 4.0, 8.0)).doubt == "patches"
    # The same, and the patches know it.
    assert told((-4.0, 0.0, 4.0, 8.0), 4.0).doubt == ""


def test_strange_patches_are_not_believed() -> None:
    same_um = (2.0, 2.0, 2.0, 2.0)
    assert told(same_um, strangeness=(1.0, 1.0, 1.0, 9.0)).doubt == ""
    assert told(same_um, strangeness=(1.0, 1.0, 9.0, 9.0)).doubt == "strange"
    assert told(same_um, strangeness=(1.0, math.nan, math.nan, 3.0)).doubt == "strange"
    assert told(same_um, strangeness=(3.0, 3.0, 3.0, 3.0)).doubt == ""
    # By contrast: what an empty patch looks like does not matter.
    contrasts = (20.0, 20.0, 0.0, 0.0)
    assert told(same_um, contrasts=contrasts, strangeness=(1.0, 1.0, 9.0, 9.0)).doubt == ""


def test_uncertainty_of_the_mean_shrinks_less_than_that_of_independent_patches() -> None:
    one, four = told((2.0,), 0.3, (20.0,)), told((2.0,) * 4, 0.3)
    assert one.sigma_um == pytest.approx(0.3, rel=1e-4)
    assert four.sigma_um is not None
    assert one.sigma_um is not None
    assert 0.5 * one.sigma_um < four.sigma_um < one.sigma_um


def test_patches_that_scatter_make_the_mean_less_certain() -> None:
    quiet, scattered = told((2.0, 2.0, 2.0, 2.0), 1.0), told((0.0, 1.0, 3.0, 4.0), 1.0)
    assert quiet.sigma_um is not None
    assert scattered.sigma_um is not None
    assert scattered.sigma_um >= scattered.spread_um / 2.0
    assert scattered.sigma_um >= quiet.sigma_um


def test_patches_without_a_number_give_none() -> None:
    assert math.isnan(told((2.0, math.nan, 2.0, 2.0)).distance_um)
    assert math.isnan(told((2.0,) * 4, (math.nan,) * 4).distance_um)
    assert math.isnan(told((2.0,) * 4, (math.inf,) * 4).distance_um)


def test_patch_of_infinite_uncertainty_does_not_count() -> None:
    assert told((2.0, 9.0, 2.0, 2.0), (0.3, math.inf, 0.3, 0.3)).distance_um == pytest.approx(2.0)


def test_model_that_tells_nothing_gives_the_papers_estimate() -> None:
    prediction = Prediction(f32((1.0, 3.0)))
    found = by_belief(prediction, f32((1.0, 3.0)))
    assert found == by_contrast(prediction, f32((1.0, 3.0)))
    assert found.distance_um == pytest.approx(2.5)
    assert found.spread_um == pytest.approx(math.sqrt(0.75))
    assert (found.sigma_um, found.doubt) == (None, None)


def test_model_that_tells_strangeness_alone_is_doubted_by_it() -> None:
    for strangeness, doubt in ((1.0, ""), (9.0, "strange")):
        prediction = Prediction(f32((1.0, 3.0)), None, f32((strangeness,) * 2), 3.0)
        found = by_belief(prediction, f32((1.0, 1.0)))
        assert found.distance_um == pytest.approx(2.0)
        assert (found.sigma_um, found.doubt) == (None, doubt)


def test_by_contrast_no_uncertainty_counts() -> None:
    prediction = Prediction(f32((1.0, 3.0)), f32((0.1, 9.0)), f32((9.0, 9.0)), 3.0)
    assert by_contrast(prediction, f32((1.0, 1.0))) == Together(2.0, 1.0)


def test_patches_without_any_contrast_give_no_estimate() -> None:
    with pytest.raises(ValueError, match="no patch has any contrast"):
        told((1.0,) * 4, contrasts=(0.0,) * 4)


@given(
    st.lists(st.tuples(st.floats(-12, 12), st.floats(0.05, 5), st.floats(0.5, 60)), min_size=1, max_size=9)
)
def test_estimate_lies_between_the_patches_and_has_an_uncertainty(
    patches: list[tuple[float, float, float]],
) -> None:
    distances_um, sigmas_um, contrasts = zip(*patches, strict=True)
    found = told(tuple(distances_um), tuple(sigmas_um), tuple(contrasts))
    assert min(distances_um) - 1e-4 <= found.distance_um <= max(distances_um) + 1e-4
    assert found.sigma_um is not None
    assert found.sigma_um > 0.0
    assert found.doubt in ("", "patches")


@pytest.mark.parametrize(
    ("apart_um", "sigmas_um", "contradicts"),
    [
        (0.9, (0.1, 0.1), False),  # within a depth of field
        (1.1, (0.1, 0.1), True),
        (1.1, (0.4, 0.4), False),
        (1.8, (0.4, 0.4), True),
        (9.0, (None, 0.1), False),
        (9.0, (0.1, None), False),
    ],
)
def test_distance_must_shrink_by_the_move(
    apart_um: float, sigmas_um: tuple[float | None, float | None], contradicts: bool
) -> None:
    for focus_um in (100.0 + apart_um, 100.0 - apart_um):
        assert contradicts_move(focus_um, sigmas_um[0], 100.0, sigmas_um[1]) is contradicts
