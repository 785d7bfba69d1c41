"""What several patches say together, and whether it may be believed. Pure functions.

A head may predict an uncertainty for each patch, and how strange the patch is to it. Then one wrong patch of four no
longer drags the mean, and an estimate outside what the model was made for is not believed. Without these an estimate is
the mean of the patches, weighted by contrast, and its spread (dastidar2020 4.3.3).
"""

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.model.head import Prediction

# Why an estimate is not believed. "strange": outside what the model was made for. "patches": they contradict each other
# by more than their uncertainty. "move": the distance did not shrink by the move that was made. "unsure": one shot, of
# which the model tells more uncertainty than a single shot may have.
Doubt = Literal["", "strange", "patches", "move", "unsure"]

FloatArray = NDArray[np.float64]

# Both in um through 20x/0.75, and in proportion to the depth of field through others (`depth_scale`).
# No patch is taken for more certain than this, however certain it says it is: it would be the only one that counts.
FLOOR_UM = 0.1
# A patch this many uncertainties away from the others is left out. Of a normal distribution, 0.3 % lie farther out.
REJECTED_BEYOND = 3.0
# Left out, a patch of three or four is dirt or an edge. If more of the contrast is, the patches contradict each other.
MAX_REJECTED_SHARE = 0.34
MAX_STRANGE_SHARE = 0.5
# Share of the variance of a patch that it has in common with its neighbours, which see the same optics and the same
# stain. Averaging removes only the rest. Measured with difference-20x on 340 held-out images of 9 patches: 0.65.
SHARED_VARIANCE = 0.65
# Two estimates of the same focus agree within this, about one depth of field. Estimates from 5 to 9 um away have an
# error of 0.4 um (standard deviation); a saturated one is several um off.
AGREEMENT_UM = 1.0


class Together(msgspec.Struct, frozen=True):
    """What patches say together.

    `spread_um` is the standard deviation of the patches' predictions about `distance_um`, weighted like their mean.
    `sigma_um` is the standard uncertainty of `distance_um`, None if the model does not predict it. `doubt` says why it
    is not believed; "" if it is, None if the model tells neither uncertainty nor strangeness.
    """

    distance_um: float
    spread_um: float
    sigma_um: float | None = None
    doubt: Doubt | None = None


def by_contrast(prediction: Prediction, contrasts: NDArray[np.float32]) -> Together:
    """Mean and spread of the patches (n,), weighted by their contrast (n,): the paper's estimate (dastidar2020 4.3.3).

    Raises ValueError if no patch has any contrast.
    """
    return Together(*_mean_and_spread(prediction.distance_um.astype(np.float64), _checked(contrasts)))


def by_belief(prediction: Prediction, contrasts: NDArray[np.float32], scale: float = 1.0) -> Together:
    """Mean of the patches (n,) that agree, weighted by contrast and certainty, and whether it is believed.

    `scale`: depth of field over that of 20x/0.75. Raises ValueError if no patch has any contrast.
    """
    contrast = _checked(contrasts)
    all_contrast = contrast.sum()
    distances_um = prediction.distance_um.astype(np.float64)
    strange = _is_strange(prediction, contrast, all_contrast)
    if prediction.sigma_um is None or not np.isfinite(distances_um).all():
        distance_um, spread_um = _mean_and_spread(distances_um, contrast)
        return Together(distance_um, spread_um, None, strange)
    predicted = np.square(prediction.sigma_um.astype(np.float64))
    variances = predicted + (FLOOR_UM * scale) ** 2
    weight = contrast / variances
    if not weight.sum() > 0.0:  # one uncertainty is no number, or all are infinite
        return Together(float("nan"), float("nan"), None, strange)
    apart_um = np.abs(distances_um - _weighted_median(distances_um, weight))
    kept = (apart_um <= REJECTED_BEYOND * np.sqrt(variances)) & np.isfinite(variances)
    rejected_share = 0.0
    if not kept.all():
        rejected_share = float(contrast[~kept].sum() / all_contrast)
        distances_um, weight, predicted = distances_um[kept], weight[kept], predicted[kept]
    distance_um, spread_um = _mean_and_spread(distances_um, weight)
    shares = weight / weight.sum()
    own, shared = float(np.square(shares) @ predicted), float(shares @ predicted)
    variance = max(SHARED_VARIANCE * shared + (1.0 - SHARED_VARIANCE) * own, spread_um**2 / len(shares))
    doubt: Doubt = strange or ("patches" if rejected_share > MAX_REJECTED_SHARE else "")
    return Together(distance_um, spread_um, math.sqrt(variance), doubt)


def contradicts_move(
    focus_um: float,
    sigma_um: float | None,
    earlier_um: float,
    earlier_sigma_um: float | None,
    agreement_um: float = AGREEMENT_UM,
) -> bool:
    """Whether two estimates of the height of the focus, from different heights, contradict each other.

    After a move of d the distance must be shorter by d. It is not on a microscope on which the model says too much or
    too little. Within `agreement_um` they agree. False for a model that does not predict its uncertainty.
    """
    if sigma_um is None or earlier_sigma_um is None:
        return False
    explained_um = REJECTED_BEYOND * float(np.hypot(sigma_um, earlier_sigma_um))
    return abs(focus_um - earlier_um) > max(agreement_um, explained_um)


def _checked(contrasts: NDArray[np.float32]) -> FloatArray:
    if not contrasts.any():  # black, saturated or of one colour
        raise ValueError("no patch has any contrast: there is nothing to judge")
    return contrasts.astype(np.float64)


def _is_strange(prediction: Prediction, contrast: FloatArray, all_contrast: np.float64) -> Doubt | None:
    """Whether most of the contrast is in patches unlike those of the training; None if the model does not tell."""
    if prediction.strangeness is None:
        return None if prediction.sigma_um is None else ""
    familiar = prediction.strangeness <= prediction.strangeness_limit  # not so for what is no number
    return "strange" if contrast[~familiar].sum() >= MAX_STRANGE_SHARE * all_contrast else ""


def _mean_and_spread(values: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Weighted mean and standard deviation: as `np.average`, in a third of its time."""
    total = weights.sum()
    mean = (values * weights).sum() / total
    variance = (np.square(values - mean) * weights).sum() / total
    return float(mean), math.sqrt(variance)


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The smallest value that at least half of the weight lies at or below."""
    if len(values) == 1:
        return float(values[0])
    order = values.argsort()
    below = weights[order].cumsum() / weights.sum()
    return float(values[order[min(int(below.searchsorted(0.5 - 1e-9)), len(values) - 1)]])
