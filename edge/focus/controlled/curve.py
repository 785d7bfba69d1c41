"""Where the focus of a field is by the sharpness of its shots, on a slide whose focus curve is known. Pure functions.

The fields of one slide differ in how sharp they are, but not in how sharpness falls with the distance from the sharpest
plane: at the reference, on seven slides, the share that is left 3 um away differs by 1 to 5 %. So the sharpness of two
shots of one field tells where its focus lies, without any model. Fields that pairs have verified tell the width of the
curve and how far its peak lies above the focus; a calibration of the loop tells the latter too.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.controlled.claims import FIELD_UM, Claim
from parfocal.edge.focus.judging.depth import REFERENCE_DEPTH_UM
from parfocal.edge.focus.judging.rule import Seen

# All um here are those of 20x/0.75, and through another objective as many depths of field.
# The curve is a squared Lorentzian (`parfocal.calib.models.learning`). Its widths, in depths of field, and the heights
# of its peak above the focus that are held possible.
WIDTHS, ABOVES_UM = np.geomspace(1.8, 7.0, 20), np.arange(-1.5, 2.55, 0.1)
# What is believed before a field was seen, with standard deviations. At the reference the width is 3.0 to 4.3 depths of
# field, and the peak is 0.31 to 0.39 um above the plane of least wavefront variance, on seven slides; with condensers
# of 0.75 and 0.45 0.23 to 0.31 and 0.48 to 0.63.
WIDTH, WIDTH_SHARE = 3.4, 0.2
ABOVE_UM, ABOVE_SIGMA_UM = 0.35, 0.2
# After `parfocal calibrate focus`. The loop repeats within 0.12 um, and slides differ by as little.
CALIBRATED_SIGMA_UM = 0.1
# By how much the logarithm of a ratio of sharpness is off the curve: by so much, and by this share of it.
NOISE, SHARE = 0.02, 0.08
# Two shots are compared if they are so far apart. Farther from the focus noise fills the tail of the curve.
LEAST_APART_UM, MOST_APART_UM = 0.4, 5.0
# A field that lies on no such curve counts for one that is so unlikely, and no more: half of its sum of squares.
MOST_UNLIKELY = 8.0
# A distance is searched as far from the claim as three of its uncertainties and this.
REACH_UM = 1.5

FloatArray = NDArray[np.float64]


class Curve(msgspec.Struct, frozen=True, eq=False):
    """The focus curve of a slide: its width, um, and how far its peak is above the focus, with a standard deviation.

    `belief` (widths, aboves) is the logarithm of how likely each of `WIDTHS` and `ABOVES_UM` is. `is_calibrated`:
    whether the height of the peak was measured before. `depth_um`: depth of field.
    """

    width_um: float
    above_um: float
    above_sigma_um: float
    belief: FloatArray
    is_calibrated: bool
    depth_um: float

    @property
    def scale(self) -> float:
        """Depth of field over that of 20x/0.75."""
        return self.depth_um / REFERENCE_DEPTH_UM


def curve_before(depth_um: float, above_um: float | None = None) -> Curve:
    """The curve before a field was seen. `above_um`: its peak above the focus, if a calibration has told."""
    scale = depth_um / REFERENCE_DEPTH_UM
    known_um = (ABOVE_UM, ABOVE_SIGMA_UM) if above_um is None else (above_um / scale, CALIBRATED_SIGMA_UM)
    belief = -0.5 * np.square(np.log(WIDTHS / WIDTH) / WIDTH_SHARE)[:, None]
    belief = belief - 0.5 * np.square((ABOVES_UM - known_um[0]) / known_um[1])[None, :]
    return _by(belief, depth_um, above_um is not None)


def curve_after(curve: Curve, seen: Sequence[Seen], focus_um: float) -> Curve:
    """The curve after a field with the shots `seen`, whose focus a pair has put at `focus_um`."""
    most_um, least_um = MOST_APART_UM * curve.scale, LEAST_APART_UM * curve.scale
    seen = [one for one in seen if abs(one.z_um - focus_um) <= most_um and one.sharpness > 0.0]
    heights_um = np.array([one.z_um for one in seen], np.float64)
    if len(seen) < 2 or np.ptp(heights_um) < least_um:
        return curve
    logs = np.log([one.sharpness for one in seen])
    top = int(logs.argmax())
    ratios = logs - logs[top]
    away_um = (heights_um - focus_um)[None, None, :] - curve.scale * ABOVES_UM[None, :, None]
    fallen = _fallen(away_um, WIDTHS[:, None, None] * curve.depth_um)
    off = fallen - fallen[:, :, top : top + 1] - ratios
    squares = np.square(off / np.hypot(NOISE, SHARE * ratios)).sum(axis=2)
    likely = np.exp(-np.minimum(0.5 * (squares - squares.min()), MOST_UNLIKELY))
    blur = np.exp(-0.5 * np.square((ABOVES_UM[:, None] - ABOVES_UM[None, :]) / FIELD_UM))
    belief = curve.belief + np.log(likely @ (blur / blur.sum(axis=0)))
    return _by(belief, curve.depth_um, curve.is_calibrated)


def claim_by_sharpness(
    curve: Curve, seen: Sequence[Seen], near: Claim, least_apart_um: float | None = None
) -> Claim | None:
    """The distance to focus from the last of `seen` by their sharpness, about where `near` puts it.

    None if all of them were taken at about the same height, less than `least_apart_um` apart, by default 0.4 um through
    20x/0.75.
    """
    final, most_apart_um = seen[-1], MOST_APART_UM * curve.scale
    least_apart_um = LEAST_APART_UM * curve.scale if least_apart_um is None else least_apart_um
    others = [
        one
        for one in seen
        if least_apart_um <= abs(one.z_um - final.z_um) <= most_apart_um and one.sharpness > 0.0
    ]
    if not others or final.sharpness <= 0.0:
        return None
    reach_um = 3.0 * near.sigma_um + REACH_UM * curve.scale
    distances_um = near.distance_um + np.linspace(-reach_um, reach_um, 121)
    of_final = _fallen(-distances_um - curve.above_um, curve.width_um)
    squares = np.zeros_like(distances_um)
    for one in others:
        ratio = math.log(one.sharpness / final.sharpness)
        of_other = _fallen(one.z_um - final.z_um - distances_um - curve.above_um, curve.width_um)
        squares += np.square((of_other - of_final - ratio) / math.hypot(NOISE, SHARE * ratio))
    # From far on one side two distances explain a ratio: the one that is nearer to the claim counts.
    squares += np.square((distances_um - near.distance_um) / (0.5 * reach_um))
    weights = np.exp(-0.5 * (squares - squares.min()))
    distance_um, variance = _mean(weights, distances_um)
    return Claim(distance_um, math.sqrt(variance + curve.above_sigma_um**2))


def _by(belief: FloatArray, depth_um: float, is_calibrated: bool) -> Curve:
    """The mean of what is believed."""
    weights = np.exp(belief - belief.max())
    above_um, variance = _mean(weights.sum(axis=0), ABOVES_UM)
    log_width, _ = _mean(weights.sum(axis=1), np.log(WIDTHS))
    scale = depth_um / REFERENCE_DEPTH_UM
    above_um, sigma_um = scale * above_um, scale * math.sqrt(variance)
    return Curve(math.exp(log_width) * depth_um, above_um, sigma_um, belief, is_calibrated, depth_um)


def _mean(weights: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Weighted mean and variance."""
    total = weights.sum()
    mean = float((weights * values).sum() / total)
    return mean, float((weights * np.square(values - mean)).sum() / total)


def _fallen(above_um: FloatArray, width_um: FloatArray | float) -> FloatArray:
    """Logarithm of the share of sharpness that is left so far above the sharpest plane."""
    fallen: FloatArray = -2.0 * np.log1p(np.square(above_um / width_um))
    return fallen
