"""The curve of a tunable lens: current against defocus (liao2021 appendix D).

At each current the motor of Z finds the focal plane. A lens that brings it nearer does what a rise of the stage would
do. The currents rise, fall, rise and fall. The two directions differ by the hysteresis of the lens, their times by a
drift. One smooth curve, the hysteresis and the drift are fitted together.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

Floats = NDArray[np.float64]

ORDER = 5  # of the curve; liao2021 Fig. 7 shows a line that bends a little
HYSTERESIS_ORDER = 2
N_UNKNOWN = ORDER + 1 + HYSTERESIS_ORDER + 1 + 1  # and the drift
N_KNOTS = 97
# Where the curve is less steep than this share of its median, the lens or its driver gives no more.
MIN_SLOPE_SHARE = 0.2
# All um are those of 20x/0.75, and as many depths of field through another objective.
MIN_REACH_UM = (
    10.0  # less than the range of a model: the lens does nothing, or is not in the way of the light
)
MAX_RESIDUAL_UM = 0.3
MAX_UNCERTAINTY_UM = 0.3
# What scatter does not show: where the shots of a peak happen to lie, the screw of Z along a turn, and a lens that
# warms up faster than it drifts (python -m tests.bench.lens).
PLANE_ERROR_UM = 0.1


class FocalPlane(msgspec.Struct, frozen=True):
    """Where the focus was found at a current, um of the Z axis; `is_rising`: the current had risen before."""

    current_ma: float
    z_um: float
    is_rising: bool
    time_s: float


class LensFit(msgspec.Struct, frozen=True):
    """The curve on which heights rise: what the lens adds at each current, um, 0 at no current.

    `uncertainty_um` is half the 95 % interval of the curve where it is widest, `residual_um` the root mean square of
    `residuals_um`, which are those of the focal planes in their order. `play_um`: the largest hysteresis.
    """

    currents_ma: tuple[float, ...]
    heights_um: tuple[float, ...]
    uncertainty_um: float
    residual_um: float
    play_um: float
    play_uncertainty_um: float
    um_per_ma: float
    um_per_ma_uncertainty: float
    drift_um_per_min: float
    residuals_um: tuple[float, ...]


def fit_lens(planes: Sequence[FocalPlane], scale: float = 1.0) -> LensFit:
    """The curve from focal planes at rising and falling currents.

    `scale`: depth of field over that of 20x/0.75.

    Raises CalibPoor for a lens that does nothing, a curve that turns back or goes flat, large residuals and a wide
    interval; ValueError for too few planes.
    """
    rising = np.array([plane.is_rising for plane in planes])
    if len(planes) < N_UNKNOWN + 3 or min(rising.sum(), (~rising).sum()) < ORDER + 1:
        raise ValueError(f"{len(planes)} focal planes given: it takes {N_UNKNOWN + 3}, in both directions")
    current_ma = np.array([plane.current_ma for plane in planes])
    heights_um = -np.array([plane.z_um for plane in planes])
    times_s = np.array([plane.time_s for plane in planes])
    low_ma, high_ma = float(current_ma.min()), float(current_ma.max())
    _check_steps(current_ma, heights_um, scale * MIN_REACH_UM)
    x = _scaled(current_ma, low_ma, high_ma)
    is_upward = bool(np.polyfit(x, heights_um, 1)[0] > 0.0)
    # Heights rise with rising or with falling currents. The other direction lags behind by the hysteresis.
    lags = np.where(rising == is_upward, 0.0, 1.0)
    design = np.concatenate(
        [
            chebyshev.chebvander(x, ORDER),
            chebyshev.chebvander(x, HYSTERESIS_ORDER) * lags[:, None],
            (times_s - times_s.mean())[:, None],
        ],
        axis=1,
    )
    found, *_ = np.linalg.lstsq(design, heights_um, rcond=None)
    residuals_um = heights_um - design @ found
    degrees = len(planes) - N_UNKNOWN
    covariance = np.linalg.inv(design.T @ design) * float((residuals_um**2).sum()) / degrees
    knots_ma = np.linspace(low_ma, high_ma, N_KNOTS)
    at = _scaled(knots_ma, low_ma, high_ma)
    rows = chebyshev.chebvander(at, ORDER) - chebyshev.chebvander(
        _scaled(np.zeros(1), low_ma, high_ma), ORDER
    )
    n_curve, n_lag = ORDER + 1, HYSTERESIS_ORDER + 1
    curve_um = rows @ found[:n_curve]
    worst_um = float(np.abs(residuals_um).max())
    if worst_um > scale * MAX_RESIDUAL_UM:
        where_ma = float(current_ma[int(np.abs(residuals_um).argmax())])
        raise CalibPoor(
            f"curve of the lens refused: at {where_ma:g} mA it is {worst_um:.2f} um away from a smooth one, at most "
            f"{scale * MAX_RESIDUAL_UM:.3g} um. Raise lens.settle_s, let the lens warm up, keep the table still."
        )
    _check_monotone(curve_um)
    variance = np.einsum("ij,jk,ik->i", rows, covariance[:n_curve, :n_curve], rows)
    error_um, most_um = scale * PLANE_ERROR_UM, scale * MAX_UNCERTAINTY_UM
    uncertainty_um = float(np.hypot(half_width_95(float(variance.max()), degrees), error_um))
    if uncertainty_um > most_um:
        raise CalibPoor(
            f"curve of the lens refused: its interval is +-{uncertainty_um:.2f} um, and must be "
            f"+-{most_um:.3g} um or less. Choose a field with more structure, keep the table still."
        )
    play_um, play_uncertainty_um = _hysteresis(
        at,
        found[n_curve : n_curve + n_lag],
        covariance[n_curve : n_curve + n_lag, n_curve : n_curve + n_lag],
        degrees,
        error_um,
    )
    slope, slope_variance = _slope(found, covariance, low_ma, high_ma)
    order = slice(None) if is_upward else slice(None, None, -1)
    return LensFit(
        tuple(knots_ma[order].tolist()),
        tuple(curve_um[order].tolist()),
        uncertainty_um,
        float(np.sqrt((residuals_um**2).mean())),
        play_um,
        play_uncertainty_um,
        slope,
        half_width_95(slope_variance, degrees),
        60.0 * float(found[-1]),
        tuple(residuals_um.tolist()),
    )


def _scaled(current_ma: Floats, low_ma: float, high_ma: float) -> Floats:
    """-1 to 1 from the lowest to the highest current."""
    return (2.0 * current_ma - low_ma - high_ma) / (high_ma - low_ma)


def _check_steps(current_ma: Floats, heights_um: Floats, least_um: float) -> None:
    """Refuse a lens that does nothing, or that goes flat or turns back at one of the currents."""
    currents_ma, of_current = np.unique(current_ma, return_inverse=True)
    means_um = np.bincount(of_current, heights_um) / np.bincount(of_current)
    steps = np.diff(means_um) / np.diff(currents_ma)
    usual = float(np.median(steps))
    reach_um = abs(usual) * float(currents_ma[-1] - currents_ma[0])
    if reach_um < least_um:
        raise CalibPoor(
            f"curve of the lens refused: from {currents_ma[0]:g} to {currents_ma[-1]:g} mA the focus moves by "
            f"{reach_um:.1f} um, less than {least_um:.3g} um. Check that the lens is in the way of the light and its "
            "cable is plugged in, or widen lens.min_ma and lens.max_ma."
        )
    weak = np.flatnonzero(steps / usual < MIN_SLOPE_SHARE)
    if len(weak):
        # The one nearest to no current: what lies beyond it is of no use.
        first = int(weak[np.abs(currents_ma[weak] + currents_ma[weak + 1]).argmin()])
        turns = "turns back" if (steps[weak] / usual).min() < -MIN_SLOPE_SHARE else "goes flat"
        raise CalibPoor(
            f"curve of the lens refused: it {turns} between {currents_ma[first]:g} and {currents_ma[first + 1]:g} mA. "
            "The lens or its driver gives no more there: set lens.min_ma and lens.max_ma closer to 0."
        )


def _check_monotone(curve_um: Floats) -> None:
    """Refuse a fitted curve that has no inverse."""
    steps = np.diff(curve_um)
    if not (steps.min() > 0.0 or steps.max() < 0.0):
        raise CalibPoor(
            "curve of the lens refused: no curve that only rises or only falls explains its focal planes. Raise "
            "lens.settle_s, let the lens warm up, or set lens.min_ma and lens.max_ma closer to 0."
        )


def _hysteresis(
    at: Floats, found: Floats, covariance: Floats, degrees: int, error_um: float
) -> tuple[float, float]:
    """The widest part of the loop, um, and half its 95 % interval. Noise may make it negative: then it is 0.

    `error_um`: what scatter does not show.
    """
    rows = chebyshev.chebvander(at, HYSTERESIS_ORDER)
    # On the way down the lens stands higher than on the way up, at the same current.
    widths_um = rows @ found
    widest = int(widths_um.argmax())
    variance = float(rows[widest] @ covariance @ rows[widest])
    return max(0.0, float(widths_um[widest])), float(np.hypot(half_width_95(variance, degrees), error_um))


def _slope(found: Floats, covariance: Floats, low_ma: float, high_ma: float) -> tuple[float, float]:
    """The slope at no current, um per mA, and its variance."""
    zero = _scaled(np.zeros(1), low_ma, high_ma)
    per_ma = 2.0 / (high_ma - low_ma)
    row = np.array(
        [
            chebyshev.chebval(zero, chebyshev.chebder(np.eye(ORDER + 1)[k]))[0] * per_ma
            for k in range(ORDER + 1)
        ]
    )
    n_curve = ORDER + 1
    return float(row @ found[:n_curve]), float(row @ covariance[:n_curve, :n_curve] @ row)
