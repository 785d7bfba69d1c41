"""Whether an engine predicts the same focus as the FP32 reference; in micrometres, on golden patches."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.model.golden import Golden
from parfocal.engines.runner import Runner


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far an engine may be off.

    Attributes:
        max_error_growth_um: of the mean focus error, against that of the reference.
        max_deviation_um: of one prediction from the reference's, where the focus is near.
        near_um: up to where it is near, as true distance; farther out the instrument moves and looks again.
        max_straying: of an INT8 engine from its own graph, on the average, in times of what that graph itself strays
            from the reference.
        rounding_um: that much of it is nothing but another order of rounding, whatever the graph.
    """

    max_error_growth_um: float = 0.02
    max_deviation_um: float = 0.5
    near_um: float = 5.0
    # Two models: 0.5 and 0.1 times where weights of 7 bits leave OpenVINO's 8-bit sums room; 1.2 and 0.7 with all but
    # those in bf16 (emulated); 3.3 and 4.0 where they saturate, as they do on a CPU without VNNI.
    max_straying: float = 2.0
    rounding_um: float = 0.03


DEFAULT_LIMITS: Final = Limits()
APART: Final = "; "
RULES_VERSION: Final = 2  # what was judged by other rules is judged anew


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """How far the predictions of an engine are from the reference's.

    Attributes:
        mean_um: of the absolute differences, all patches.
        max_um: of those of the patches that are near.
        error_growth_um: mean focus error of the engine less that of the reference.
        strayed_um: mean absolute difference from what its own graph means, of an engine of a graph with Q/DQ nodes.
        graph_um: of what that graph means from the reference.
    """

    mean_um: float
    max_um: float
    error_growth_um: float
    strayed_um: float = 0.0
    graph_um: float = 0.0


def is_near(true_um: NDArray[np.float32], limits: Limits = DEFAULT_LIMITS) -> NDArray[np.bool_]:
    """Return of which patches, by their true distances (n,), no single prediction may be far off."""
    near: NDArray[np.bool_] = np.abs(true_um) <= limits.near_um
    return near


def deviation_of(
    predicted_um: NDArray[np.float32],
    reference_um: NDArray[np.float32],
    true_um: NDArray[np.float32],
    meant_um: NDArray[np.float32] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Deviation:
    """Compare predictions, each (n,); `meant_um` are those of the graph with its Q/DQ nodes in float, if it has any.

    Raises:
        ValueError: no patch is near, so that nothing could be refused.
    """
    near = is_near(true_um, limits)
    if not near.any():
        raise ValueError(
            f"none of {len(true_um)} golden patches lies within {limits.near_um} um of the focus"
        )
    difference_um = np.abs(predicted_um - reference_um)
    errors_um = [float(np.abs(found - true_um).mean()) for found in (predicted_um, reference_um)]
    return Deviation(
        mean_um=float(difference_um.mean()),
        max_um=float(difference_um[near].max()),
        error_growth_um=errors_um[0] - errors_um[1],
        strayed_um=0.0 if meant_um is None else float(np.abs(predicted_um - meant_um).mean()),
        graph_um=0.0 if meant_um is None else float(np.abs(meant_um - reference_um).mean()),
    )


def worst(deviations: list[Deviation]) -> Deviation:
    """Return the largest of each figure."""
    return Deviation(
        **{name: max(getattr(d, name) for d in deviations) for name in Deviation.__struct_fields__}
    )


def refusal(deviation: Deviation, limits: Limits = DEFAULT_LIMITS) -> str:
    """Return why an engine is not accurate enough, `APART` where there are several reasons; "" if it is.

    A NaN is refused.
    """
    reasons = []
    most_um = max(limits.rounding_um, limits.max_straying * deviation.graph_um)
    if not deviation.strayed_um <= most_um:
        reasons.append(
            f"strays {deviation.strayed_um:.3f} um from its own graph here, at most {most_um:.3f} um"
        )
    if not deviation.error_growth_um <= limits.max_error_growth_um:
        reasons.append(
            f"mean focus error {deviation.error_growth_um:+.3f} um, at most +{limits.max_error_growth_um:g} um"
        )
    if not deviation.max_um <= limits.max_deviation_um:
        reasons.append(
            f"a prediction is {deviation.max_um:.3f} um off within +-{limits.near_um:g} um, "
            f"at most {limits.max_deviation_um:g} um"
        )
    return APART.join(reasons)


def predictions_um(runner: Runner, golden: Golden, batch: int) -> NDArray[np.float32]:
    """Predict all golden patches, float32 (n,), in batches of that size; the last one is filled up."""
    n = len(golden.batch)
    parts = []
    for start in range(0, n, batch):
        indices = np.arange(start, start + batch) % n
        parts.append(runner.infer(np.ascontiguousarray(golden.batch[indices])))
    return np.concatenate(parts)[:n]
