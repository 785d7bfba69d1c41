"""The accuracy gate and the choice: pure rules, as tables."""

import math

import msgspec
import numpy as np
import pytest

from parfocal.engines.choose import Row, fastest
from parfocal.engines.gate import Deviation, Limits, deviation_of, refusal, worst
from parfocal.engines.key import Precision
from tests.engine_keys import KEY

TRUE_UM = np.array([-8.0, -2.0, 0.0, 3.0, 9.0], np.float32)


def deviation(**changes: float) -> Deviation:
    return msgspec.structs.replace(Deviation(mean_um=0.1, max_um=0.3, error_growth_um=0.0), **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"error_growth_um": 0.02, "max_um": 0.5}, ""),
        ({"error_growth_um": -3.0}, ""),
        ({"error_growth_um": 0.021}, "mean focus error grows by +0.021 um, limit +0.02 um"),
        ({"max_um": 0.501}, "a prediction is 0.501 um off within +-5 um, limit 0.5 um"),
        ({"max_um": math.nan}, "a prediction is nan um off within +-5 um, limit 0.5 um"),
        ({"error_growth_um": math.nan}, "mean focus error grows by +nan um, limit +0.02 um"),
        ({"strayed_um": 0.03}, ""),
        ({"strayed_um": 0.031}, "deviates 0.031 um from its own graph, limit 0.030 um"),
        ({"strayed_um": 0.08, "graph_um": 0.04}, ""),
        (
            {"strayed_um": 0.081, "graph_um": 0.04},
            "deviates 0.081 um from its own graph, limit 0.080 um",
        ),
        ({"strayed_um": math.nan}, "deviates nan um from its own graph, limit 0.030 um"),
        (
            {"strayed_um": 0.178, "graph_um": 0.044, "error_growth_um": 0.058},
            (
                "deviates 0.178 um from its own graph, limit 0.088 um; "
                "mean focus error grows by +0.058 um, limit +0.02 um"
            ),
        ),
    ],
)
def test_gate_refuses_with_the_figures(changes: dict[str, float], said: str) -> None:
    assert refusal(deviation(**changes)) == said


def test_far_predictions_count_in_the_mean_but_not_in_the_largest() -> None:
    reference_um = TRUE_UM.copy()
    predicted_um = reference_um + np.array([2.0, 0.1, 0.0, -0.25, 0.0], np.float32)
    found = deviation_of(predicted_um, reference_um, TRUE_UM)
    assert found.max_um == pytest.approx(0.25)
    assert found.mean_um == pytest.approx(2.35 / 5)
    assert found.error_growth_um == pytest.approx(2.35 / 5)
    assert deviation_of(
        predicted_um, reference_um, TRUE_UM, limits=Limits(near_um=8.0)
    ).max_um == pytest.approx(2.0)


def test_engine_is_compared_with_its_own_graph_and_the_reference() -> None:
    """A saturated sum may be closer to the truth than the graph by chance."""
    meant_um = TRUE_UM + np.array([0.1, -0.1, 0.1, -0.1, 0.1], np.float32)
    predicted_um = TRUE_UM + np.array([0.0, 0.2, 0.0, 0.2, 0.0], np.float32)
    found = deviation_of(predicted_um, TRUE_UM + np.float32(0.2), TRUE_UM, meant_um)
    assert found.error_growth_um < 0.0
    assert found.strayed_um == pytest.approx((3 * 0.1 + 2 * 0.3) / 5)
    assert found.graph_um == pytest.approx((3 * 0.1 + 2 * 0.3) / 5)
    without = deviation_of(predicted_um, TRUE_UM, TRUE_UM)
    assert (without.strayed_um, without.graph_um) == (0.0, 0.0)


def test_worst_batch_size_counts() -> None:
    found = [deviation(strayed_um=0.2), deviation(max_um=0.4, graph_um=0.1)]
    assert worst(found) == deviation(max_um=0.4, strayed_um=0.2, graph_um=0.1)


def test_engine_closer_to_the_truth_than_its_reference_passes() -> None:
    reference_um = TRUE_UM + 0.4
    found = deviation_of(TRUE_UM, reference_um.astype(np.float32), TRUE_UM)
    assert found.error_growth_um == pytest.approx(-0.4)
    assert refusal(found) == ""


def test_golden_patches_without_one_near_the_focus_raise_value_error() -> None:
    with pytest.raises(ValueError, match="none of 1 golden patches is within"):
        deviation_of(TRUE_UM[:1], TRUE_UM[:1], TRUE_UM[:1])


def row(precision: Precision, ms_p50: float | None, *, refused: str = "", failed: str = "") -> Row:
    key = msgspec.structs.replace(KEY, backend="openvino", precision=precision)
    return Row(
        model="small",
        backend="openvino",
        precision=precision,
        int8_mode="none",
        key=key,
        ms_p50=ms_p50,
        refused=refused,
        failed=failed,
    )


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ((row("fp32", 8.0), row("bf16", 4.0), row("int8", 3.0)), "int8"),
        ((row("fp32", 8.0), row("bf16", 4.0), row("int8", 3.0, refused="off")), "bf16"),
        (
            (row("fp32", 8.0), row("bf16", 4.0), row("int8", 3.9)),
            "bf16",
        ),  # same speed: the more precise one wins
        ((row("fp32", 3.0), row("bf16", 4.0), row("int8", 5.0)), "fp32"),
        ((row("fp32", 8.0), row("fp16", None, failed="no")), "fp32"),
        ((row("fp32", 8.0, refused="off"), row("fp16", None, failed="no")), None),
        ((), None),
    ],
)
def test_fastest_engine_that_passed_is_chosen(rows: tuple[Row, ...], chosen: str | None) -> None:
    found = fastest(rows)
    assert (found.precision if found else None) == chosen
