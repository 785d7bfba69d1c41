"""Which correction of a model fits an instrument: none, gain and offset, the condenser, or a head taught on stacks.

Each level is fitted on some stacks of the instrument and judged on the others (`parfocal.calib.models.levels`). The
simplest level that the held-out stacks support is taken.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95
from parfocal.calib.models.levels import (
    GAINS,
    MAX_OFFSET_UM,
    RELIED_ON_UM,
    WORTHWHILE_UM,
    Condensers,
    Fitted,
    Grid,
    LevelFit,
    Limit,
    SeenAt,
    StackSeen,
    along_main_directions,
    fit_head,
    fit_line,
    judged,
    judged_head,
    lengthened,
)
from parfocal.calib.value import Level

# All um are those of 20x/0.75, and as many depths of field through another objective (`Limit.at`).
MIN_STACKS = 2
MIN_PICTURES = 8  # of one stack, within the range of the model
# A more elaborate level must be better than a simpler one by WORTHWHILE_UM, and by two standard errors; by this much it
# is better in any case, as two or three stacks do not tell their standard error.
N_ERRORS, SURELY_UM = 2.0, 0.1
# In more pictures a model must not predict the wrong direction.
MAX_WRONG_SHARE = 0.01
# What a few stacks of one slide do not show: other slides differ by about this much (python -m tests.bench.optics).
GAIN_FLOOR, OFFSET_FLOOR_UM = 0.03, 0.08


# Two shots: three fifths of the depth of field of the reference objective, 0.96 um. The loop checks them.
TWO_SHOTS = Limit(0.6)
# Nothing checks a single shot, and a few stacks of one slide may be kind: on an instrument with a condenser of 0.9 it
# erred by 0.25 +- 0.09 um on them, and by 0.52 um on other slides (python -m tests.bench.optics --single).
# It is not believed beyond about a depth of field: on the virtual slide, more than 8.5 um away, it errs by up to 15 um
# and tells 1.5 to 5 um. Where it tells less than 1 um it errs by 0.13 um on average, and by 1 um at most.
SINGLE_SHOT = Limit(0.3, is_sure=True, sigma_um=1.0)
# Of a model that is unsure of more pictures than this nothing is known.
MAX_UNSURE_SHARE = 0.25


class OpticsFit(msgspec.Struct, frozen=True, eq=False):
    """The levels beside each other, simplest first, and the one that was taken, fitted on all stacks.

    The uncertainties are half the widths of 95 % intervals. `poor` says why the model must not be used on this
    instrument, None if it may.
    """

    levels: tuple[LevelFit, ...]
    chosen: LevelFit
    fitted: Fitted
    gain_uncertainty: float
    offset_uncertainty_um: float
    condenser_uncertainty: float | None
    poor: str | None = None


def fit_optics(seen_at: SeenAt, condensers: Condensers | None, limit: Limit = TWO_SHOTS) -> OpticsFit:
    """Compare the levels and fit the simplest one that the held-out stacks support.

    Args:
        seen_at: the stacks as the model sees them if its head gets that condenser; None for the one in use.
        condensers: what the head was trained for; None if it takes no condenser.
        limit: a model that errs by more is poor.

    Raises:
        CalibPoor: too few stacks or pictures.
    """
    stacks = seen_at(None)
    _check(stacks)
    tried = [
        judged("shipped", stacks, lambda _kept: Fitted(), limit),
        judged("line", stacks, fit_line, limit),
    ]
    fits: dict[Level, Callable[[], Fitted]] = {"shipped": Fitted, "line": lambda: fit_line(stacks)}
    base = stacks
    if condensers is not None:
        grid = Grid(seen_at, condensers)
        tried.append(grid.judged(limit))
        at = grid.fitted(range(len(stacks)))
        fits["condenser"] = lambda: at
        base = seen_at(at.condenser)
    if all(stack.hidden is not None for stack in base):
        condenser = None if base is stacks else fits["condenser"]().condenser
        short, directions = along_main_directions(base)
        taught, strength = judged_head(short, condenser, limit)
        tried.append(taught)
        fits["head"] = lambda: lengthened(fit_head(short, strength, condenser), directions)
    chosen = _simplest(tried, limit.scale)
    fitted = fits[chosen.level]()
    found = _with_uncertainty(chosen, tuple(tried), fitted, stacks, seen_at, condensers, limit.scale)
    return msgspec.structs.replace(found, poor=_why_poor(chosen, fitted, limit))


def _simplest(tried: Sequence[LevelFit], scale: float = 1.0) -> LevelFit:
    """The first level that the best one does not surpass by more than chance, and whose direction is right."""
    best = min(tried, key=lambda one: one.error_um)
    for one in tried:
        worse_um = np.array(one.stack_errors_um) - np.array(best.stack_errors_um)
        error_um = float(worse_um.std(ddof=1)) / np.sqrt(len(worse_um))
        by_chance_um = max(scale * WORTHWHILE_UM, min(N_ERRORS * error_um, scale * SURELY_UM))
        is_supported = float(worse_um.mean()) <= by_chance_um
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
    scale: float,
) -> OpticsFit:
    """The uncertainty of what was fitted, from how it changes as each stack is left out (jackknife)."""
    n = len(stacks)
    others = [[j for j in range(n) if j != k] for k in range(n)]
    if chosen.level == "condenser" and condensers is not None:
        grid = Grid(seen_at, condensers)
        fits = [grid.fitted(kept) for kept in others]
        width = _jackknife([one.condenser or 0.0 for one in fits])
        offset = np.hypot(_jackknife([one.offset_um for one in fits]), scale * OFFSET_FLOOR_UM)
        return OpticsFit(tried, chosen, fitted, 0.0, float(offset), width)
    if chosen.level == "shipped":
        return OpticsFit(tried, chosen, fitted, 0.0, 0.0, None)
    base, of_condenser = stacks, None
    if fitted.condenser is not None and condensers is not None:
        base, grid = seen_at(fitted.condenser), Grid(seen_at, condensers)
        of_condenser = _jackknife([grid.fitted(kept).condenser or 0.0 for kept in others])
    lines = [fit_line([base[j] for j in kept]) for kept in others]
    gain = np.hypot(_jackknife([one.gain for one in lines]), GAIN_FLOOR)
    offset = np.hypot(_jackknife([one.offset_um for one in lines]), scale * OFFSET_FLOOR_UM)
    return OpticsFit(tried, chosen, fitted, float(gain), float(offset), of_condenser)


def _jackknife(values: Sequence[float]) -> float:
    n = len(values)
    variance = (n - 1.0) / n * float(np.square(np.array(values) - np.mean(values)).sum())
    return half_width_95(variance, n - 1)


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


def _why_poor(chosen: LevelFit, fitted: Fitted, limit: Limit) -> str | None:
    if chosen.unsure_share > MAX_UNSURE_SHARE:
        return (
            f"the model is unsure of {100.0 * chosen.unsure_share:.0f} % of the pictures within "
            f"{limit.scale * RELIED_ON_UM:.3g} um by more than {limit.sigma_um:.3g} um"
        )
    if chosen.wrong_share > MAX_WRONG_SHARE:
        return (
            f"in {100.0 * chosen.wrong_share:.0f} % of the pictures the model predicts the wrong direction, and no "
            "correction helps"
        )
    most_um = limit.scale * MAX_OFFSET_UM
    if not (GAINS[0] <= fitted.gain <= GAINS[1] and abs(fitted.offset_um) <= most_um):
        return (
            f"a gain of {fitted.gain:.2f} and an offset of {fitted.offset_um:+.2f} um would correct the model; "
            f"{GAINS[0]:g} to {GAINS[1]:g} and {most_um:.3g} um are the limits"
        )
    if chosen.error_um + (chosen.uncertainty_um if limit.is_sure else 0.0) > limit.error_um:
        errs = f"{chosen.error_um:.2f}{f' +- {chosen.uncertainty_um:.2f}' if limit.is_sure else ''} um"
        return (
            f"the model errs by {errs} on this microscope's own stacks, with the best correction; "
            f"{limit.error_um:.3g} um is the limit"
        )
    return None
