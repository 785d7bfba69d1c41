"""What runs say about the model while they work: its gain and its offset since the last calibration. Pure functions.

After a move the predicted distance must be shorter by the move: successive estimates give the gain. A model is not
quite linear, and how much depends on the slide: on simulated optics moves up to the focus say 1.00 to 1.15, moves down
to it 0.90. So each direction is compared with its own first values of the run, and only a change of them counts. The
sharpness of the shots that a field takes anyway tells where its sharpest plane is: that gives the offset, which a model
cannot see by itself. Both are bounded. A slow drift is followed; a sudden change is reported, and nothing is learned
from it.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

# All um are those of 20x/0.75, and as many depths of field through another objective. `scale`: depth of field over that
# of 20x/0.75.
MAX_GAIN_CHANGE, MAX_OFFSET_UM = 0.1, 0.3
# The estimate is the median of so many of the latest values, at least so many.
N_LATEST, N_LEAST = 9, 5
# No field changes the correction by more: one wrong field must not be felt.
GAIN_STEP, OFFSET_STEP_UM = 0.01, 0.05
# So many values in a row, this far to the same side of those before, are a sudden change.
N_SUDDEN, SUDDEN_GAIN, SUDDEN_UM = 3, 0.15, 0.35
# Between two estimates: over a shorter move their errors say more than the move.
LEAST_MOVE_UM = 1.5
# Of sharpness: the shots must enclose the peak.
LEAST_ASIDE_UM, MOST_ASIDE_UM = 0.5, 6.0
PEAK_REACH_UM, PEAK_STEP_UM = 1.5, 0.02
WIDTHS_UM = tuple(float(um) for um in np.geomspace(0.7, 6.0, 40))
LEAST_WEIGHT = 0.05  # of a shot far from the focus
MAX_MISFIT = 0.08  # of the logarithm of sharpness; more, and the field is not flat


class Observation(msgspec.Struct, frozen=True):
    """What one field says.

    `gain`: the move between two estimates over the change of the predicted distance; `is_up`: whether the move was
    upwards. `below_um`: by how much the correction must lower the predicted focus. None where the field does not say.
    """

    gain: float | None = None
    below_um: float | None = None
    is_up: bool = True


class Learned(msgspec.Struct, frozen=True):
    """What was learned: distances are multiplied by `gain`, then `offset_um` is added, on top of the calibration.

    `gains` and `offsets_um` are the latest values that fields called for. `first_up` and `first_down` are the first
    gains of the run by moves in that direction, with which later ones are compared. `told` says what a person must
    know, "" if nothing.
    """

    gain: float = 1.0
    offset_um: float = 0.0
    n_fields: int = 0
    told: str = ""
    gains: tuple[float, ...] = ()
    offsets_um: tuple[float, ...] = ()
    first_up: tuple[float, ...] = ()
    first_down: tuple[float, ...] = ()


def learned_from(before: Learned, seen: Observation, scale: float = 1.0) -> Learned:
    """What is known after another field. After a sudden change nothing more is learned."""
    if before.told.startswith(_SUDDEN):
        return before
    gains, offsets_um = before.gains, before.offsets_um
    if seen.gain is not None:
        first = before.first_up if seen.is_up else before.first_down
        if len(first) < N_LEAST:
            before = _begun(before, before.gain * seen.gain, seen.is_up)
        else:
            gains = (*gains, before.gain * seen.gain / float(np.median(first)))[-N_LATEST - N_SUDDEN :]
    if seen.below_um is not None:
        offsets_um = (*offsets_um, before.offset_um - seen.below_um)[-N_LATEST - N_SUDDEN :]
    n_fields = before.n_fields + (seen.gain is not None or seen.below_um is not None)
    told = _sudden(gains, SUDDEN_GAIN, "gain") or _sudden(offsets_um, scale * SUDDEN_UM, "offset, um,")
    if told:
        return msgspec.structs.replace(
            before, n_fields=n_fields, told=told, gains=gains, offsets_um=offsets_um
        )
    gain = 1.0 + _followed(
        before.gain - 1.0, [one - 1.0 for one in gains[-N_LATEST:]], GAIN_STEP, MAX_GAIN_CHANGE
    )
    step_um, most_um = scale * OFFSET_STEP_UM, scale * MAX_OFFSET_UM
    offset_um = _followed(before.offset_um, offsets_um[-N_LATEST:], step_um, most_um)
    if abs(gain - 1.0) >= MAX_GAIN_CHANGE - 1e-9 or abs(offset_um) >= most_um - 1e-9:
        told = (
            f"the model has drifted to the limit of what is corrected (gain {gain:.2f}, offset {offset_um:+.2f} um). "
            "Run `parfocal calibrate optics`."
        )
    return Learned(gain, offset_um, n_fields, told, gains, offsets_um, before.first_up, before.first_down)


def gain_between(
    z_um: tuple[float, float], distances_um: tuple[float, float], scale: float = 1.0
) -> float | None:
    """The gain by two estimates, from heights `z_um` each; None if they are too close or contradict each other."""
    moved_um, told_um = z_um[1] - z_um[0], distances_um[0] - distances_um[1]
    if abs(moved_um) < scale * LEAST_MOVE_UM or moved_um * told_um <= 0.0:
        return None
    return moved_um / told_um


def peak_of_shots(z_um: Sequence[float], sharpness: Sequence[float], scale: float = 1.0) -> float | None:
    """The sharpest plane by a few shots of one field; None if they do not enclose it, or do not lie on one curve.

    The curve is a squared Lorentzian, whose tails are like those of sharpness. On simulated optics with condensers
    of 0.45 to 0.9 its peak was within 0.05 um (standard deviation) of that of the whole focus curve.
    """
    heights_um, values = np.array(z_um, np.float64) / scale, np.array(sharpness, np.float64)
    if len(np.unique(np.round(heights_um, 1))) < 4 or values.min() <= 0.0:
        return None
    top_um = float(heights_um[values.argmax()])
    aside_um = heights_um - top_um
    near = np.abs(aside_um) <= MOST_ASIDE_UM
    if not (aside_um[near].max() >= LEAST_ASIDE_UM and aside_um[near].min() <= -LEAST_ASIDE_UM):
        return None
    x_um, logs = aside_um[near], np.log(values[near])
    weights = values[near] / values.max() + LEAST_WEIGHT
    weights /= weights.sum()
    peaks_um = np.arange(-PEAK_REACH_UM, PEAK_REACH_UM + 1e-9, PEAK_STEP_UM)
    shape = -2.0 * np.log1p(
        ((x_um[None, None] - peaks_um[:, None, None]) / np.array(WIDTHS_UM)[None, :, None]) ** 2
    )
    left = logs - shape
    left -= (left * weights).sum(axis=2, keepdims=True)
    costs = ((left**2) * weights).sum(axis=2)
    row, column = np.unravel_index(int(costs.argmin()), costs.shape)
    at_end = row in (0, len(peaks_um) - 1) or column in (0, len(WIDTHS_UM) - 1)
    if at_end or math.sqrt(float(costs[row, column])) > MAX_MISFIT:
        return None
    return scale * (top_um + float(peaks_um[row]))


def _begun(before: Learned, gain: float, is_up: bool) -> Learned:
    """`before`, with one more of the first gains in a direction."""
    if is_up:
        return msgspec.structs.replace(before, first_up=(*before.first_up, gain))
    return msgspec.structs.replace(before, first_down=(*before.first_down, gain))


_SUDDEN = "the optics changed suddenly"


def _sudden(values: Sequence[float], least: float, name: str) -> str:
    """What is to be said about a sudden change of the latest values; "" without one."""
    before, latest = values[:-N_SUDDEN], values[-N_SUDDEN:]
    if len(before) < N_LEAST:
        return ""
    middle = float(np.median(before))
    scatter = 1.4826 * float(np.median(np.abs(np.array(before) - middle)))
    away = np.array(latest) - middle
    if np.abs(away).min() <= max(least, 4.0 * scatter) or abs(np.sign(away).sum()) < N_SUDDEN:
        return ""
    return (
        f"{_SUDDEN}: {name} {middle:.2f} became {np.median(latest):.2f} from one field to the next. Check objective, "
        "condenser and slide, then run `parfocal calibrate optics`."
    )


def _followed(now: float, wanted: Sequence[float], step: float, most: float) -> float:
    """`now`, moved towards the median of what fields called for by at most `step`; within `most` of 0."""
    if len(wanted) < N_LEAST:
        return now
    middle = float(np.median(wanted))
    scatter = 1.4826 * float(np.median(np.abs(np.array(wanted) - middle)))
    # The median of n values is uncertain by 1.25 of their scatter over the root of n.
    if abs(middle - now) <= 2.0 * 1.25 * scatter / math.sqrt(len(wanted)):
        return now
    return float(np.clip(now + np.clip(middle - now, -step, step), -most, most))
