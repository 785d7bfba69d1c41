"""The accuracy gate: does an engine predict the same focus as the FP32 reference, in um, on golden patches?"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.model.golden import Golden
from parfocal.engines.predictor import Predictor


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far an engine may deviate.

    Attributes:
        max_error_growth_um: largest growth of the mean focus error over that of the reference.
        max_deviation_um: largest deviation of one prediction from the reference, near the focus.
        near_um: largest true distance that counts as near; farther out the instrument moves and looks again.
        max_straying: largest mean deviation of an INT8 engine from its own graph, as a multiple of the mean deviation
            of that graph from the reference.
        rounding_um: deviation from its own graph that rounding alone explains, whatever the graph.
    """

    max_error_growth_um: float = 0.02
    max_deviation_um: float = 0.5
    near_um: float = 5.0
    # Measured on two models: 0.5 and 0.1 with 7-bit weights, which leave OpenVINO's 8-bit sums headroom; 1.2 and 0.7
    # with the other layers in bf16 (emulated); 3.3 and 4.0 where the sums saturate, as on a CPU without VNNI.
    max_straying: float = 2.0
    rounding_um: float = 0.03


DEFAULT_LIMITS: Final = Limits()
APART: Final = "; "
RULES_VERSION: Final = 2  # engines checked by older rules are checked again


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """How far the predictions of an engine are from those of the reference.

    Attributes:
        mean_um: mean absolute difference, over all patches.
        max_um: largest absolute difference, over the patches near the focus.
        error_growth_um: mean focus error of the engine less that of the reference.
        strayed_um: mean absolute difference from its own Q/DQ graph run in float; 0 for a graph without such nodes.
        graph_um: mean absolute difference of that graph from the reference.
    """

    mean_um: float
    max_um: float
    error_growth_um: float
    strayed_um: float = 0.0
    graph_um: float = 0.0


def is_near(true_um: NDArray[np.float32], limits: Limits = DEFAULT_LIMITS) -> NDArray[np.bool_]:
    """Return which patches are near the focus, bool (n,), by their true distances (n,)."""
    near: NDArray[np.bool_] = np.abs(true_um) <= limits.near_um
    return near


def deviation_of(
    predicted_um: NDArray[np.float32],
    reference_um: NDArray[np.float32],
    true_um: NDArray[np.float32],
    graph_um: NDArray[np.float32] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deviation:
    """Compare predictions, each float32 (n,). `graph_um` are those of the Q/DQ graph run in float, if it is one.

    Raises:
        ValueError: no patch is near the focus, so nothing could be refused.
    """
    near = is_near(true_um, limits)
    if not near.any():
        raise ValueError(f"none of {len(true_um)} golden patches is within {limits.near_um} um of the focus")
    difference_um = np.abs(predicted_um - reference_um)
    errors_um = [float(np.abs(found - true_um).mean()) for found in (predicted_um, reference_um)]
    return Deviation(
        mean_um=float(difference_um.mean()),
        max_um=float(difference_um[near].max()),
        error_growth_um=errors_um[0] - errors_um[1],
        strayed_um=0.0 if graph_um is None else float(np.abs(predicted_um - graph_um).mean()),
        graph_um=0.0 if graph_um is None else float(np.abs(graph_um - reference_um).mean()),
    )


def worst(deviations: list[Deviation]) -> Deviation:
    """Return the largest of each figure."""
    return Deviation(
        **{name: max(getattr(d, name) for d in deviations) for name in Deviation.__struct_fields__}
    )


def refusal(deviation: Deviation, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return why an engine is not accurate enough, "" if it is. Several reasons are joined by `APART`.

    NaN is refused.
    """
    reasons = []
    most_um = max(limits.rounding_um, limits.max_straying * deviation.graph_um)
    if not deviation.strayed_um <= most_um:
        reasons.append(f"deviates {deviation.strayed_um:.3f} um from its own graph, limit {most_um:.3f} um")
    if not deviation.error_growth_um <= limits.max_error_growth_um:
        reasons.append(
            f"mean focus error grows by {deviation.error_growth_um:+.3f} um, limit +{limits.max_error_growth_um:g} um"
        )
    if not deviation.max_um <= limits.max_deviation_um:
        reasons.append(
            f"a prediction is {deviation.max_um:.3f} um off within +-{limits.near_um:g} um, "
            f"limit {limits.max_deviation_um:g} um"
        )
    return APART.join(reasons)


def predictions_um(predictor: Predictor, golden: Golden, batch: int) -> NDArray[np.float32]:
    """Predict all golden patches, float32 (n,), in batches of one size; the last one is filled up."""
    n = len(golden.batch)
    parts = []
    for start in range(0, n, batch):
        indices = np.arange(start, start + batch) % n
        parts.append(predictor.predict(np.ascontiguousarray(golden.batch[indices])).distance_um)
    return np.concatenate(parts)[:n]
