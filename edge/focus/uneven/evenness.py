"""Whether a field has one focus: patches of one shot, each with a predicted height, against a plane and a step.

Pure functions. liao2021 2.2 calls a field uneven if the predictions of its patches are more than a depth of field
apart. Single predictions err by half of that, so here a shape must also explain them better than one height does, by
more than their uncertainty allows.
"""

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.judging.belief import SHARED_VARIANCE

FloatArray = NDArray[np.float64]

Shape = Literal["even", "plane", "step"]

# Of even fields, this share at most is suspected, if the uncertainties are right: half of it by either shape.
SUSPECTED_SHARE = 0.01
MIN_PATCHES = 4  # a plane goes through any three
# Directions in which a step is looked for. With seven patches, more of them give no other division.
STEP_DIRECTIONS = 24


class Evenness(msgspec.Struct, frozen=True):
    """What the predicted heights of the patches say together.

    `z_um` is their mean, weighted by contrast and certainty: where to focus an even field. `low_um` and `high_um` are
    the lowest and the highest of the shape over the patches, for an even field both `z_um`.
    """

    shape: Shape
    z_um: float
    low_um: float
    high_um: float

    @property
    def is_even(self) -> bool:
        """Whether one height explains all patches."""
        return self.shape == "even"


def evenness_of(
    xy_um: FloatArray, z_um: FloatArray, sigma_um: FloatArray, weights: FloatArray, depth_um: float
) -> Evenness:
    """Judge a field by its patches.

    Args:
        xy_um: centres of the patches on the sample, (n, 2).
        z_um: predicted height of the focus of each, (n,).
        sigma_um: standard uncertainty of each height, (n,), positive.
        weights: contrast of each, (n,). A patch of weight 0 is left out, as is one whose prediction is no number.
        depth_um: depth of field.

    Raises ValueError if no patch is left.
    """
    held = (weights > 0.0) & np.isfinite(z_um) & np.isfinite(sigma_um)
    if not held.any():
        raise ValueError("no patch has contrast and a prediction: there is nothing to judge")
    # What all patches err by together says nothing about the shape.
    xy_um, z_um, sigma_um = xy_um[held], z_um[held], sigma_um[held] * math.sqrt(1.0 - SHARED_VARIANCE)
    mean_um = float(np.average(z_um, weights=weights[held] / sigma_um**2))
    even = Evenness("even", mean_um, mean_um, mean_um)
    if len(z_um) < MIN_PATCHES:
        return even
    found = [_plane(xy_um, z_um, sigma_um), _step(xy_um, z_um, sigma_um)]
    chance, shape, fit = min(found, key=lambda one: one[0])
    if chance > SUSPECTED_SHARE / 2.0 or np.ptp(fit) <= depth_um:
        return even
    return Evenness(shape, mean_um, float(fit.min()), float(fit.max()))


def _plane(xy_um: FloatArray, z_um: FloatArray, sigma_um: FloatArray) -> tuple[float, Shape, FloatArray]:
    """How often chance fits a plane so well, "plane", and its heights (n,).

    A shape with k more parameters than one height lowers the misfit of an even field by a chi-square of k degrees of
    freedom.
    """
    level = np.average(z_um, weights=sigma_um**-2.0)
    design = np.column_stack([np.ones(len(z_um)), xy_um])
    parameters, *_ = np.linalg.lstsq(design / sigma_um[:, None], z_um / sigma_um, rcond=None)
    fit: FloatArray = design @ parameters
    gain = float(np.sum((np.square(z_um - level) - np.square(z_um - fit)) / sigma_um**2))
    return math.exp(-0.5 * max(0.0, gain)), "plane", fit


def _step(xy_um: FloatArray, z_um: FloatArray, sigma_um: FloatArray) -> tuple[float, Shape, FloatArray]:
    """The same for the best of all steps along a straight line."""
    upper = _divisions(xy_um)
    weights = sigma_um**-2.0
    above, below = upper @ weights, (1.0 - upper) @ weights
    z_above, z_below = upper @ (weights * z_um) / above, (1.0 - upper) @ (weights * z_um) / below
    gains = above * below / (above + below) * np.square(z_above - z_below)
    best = int(gains.argmax())
    fit: FloatArray = np.where(upper[best] > 0.0, z_above[best], z_below[best])
    # As many steps were tried as there are divisions.
    return len(upper) * math.erfc(math.sqrt(0.5 * float(gains[best]))), "step", fit


def _divisions(xy_um: FloatArray) -> FloatArray:
    """Every division of the points (n, 2) by a straight line, as 1 above and 0 below it, (divisions, n)."""
    angles = np.arange(STEP_DIRECTIONS) * math.pi / STEP_DIRECTIONS + 1e-3
    along = xy_um @ np.stack([np.cos(angles), np.sin(angles)])
    edges = np.sort(along, axis=0)[1:]
    upper = (along[None, :, :] >= edges[:, None, :]).transpose(0, 2, 1).reshape(-1, len(xy_um))
    # The same division seen from the other side is no other one.
    divisions: FloatArray = np.unique(upper ^ upper[:, :1], axis=0).astype(np.float64)
    return divisions[divisions.any(axis=1)]
