"""Corrections of a model, each fitted on stacks of one instrument, and how good each is on others. Pure functions.

Distances are those to the sharpest plane of each stack.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.interval import half_width_95
from parfocal.calib.value import Level

Floats = NDArray[np.float64]

MAX_FOLDS = 12  # of a cross-validation; more take time and say no more
# All um are those of 20x/0.75, and as many depths of field through another objective (`Limit.scale`).
# The simplest of levels or penalties that are about as good is taken.
WORTHWHILE_UM = 0.02
DIRECTION_BEYOND_UM = 1.0  # closer to the focus a wrong direction costs nothing
# Farther away nothing relies on what one picture says, so a model may be unsure there: the loop moves and looks again
# (dastidar2020 4.3.3).
RELIED_ON_UM = 12.0
# Penalties of the head's weights, weakest last: shares of the variance of what the last layer reads, over its main
# directions. Weaker ones gain nothing on stacks of another slide (python -m tests.bench.optics).
STRENGTHS = (2e-4, 6e-5, 2e-5, 6e-6, 2e-6)
N_DIRECTIONS = 96
# A factor of 2 is more than any condenser makes. Beyond these the model does not see what it was made for.
GAINS, MAX_OFFSET_UM = (0.3, 3.0), 5.0
N_CONDENSERS = 9
HUBER = 1.5  # median deviations from which a picture counts less
N_REWEIGHTED = 6
# Of a normal distribution, this share lies within one standard uncertainty.
WITHIN_SIGMA = 0.683


class StackSeen(msgspec.Struct, frozen=True, eq=False):
    """One stack as a model sees it: p pictures of k patches.

    `true_um` (p,) is the distance from each picture to the sharpest plane, `weights` (p, k) the contrast of the
    patches, `predicted_um` (p, k) what the model says, and `hidden` (p, k, h) what the last layer of its head reads,
    all members side by side and divided by their number; None for a model without a head. `sigma_um` (p,) is the
    standard uncertainty that the model tells for each picture; None if it tells none.
    """

    true_um: Floats
    weights: Floats
    predicted_um: Floats
    hidden: Floats | None = None
    sigma_um: Floats | None = None

    def picture_um(self, predicted_um: Floats) -> Floats:
        """Predictions of patches (p, k) averaged by contrast; (p,)."""
        mean: Floats = np.average(predicted_um, axis=1, weights=self.weights)
        return mean


SeenAt = Callable[[float | None], Sequence[StackSeen]]


class Limit(msgspec.Struct, frozen=True):
    """What is asked of a model: the largest mean error on the instrument's own stacks.

    `is_sure`: the upper end of its interval counts. `sigma_um`: where the model tells a larger uncertainty it is not
    believed, and not judged. `scale`: depth of field over that of 20x/0.75.
    """

    error_um: float = math.inf
    is_sure: bool = False
    sigma_um: float = math.inf
    scale: float = 1.0

    def at(self, scale: float) -> "Limit":
        """The limit through 20x/0.75 for an objective with another depth of field: in proportion to it."""
        return Limit(scale * self.error_um, self.is_sure, scale * self.sigma_um, scale)


NO_LIMIT = Limit()


class Condensers(msgspec.Struct, frozen=True):
    """The condensers that a head was trained for, shares of the objective's aperture."""

    least: float
    most: float


class LevelFit(msgspec.Struct, frozen=True):
    """How good a level is on stacks that it was not fitted on.

    `error_um` is the mean absolute error, `uncertainty_um` half the width of its 95 % interval, from stack to stack.
    `wrong_share` is the share of the pictures more than `DIRECTION_BEYOND_UM` away whose direction is wrong.
    `sigma_scale` makes the uncertainty that the model tells, times the gain, that of the errors found; None for a model
    that tells none. `unsure_share` is the share of the pictures within `RELIED_ON_UM` that were left out, as the model
    tells that it may be far off.
    """

    level: Level
    error_um: float
    uncertainty_um: float
    wrong_share: float
    stack_errors_um: tuple[float, ...]
    sigma_scale: float | None = None
    unsure_share: float = 0.0


class Fitted(msgspec.Struct, frozen=True, eq=False):
    """A level fitted on stacks: `distance = gain * predicted + offset_um`, and what changes the prediction itself.

    `weights` (h,) and `bias_um` are added to the last layer of the head, in the scale of its predictions.
    """

    gain: float = 1.0
    offset_um: float = 0.0
    condenser: float | None = None
    weights: Floats | None = None
    bias_um: float = 0.0

    def picture_um(self, seen: StackSeen) -> Floats:
        """What the corrected model says about each picture; `seen` is at this level's condenser."""
        predicted_um = seen.predicted_um
        if self.weights is not None and seen.hidden is not None:
            predicted_um = predicted_um + seen.hidden @ self.weights + self.bias_um
        return self.gain * seen.picture_um(predicted_um) + self.offset_um

    def off(self, seen: StackSeen) -> "Off":
        """How far the corrected model is off on a stack."""
        said_um = self.picture_um(seen)
        sigma_um = None if seen.sigma_um is None else abs(self.gain) * seen.sigma_um
        return Off(said_um - seen.true_um, said_um * seen.true_um < 0.0, sigma_um)


class Off(msgspec.Struct, frozen=True, eq=False):
    """Errors of a corrected model on p pictures, which have the wrong direction, and the uncertainty it tells; (p,)."""

    error_um: Floats
    is_wrong: NDArray[np.bool_]
    sigma_um: Floats | None

    def is_sure(self, most_sigma_um: float) -> NDArray[np.bool_]:
        """Of which pictures the model tells no more uncertainty than `most_sigma_um`; (p,)."""
        if self.sigma_um is None:
            return np.ones(len(self.error_um), np.bool_)
        return self.sigma_um <= most_sigma_um

    def of(self, pictures: NDArray[np.bool_]) -> "Off":
        """The same of some pictures only."""
        sigma_um = None if self.sigma_um is None else self.sigma_um[pictures]
        return Off(self.error_um[pictures], self.is_wrong[pictures], sigma_um)


def fit_line(stacks: Sequence[StackSeen]) -> Fitted:
    """Gain and offset, by least squares that pictures far off hardly influence."""
    predicted_um = np.concatenate([stack.picture_um(stack.predicted_um) for stack in stacks])
    true_um = np.concatenate([stack.true_um for stack in stacks])
    design = np.stack([predicted_um, np.ones_like(predicted_um)], axis=1)
    gain, offset_um = _robust(design, true_um, np.ones(len(true_um)), np.zeros(2))
    return Fitted(float(gain), float(offset_um))


def fit_head(stacks: Sequence[StackSeen], strength: float, condenser: float | None = None) -> Fitted:
    """Weights of the last layer besides gain and offset; they start at those of the model and are held there.

    `strength` is the penalty, as a share of the variance of what the layer reads.
    """
    line = fit_line(stacks)
    if not GAINS[0] <= line.gain <= GAINS[1]:  # the head must learn it all
        line = Fitted()
    hidden = np.concatenate([_hidden(stack) for stack in stacks])
    predicted_um = np.concatenate([stack.predicted_um.ravel() for stack in stacks])
    true_um = np.concatenate([np.repeat(stack.true_um, stack.weights.shape[1]) for stack in stacks])
    weights = np.concatenate([stack.weights.ravel() for stack in stacks])
    weights = weights / weights.mean()
    middle = np.average(hidden, axis=0, weights=weights)
    centred = hidden - middle
    variance = float(np.average((centred**2).sum(axis=1), weights=weights))
    penalty = strength * variance * float(weights.sum())
    left_um = true_um - line.gain * predicted_um - line.offset_um
    found = _robust(centred, left_um, weights, np.full(hidden.shape[1], penalty)) / line.gain
    return Fitted(line.gain, line.offset_um, condenser, found, -float(middle @ found))


class Grid:
    """Fits the condenser: the head is tried with several, and the best lies between them."""

    def __init__(self, seen_at: SeenAt, condensers: Condensers) -> None:
        self._seen_at = seen_at
        self._tried = np.linspace(condensers.least, condensers.most, N_CONDENSERS)
        # What is left of each stack's pictures at each condenser.
        self._left_um = [
            [stack.true_um - stack.picture_um(stack.predicted_um) for stack in seen_at(float(condenser))]
            for condenser in self._tried
        ]

    def fitted(self, kept: Sequence[int]) -> Fitted:
        """Condenser and offset of the stacks with these numbers."""
        left_um = [np.concatenate([row[k] for k in kept]) for row in self._left_um]
        costs = np.array([np.abs(row - np.median(row)).mean() for row in left_um])
        best = int(costs.argmin())
        condenser = float(self._tried[best])
        if 0 < best < len(costs) - 1:
            below, middle, above = costs[best - 1 : best + 2]
            bend = below - 2.0 * middle + above
            if bend > 0.0:
                step = float(self._tried[1] - self._tried[0])
                condenser += 0.5 * float(below - above) / float(bend) * step
        seen = self._seen_at(condenser)
        offset_um = float(np.median(np.concatenate([_left_um(seen[k]) for k in kept])))
        return Fitted(1.0, offset_um, condenser)

    def judged(self, limit: Limit = NO_LIMIT) -> LevelFit:
        """The level on stacks that it was not fitted on. `limit`: as `judged` takes it."""
        n = len(self._left_um[0])
        offs: dict[int, Off] = {}
        for out in _folds(n):
            fitted = self.fitted([k for k in range(n) if k not in out])
            seen = self._seen_at(fitted.condenser)
            offs |= {k: fitted.off(seen[k]) for k in out}
        return _level("condenser", self._seen_at(None), [offs[k] for k in range(n)], limit)


def _left_um(stack: StackSeen) -> Floats:
    return stack.true_um - stack.picture_um(stack.predicted_um)


def _hidden(stack: StackSeen) -> Floats:
    if stack.hidden is None:
        raise ValueError("this model has no head that could be taught")
    return stack.hidden.reshape(-1, stack.hidden.shape[2])


def along_main_directions(stacks: Sequence[StackSeen]) -> tuple[list[StackSeen], Floats]:
    """The stacks with only the main directions of what the last layer reads, and these directions (h, r).

    Along the others it varies too little for any penalty to leave weights there.
    """
    hidden = np.concatenate([_hidden(stack) for stack in stacks])
    centred = hidden - hidden.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    directions: Floats = vectors[:, -N_DIRECTIONS:]
    short = [
        msgspec.structs.replace(stack, hidden=None if stack.hidden is None else stack.hidden @ directions)
        for stack in stacks
    ]
    return short, directions


def lengthened(fitted: Fitted, directions: Floats) -> Fitted:
    """The fit to stacks along main directions, with weights of all that the last layer reads."""
    weights = None if fitted.weights is None else directions @ fitted.weights
    return msgspec.structs.replace(fitted, weights=weights)


def judged_head(
    stacks: Sequence[StackSeen], condenser: float | None, limit: Limit = NO_LIMIT
) -> tuple[LevelFit, float]:
    """The taught head on stacks that it was not taught on, with the penalty that suits it best, and that penalty.

    `limit`: as `judged` takes it.
    """

    def with_penalty(strength: float) -> LevelFit:
        return judged("head", stacks, lambda kept: fit_head(kept, strength, condenser), limit)

    tried = [(with_penalty(strength), strength) for strength in STRENGTHS]
    best = min(level.error_um for level, _ in tried)
    # The strongest that is about as good: the less the head is changed, the better it knows other slides.
    return next(one for one in tried if one[0].error_um <= best + limit.scale * WORTHWHILE_UM)


def judged(
    level: Level,
    stacks: Sequence[StackSeen],
    fit: Callable[[Sequence[StackSeen]], Fitted],
    limit: Limit = NO_LIMIT,
) -> LevelFit:
    """A level on stacks that it was not fitted on.

    Pictures of which the model tells more uncertainty than `limit` allows are left out, as they are when it is used.
    """
    offs: dict[int, Off] = {}
    for out in _folds(len(stacks)):
        fitted = fit([stack for k, stack in enumerate(stacks) if k not in out])
        offs |= {k: fitted.off(stacks[k]) for k in out}
    return _level(level, stacks, [offs[k] for k in range(len(stacks))], limit)


def _folds(n: int) -> list[range]:
    """The stacks that are left out together: one at a time, or every twelfth."""
    return [range(k, n, MAX_FOLDS) for k in range(min(n, MAX_FOLDS))]


def _level(level: Level, stacks: Sequence[StackSeen], every: Sequence[Off], limit: Limit) -> LevelFit:
    sure = [off.is_sure(limit.sigma_um) for off in every]
    offs = [off.of(mask) if mask.any() else off for off, mask in zip(every, sure, strict=True)]
    true_um = [
        stack.true_um[mask] if mask.any() else stack.true_um for stack, mask in zip(stacks, sure, strict=True)
    ]
    errors_um = np.array([np.abs(off.error_um).mean() for off in offs])
    far = np.abs(np.concatenate(true_um)) > limit.scale * DIRECTION_BEYOND_UM
    wrong = float(np.concatenate([off.is_wrong for off in offs])[far].mean()) if far.any() else 0.0
    n = len(errors_um)
    width = half_width_95(float(errors_um.var(ddof=1)) / n, n - 1)
    near = np.abs(np.concatenate([stack.true_um for stack in stacks])) <= limit.scale * RELIED_ON_UM
    unsure = 1.0 - float(np.concatenate(sure)[near].mean()) if near.any() else 1.0
    return LevelFit(
        level, float(errors_um.mean()), width, wrong, tuple(errors_um.tolist()), _sigma_scale(offs), unsure
    )


def _sigma_scale(offs: Sequence[Off]) -> float | None:
    """By how much the errors exceed what the model tells."""
    ratios = [np.abs(off.error_um) / off.sigma_um for off in offs if off.sigma_um is not None]
    return float(np.quantile(np.concatenate(ratios), WITHIN_SIGMA)) if len(ratios) == len(offs) else None


def _robust(design: Floats, wanted: Floats, weights: Floats, penalties: Floats) -> Floats:
    """Least squares with a penalty on each coefficient; what lies far off is weighed down (Huber)."""
    now = weights
    found = np.zeros(design.shape[1])
    for _ in range(N_REWEIGHTED):
        weighted = design * now[:, None]
        matrix = weighted.T @ design + np.diag(penalties)
        try:
            found = np.linalg.solve(matrix, weighted.T @ wanted)
        except np.linalg.LinAlgError:  # the model says the same of all pictures; then the gain is 0
            found = np.linalg.lstsq(matrix, weighted.T @ wanted)[0]
        off = np.abs(wanted - design @ found)
        now = weights / np.maximum(1.0, off / (HUBER * float(np.median(off)) + 1e-6))
    return found
