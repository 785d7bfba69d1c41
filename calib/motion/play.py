"""The play of a Z gear from focus curves in both directions (dastidar2020 4.1; boddeke1997).

A curve is sharpness against commanded height. Upwards the gear carries the stage on one flank, downwards on the
other, and the stage then stands above its command by the play. So the peak of a downward curve lies lower by the play.
Curves in the order up, down, down, up cancel a linear drift.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

Floats = NDArray[np.float64]
Direction = Literal["up", "down"]

MIN_POINTS = 7
# A share of the pixels of a shot that are white in every channel. Beyond it the tissue itself is clipped.
MAX_WHITE_SHARE = 0.5
# How far a curve must fall from its peak to each of its ends, as a share of the peak. An empty field is flat but for
# a few per cent of noise.
MIN_FALL = 0.25
# A second peak counts if it rises above the valley between them by this share of the height of the first.
SECOND_PEAK_SHARE = 0.1
TOP_SHARE = 0.5  # the peak is fitted to the points above this share of its height
MIN_TOP_POINTS = 5
# Part of a step by which the fitted peak of an asymmetric curve may depend on where its points happen to lie.
PHASE_ERROR_STEPS = 0.1
# Through 20x/0.75, half its depth of field, and as many depths of field through another objective: the stage stands off
# by what the play is wrong by, which blurs as much then, and a curve as many times as wide tells its peak no better.
MAX_UNCERTAINTY_UM = 0.5
N_UNKNOWN = 3  # focus, drift, play


class FocusCurve(msgspec.Struct, frozen=True):
    """Sharpness against commanded height, in the order in which the shots were taken.

    `z_um`, `sharpness` and `white_share` have one value for each shot; sharpness is in any unit, `white_share` is the
    share of the pixels that are saturated, 0..1. `time_s` is the time in the middle of the curve.
    """

    direction: Direction
    z_um: tuple[float, ...]
    sharpness: tuple[float, ...]
    white_share: tuple[float, ...]
    time_s: float


class Peak(msgspec.Struct, frozen=True):
    """The peak of a curve and its standard error, um."""

    z_um: float
    error_um: float


class PlayFit(msgspec.Struct, frozen=True):
    """The play, with half the width of its 95 % interval, and what else the curves say."""

    play_um: float
    uncertainty_um: float
    drift_um_per_min: float
    peaks_um: tuple[float, ...]


def fit_play(curves: Sequence[FocusCurve], scale: float = 1.0) -> PlayFit:
    """The play from at least four curves, two or more in each direction.

    `scale`: depth of field over that of 20x/0.75.

    Raises CalibPoor where a curve is saturated, flat, has two peaks or none inside, or the interval is too wide;
    ValueError for too few curves.
    """
    down = np.array([curve.direction == "down" for curve in curves], np.float64)
    if len(curves) <= N_UNKNOWN or min(down.sum(), len(curves) - down.sum()) < 2:
        raise ValueError(f"{len(curves)} curves given: it takes four or more, two in each direction")
    peaks = [peak_of(curve) for curve in curves]
    times_s = np.array([curve.time_s for curve in curves])
    z_um = np.array([peak.z_um for peak in peaks])
    design = np.stack([np.ones(len(curves)), times_s - times_s.mean(), -down], axis=1)
    found, *_ = np.linalg.lstsq(design, z_um, rcond=None)
    degrees = len(curves) - N_UNKNOWN
    scatter = float(((z_um - design @ found) ** 2).sum()) / degrees
    expected = float(np.mean([peak.error_um**2 for peak in peaks]))
    variance = max(scatter, expected) * float(np.linalg.inv(design.T @ design)[2, 2])
    step_um = float(np.median(np.abs(np.diff(curves[0].z_um))))
    uncertainty_um = float(np.hypot(half_width_95(variance, degrees), PHASE_ERROR_STEPS * step_um))
    play_um = float(found[2])
    most_um = MAX_UNCERTAINTY_UM * scale
    if uncertainty_um > most_um:
        raise CalibPoor(
            f"play of {play_um:.2f} +- {uncertainty_um:.2f} um refused: the interval must be "
            f"+-{most_um:.3g} um or less. The peaks of {len(curves)} curves scatter: keep the table still, "
            "let the microscope warm up, choose a field with more structure."
        )
    if play_um < -uncertainty_um:
        raise CalibPoor(
            f"play of {play_um:.2f} +- {uncertainty_um:.2f} um refused: it cannot be negative. The motor loses steps, "
            "or the stage still moves while shots are taken: lower board.z.speed_um_per_s, raise board.z.settle_s."
        )
    return PlayFit(max(0.0, play_um), uncertainty_um, 60.0 * float(found[1]), tuple(z_um.tolist()))


def peak_of(curve: FocusCurve) -> Peak:
    """The peak to a fraction of a step: a parabola through the logarithm of the upper half of the curve.

    Raises CalibPoor as `check_curve`, ValueError for too few points.
    """
    check_curve(curve)
    z_um, values = _ascending(curve)
    middle_um = z_um[int(values.argmax())]
    chosen = _top(values)
    x_um, logs = z_um[chosen] - middle_um, np.log(np.maximum(values[chosen], 1e-12))
    # The curve falls faster on one side of the focus. A cubic follows it; a parabola would move with the points.
    order = 3 if len(x_um) > MIN_TOP_POINTS else 2
    coefficients, residuals, *_ = np.polyfit(x_um, logs, order, full=True)
    vertex_um = _vertex_um(coefficients, x_um)
    if vertex_um is None:
        raise CalibPoor(_refused(curve, "its top is not a peak"))
    spare = len(x_um) - order - 1
    noise = float(residuals[0]) / spare if len(residuals) and spare else 0.0
    slopes = np.vander(x_um, order + 1)
    error_um = 0.0
    if noise > 0.0:
        covariance = np.linalg.inv(slopes.T @ slopes) * noise
        powers = np.arange(order, 0, -1)
        slope = np.append(
            powers * vertex_um ** (powers - 1.0), 0.0
        )  # how the derivative depends on the coefficients
        bend = float(np.polyval(np.polyder(coefficients, 2), vertex_um))
        error_um = float(np.sqrt(slope @ covariance @ slope)) / abs(bend)
    return Peak(float(middle_um + vertex_um), error_um)


def check_curve(curve: FocusCurve) -> None:
    """Refuse a curve that has no single clear peak inside.

    Raises CalibPoor with the reason, ValueError for too few points.
    """
    if len(curve.z_um) < MIN_POINTS:
        raise ValueError(f"{len(curve.z_um)} points given: a focus curve takes {MIN_POINTS} or more")
    if max(curve.white_share) > MAX_WHITE_SHARE:
        why = f"it is saturated ({100.0 * max(curve.white_share):.0f} % of the picture is white)"
        raise CalibPoor(_refused(curve, why, "Lower camera.exposure_s or scan.lamp_duty."))
    _, values = _ascending(curve)
    top = float(values.max())
    fall = 1.0 - values / top if top > 0.0 else np.zeros_like(values)
    if fall.max() < MIN_FALL:
        why = f"it is flat: it falls by only {100.0 * fall.max():.0f} %"
        raise CalibPoor(
            _refused(curve, why, "Choose a field with structure: scan.origin_x_um, scan.origin_y_um.")
        )
    for end, name in ((0, "lower"), (-1, "upper")):
        if fall[end] < MIN_FALL:
            raise CalibPoor(_refused(curve, f"it is still high at its {name} end"))
    if (second_um := _second_peak_um(curve)) is not None:
        why = f"it has a second peak at {second_um:.1f} um"
        raise CalibPoor(_refused(curve, why, "Choose a thinner part of the sample, without dust or folds."))


def _second_peak_um(curve: FocusCurve) -> float | None:
    """Where a second peak lies that is too high for noise; None without one."""
    z_um, values = _ascending(curve)
    top = int(values.argmax())
    least = SECOND_PEAK_SHARE * float(values[top] - values.min())
    # On each side, away from the top: the deepest valley so far, and how far the curve rises above it again.
    for side in (np.arange(top, len(values)), np.arange(top, -1, -1)):
        rise = values[side] - np.minimum.accumulate(values[side])
        if rise.max() > least:
            return float(z_um[side[int(rise.argmax())]])
    return None


def _ascending(curve: FocusCurve) -> tuple[Floats, Floats]:
    """Heights, ascending, and sharpness."""
    z_um, values = np.array(curve.z_um, np.float64), np.array(curve.sharpness, np.float64)
    order = np.argsort(z_um)
    return z_um[order], values[order]


def _top(values: Floats) -> slice:
    """The points around the highest that lie above `TOP_SHARE` of the height, at least `MIN_TOP_POINTS`."""
    top, base = int(values.argmax()), float(values.min())
    low = values < base + TOP_SHARE * (values[top] - base)
    below, above = np.flatnonzero(low[:top]), np.flatnonzero(low[top:])
    first = int(below[-1]) + 1 if len(below) else 0
    last = top + int(above[0]) if len(above) else len(values)
    missing = max(0, MIN_TOP_POINTS - (last - first))
    first = max(0, min(first - (missing + 1) // 2, len(values) - MIN_TOP_POINTS))
    return slice(first, max(last, first + MIN_TOP_POINTS))


def _vertex_um(coefficients: Floats, x_um: Floats) -> float | None:
    """The maximum of a polynomial among the points it was fitted to; None without one."""
    slope = np.polyder(coefficients)
    real = [root.real for root in np.roots(slope) if abs(root.imag) < 1e-9]
    inside = [x for x in real if x_um[0] <= x <= x_um[-1] and np.polyval(np.polyder(slope), x) < 0.0]
    return max(inside, key=lambda x: float(np.polyval(coefficients, x)), default=None)


def _refused(curve: FocusCurve, why: str, remedy: str = "Choose another field, or another slide.") -> str:
    low_um, high_um = min(curve.z_um), max(curve.z_um)
    where = (
        f"{'upward' if curve.direction == 'up' else 'downward'} focus curve of {low_um:.1f}..{high_um:.1f} um"
    )
    return f"{where} refused: {why}. {remedy}"
