"""Which correction of a model fits an instrument: none, gain and offset, the condenser, or a head taught on stacks.

Each level is fitted on some stacks of the instrument and judged on the others. The simplest level that the held-out
stacks support is taken. Distances are those to the sharpest plane of each stack.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95
from parfocal.calib.value import Level

Floats = NDArray[np.float64]

MIN_STACKS = 2
MIN_PICTURES = 8  # of one stack, within the range of the model
MAX_FOLDS = 12  # of a cross-validation; more take time and say no more
# A more elaborate level must be better than a simpler one by this much, and by two standard errors of the difference.
WORTHWHILE_UM = 0.02
N_ERRORS = 2.0
# A model that errs by more than this on the instrument's own stacks is refused: three fifths of the depth of field of
# the reference objective, 0.96 um.
MAX_ERROR_UM = 0.6
MAX_WRONG_SHARE = 0.01
DIRECTION_BEYOND_UM = 1.0  # closer to the focus a wrong direction costs nothing
# Penalties of the head's weights, weakest last: shares of the variance of what the last layer reads, over its main
# directions. Weaker ones gain nothing on stacks of another slide (python -m tests.bench.optics).
STRENGTHS = (2e-4, 6e-5, 2e-5, 6e-6, 2e-6)
N_DIRECTIONS = 96
# A factor of 2 is more than any condenser makes. Beyond these the model does not see what it was made for.
GAINS, MAX_OFFSET_UM = (0.3, 3.0), 5.0
N_CONDENSERS = 9
HUBER = 1.5  # median deviations from which a picture counts less
N_REWEIGHTED = 6
# What a few stacks of one slide do not show: other slides differ by about this much (python -m tests.bench.optics).
GAIN_FLOOR, OFFSET_FLOOR_UM = 0.03, 0.08


class StackSeen(msgspec.Struct, frozen=True, eq=False):
    """One stack as a model sees it: p pictures of k patches.

    `true_um` (p,) is the distance from each picture to the sharpest plane, `weights` (p, k) the contrast of the
    patches, `predicted_um` (p, k) what the model says, and `hidden` (p, k, h) what the last layer of its head reads,
    all members side by side and divided by their number; None for a model without a head.
    """

    true_um: Floats
    weights: Floats
    predicted_um: Floats
    hidden: Floats | None = None

    def picture_um(self, predicted_um: Floats) -> Floats:
        """Predictions of patches (p, k) averaged by contrast; (p,)."""
        mean: Floats = np.average(predicted_um, axis=1, weights=self.weights)
        return mean


SeenAt = Callable[[float | None], Sequence[StackSeen]]


class Condensers(msgspec.Struct, frozen=True):
    """The condensers that a head was trained for, shares of the objective's aperture."""

    least: float
    most: float


class LevelFit(msgspec.Struct, frozen=True):
    """How good a level is on stacks that it was not fitted on.

    `error_um` is the mean absolute error, `uncertainty_um` half the width of its 95 % interval, from stack to stack.
    `wrong_share` is the share of the pictures more than 1 um away whose direction is wrong.
    """

    level: Level
    error_um: float
    uncertainty_um: float
    wrong_share: float
    stack_errors_um: tuple[float, ...]


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


class OpticsFit(msgspec.Struct, frozen=True, eq=False):
    """The levels beside each other, simplest first, and the one that was taken, fitted on all stacks.

    The uncertainties are half the widths of 95 % intervals.
    """

    levels: tuple[LevelFit, ...]
    chosen: LevelFit
    fitted: Fitted
    gain_uncertainty: float
    offset_uncertainty_um: float
    condenser_uncertainty: float | None


def fit_optics(seen_at: SeenAt, condensers: Condensers | None) -> OpticsFit:
    """Compare the levels and fit the simplest one that the held-out stacks support.

    Args:
        seen_at: the stacks as the model sees them if its head gets that condenser; None for the one in use.
        condensers: what the head was trained for; None if it takes no condenser.

    Raises:
        CalibPoor: too few stacks or pictures, no level is good enough, or the direction is wrong.
    """
    stacks = seen_at(None)
    _check(stacks)
    tried = [_judged("shipped", stacks, lambda _kept: Fitted()), _judged("line", stacks, fit_line)]
    fits: dict[Level, Callable[[], Fitted]] = {"shipped": Fitted, "line": lambda: fit_line(stacks)}
    base = stacks
    if condensers is not None:
        grid = _Grid(seen_at, condensers)
        tried.append(grid.judged())
        at = grid.fitted(range(len(stacks)))
        fits["condenser"] = lambda: at
        base = seen_at(at.condenser)
    if all(stack.hidden is not None for stack in base):
        condenser = None if base is stacks else fits["condenser"]().condenser
        short, directions = _along_main_directions(base)
        taught, strength = _judged_head(short, condenser)
        tried.append(taught)
        fits["head"] = lambda: _lengthened(fit_head(short, strength, condenser), directions)
    chosen = _simplest(tried)
    fitted = fits[chosen.level]()
    _check_good(chosen, fitted)
    return _with_uncertainty(chosen, tuple(tried), fitted, stacks, seen_at, condensers)


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


class _Grid:
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

    def judged(self) -> LevelFit:
        """The level on stacks that it was not fitted on."""
        n = len(self._left_um[0])
        said_um: list[Floats | None] = [None] * n
        for out in _folds(n):
            fitted = self.fitted([k for k in range(n) if k not in out])
            seen = self._seen_at(fitted.condenser)
            for k in out:
                said_um[k] = fitted.picture_um(seen[k])
        stacks = self._seen_at(None)
        return _level("condenser", stacks, [said for said in said_um if said is not None])


def _left_um(stack: StackSeen) -> Floats:
    return stack.true_um - stack.picture_um(stack.predicted_um)


def _hidden(stack: StackSeen) -> Floats:
    if stack.hidden is None:
        raise ValueError("this model has no head that could be taught")
    return stack.hidden.reshape(-1, stack.hidden.shape[2])


def _along_main_directions(stacks: Sequence[StackSeen]) -> tuple[list[StackSeen], Floats]:
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


def _lengthened(fitted: Fitted, directions: Floats) -> Fitted:
    weights = None if fitted.weights is None else directions @ fitted.weights
    return msgspec.structs.replace(fitted, weights=weights)


def _judged_head(stacks: Sequence[StackSeen], condenser: float | None) -> tuple[LevelFit, float]:
    """The taught head on stacks that it was not taught on, with the penalty that suits it best, and that penalty."""
    tried = [
        (_judged("head", stacks, lambda kept, s=strength: fit_head(kept, s, condenser)), strength)  # type: ignore[misc]
        for strength in STRENGTHS
    ]
    best = min(level.error_um for level, _ in tried)
    # The strongest that is about as good: the less the head is changed, the better it knows other slides.
    return next(one for one in tried if one[0].error_um <= best + WORTHWHILE_UM)


def _judged(
    level: Level, stacks: Sequence[StackSeen], fit: Callable[[Sequence[StackSeen]], Fitted]
) -> LevelFit:
    said_um: list[Floats | None] = [None] * len(stacks)
    for out in _folds(len(stacks)):
        fitted = fit([stack for k, stack in enumerate(stacks) if k not in out])
        for k in out:
            said_um[k] = fitted.picture_um(stacks[k])
    return _level(level, stacks, [said for said in said_um if said is not None])


def _folds(n: int) -> list[range]:
    """The stacks that are left out together: one at a time, or every twelfth."""
    return [range(k, n, MAX_FOLDS) for k in range(min(n, MAX_FOLDS))]


def _level(level: Level, stacks: Sequence[StackSeen], said_um: Sequence[Floats]) -> LevelFit:
    errors_um = np.array(
        [np.abs(said - stack.true_um).mean() for stack, said in zip(stacks, said_um, strict=True)]
    )
    true_um, said = np.concatenate([stack.true_um for stack in stacks]), np.concatenate(said_um)
    far = np.abs(true_um) > DIRECTION_BEYOND_UM
    wrong = float((said * true_um < 0.0)[far].mean()) if far.any() else 0.0
    n = len(errors_um)
    width = half_width_95(float(errors_um.var(ddof=1)) / n, n - 1)
    return LevelFit(level, float(errors_um.mean()), width, wrong, tuple(errors_um.tolist()))


def _simplest(tried: Sequence[LevelFit]) -> LevelFit:
    """The first level that the best one does not surpass by more than chance, and whose direction is right."""
    best = min(tried, key=lambda one: one.error_um)
    for one in tried:
        worse_um = np.array(one.stack_errors_um) - np.array(best.stack_errors_um)
        error_um = float(worse_um.std(ddof=1)) / np.sqrt(len(worse_um))
        is_supported = float(worse_um.mean()) <= max(WORTHWHILE_UM, N_ERRORS * error_um)
        if is_supported and (one.wrong_share <= MAX_WRONG_SHARE or one is best):
            return one
    return best


def _with_uncertainty(
    chosen: LevelFit,
    tried: tuple[LevelFit, ...],
    fitted: Fitted,
    stacks: Sequence[StackSeen],
    seen_at: SeenAt,
    condensers: Condensers | None,
) -> OpticsFit:
    """The uncertainty of what was fitted, from how it changes as each stack is left out (jackknife)."""
    n = len(stacks)
    others = [[j for j in range(n) if j != k] for k in range(n)]
    if chosen.level == "condenser" and condensers is not None:
        grid = _Grid(seen_at, condensers)
        fits = [grid.fitted(kept) for kept in others]
        width = _jackknife([one.condenser or 0.0 for one in fits])
        offset = np.hypot(_jackknife([one.offset_um for one in fits]), OFFSET_FLOOR_UM)
        return OpticsFit(tried, chosen, fitted, 0.0, float(offset), width)
    if chosen.level == "shipped":
        return OpticsFit(tried, chosen, fitted, 0.0, 0.0, None)
    fits = [fit_line([stacks[j] for j in kept]) for kept in others]
    gain = np.hypot(_jackknife([one.gain for one in fits]), GAIN_FLOOR)
    offset = np.hypot(_jackknife([one.offset_um for one in fits]), OFFSET_FLOOR_UM)
    return OpticsFit(tried, chosen, fitted, float(gain), float(offset), None)


def _jackknife(values: Sequence[float]) -> float:
    n = len(values)
    variance = (n - 1.0) / n * float(np.square(np.array(values) - np.mean(values)).sum())
    return half_width_95(variance, n - 1)


def _robust(design: Floats, wanted: Floats, weights: Floats, penalties: Floats) -> Floats:
    """Least squares with a penalty on each coefficient; what lies far off is weighed down (Huber)."""
    now = weights
    found = np.zeros(design.shape[1])
    for _ in range(N_REWEIGHTED):
        weighted = design * now[:, None]
        found = np.linalg.solve(weighted.T @ design + np.diag(penalties), weighted.T @ wanted)
        off = np.abs(wanted - design @ found)
        now = weights / np.maximum(1.0, off / (HUBER * float(np.median(off)) + 1e-6))
    return found


def _check(stacks: Sequence[StackSeen]) -> None:
    if len(stacks) < MIN_STACKS:
        raise CalibPoor(
            f"optics refused: {len(stacks)} of the fields gave a stack with a clear focus, {MIN_STACKS} or more are "
            "needed. Choose a place with structure: scan.origin_x_um, scan.origin_y_um."
        )
    fewest = min(len(stack.true_um) for stack in stacks)
    if fewest < MIN_PICTURES:
        raise CalibPoor(
            f"optics refused: a stack has {fewest} pictures with contrast within the range of the model, "
            f"{MIN_PICTURES} or more are needed. Record stacks that reach farther, or with smaller steps."
        )


def _check_good(chosen: LevelFit, fitted: Fitted) -> None:
    if chosen.wrong_share > MAX_WRONG_SHARE:
        raise CalibPoor(
            f"optics refused: in {100.0 * chosen.wrong_share:.0f} % of the pictures the model predicts the wrong "
            "direction, and no correction helps. Check objective, pixel size and camera, or train a model for this "
            "microscope."
        )
    if not (GAINS[0] <= fitted.gain <= GAINS[1] and abs(fitted.offset_um) <= MAX_OFFSET_UM):
        raise CalibPoor(
            f"optics refused: a gain of {fitted.gain:.2f} and an offset of {fitted.offset_um:+.2f} um would correct "
            f"the model; {GAINS[0]:g} to {GAINS[1]:g} and {MAX_OFFSET_UM:g} um are the limits. Check objective, pixel "
            "size and camera, or train a model for this microscope."
        )
    if chosen.error_um > MAX_ERROR_UM:
        raise CalibPoor(
            f"optics refused: the model errs by {chosen.error_um:.2f} um on this microscope's own stacks, with the "
            f"best correction; {MAX_ERROR_UM:g} um is the limit. Check objective, pixel size and camera, or train a "
            "model for this microscope."
        )
