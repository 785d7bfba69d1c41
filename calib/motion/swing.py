"""How long an axis swings after a move: a damped oscillation fitted to where the stage was in single frames.

Frames come too rarely to follow one swing, so the same move is made many times, each time at another moment of the
camera's free run.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

Floats = NDArray[np.float64]

MIN_MOVES = 8
N_GROUPS = 8  # of moves, left out in turn for the interval
TAUS_S = np.geomspace(0.002, 0.4, 48)
RATES_HZ = np.concatenate(([0.0], np.geomspace(3.0, 200.0, 110)))
REFINED = 5  # rounds, each three times as fine
MIN_SIGNAL = (
    3.0  # a swing must exceed the noise by this factor to be fitted; else the axis is at rest at once
)
MAX_MISFIT = 0.5  # what the fit may leave unexplained of the squared displacements, as a share
MAX_UNCERTAINTY_SHARE = 0.35
MAX_UNCERTAINTY_S = 0.01  # a short settle time may be less certain than its share


class Swing(msgspec.Struct, frozen=True):
    """Where the stage was in frames after one move, um from where it came to rest, `since_s` after the last step."""

    since_s: tuple[float, ...]
    away_um: tuple[float, ...]


class SettleFit(msgspec.Struct, frozen=True):
    """After `settle_s` the stage stays within `limit_um`; half the width of the 95 % interval; and the swing fitted.

    `tau_s` and `rate_hz` are 0 where no damped swing explains what was seen.
    """

    settle_s: float
    uncertainty_s: float
    limit_um: float
    amplitude_um: float
    tau_s: float
    rate_hz: float


def fit_settle(swings: Sequence[Swing], limit_um: float, error_share: float) -> SettleFit:
    """The settle time from the same move made many times.

    `error_share`: by what share of the settle time it may be off, however many moves agree.

    Raises CalibPoor where the stage does not come to rest, or the interval is too wide;
    ValueError for too few moves.
    """
    if len(swings) < MIN_MOVES:
        raise ValueError(f"{len(swings)} moves given: it takes {MIN_MOVES} or more")
    since_s = np.concatenate([np.array(swing.since_s) for swing in swings])
    away_um = np.concatenate([np.array(swing.away_um) for swing in swings])
    move = np.concatenate([np.full(len(swing.since_s), k) for k, swing in enumerate(swings)])
    late = since_s > np.quantile(since_s, 0.6)
    noise_um = float(np.sqrt(np.mean(away_um[late] ** 2)))
    if noise_um > limit_um:
        raise CalibPoor(
            f"the stage does not come to rest: {since_s[late].min():.2f} s and more after a move it is still "
            f"{noise_um:.2f} um away on average, more than {limit_um:.2f} um. Keep the table still, look for something "
            "loose, or choose a field with more structure."
        )
    if float(np.abs(away_um).max()) < max(limit_um, MIN_SIGNAL * noise_um):
        return SettleFit(0.0, 0.0, limit_um, float(np.abs(away_um).max()), 0.0, 0.0)
    tau_s, rate_hz = _fitted(since_s, away_um, _grid())
    amplitude_um, left = _amplitude_um(since_s, away_um, tau_s, rate_hz)
    outside = np.abs(away_um) > limit_um + MIN_SIGNAL * noise_um
    last_s = float(since_s[outside].max()) if outside.any() else 0.0
    if left > MAX_MISFIT:
        # No spring: what was seen must do. The stage came to rest between the last frame outside and the next one.
        later = since_s[since_s > last_s]
        gap_s = float(later.min() - last_s) if len(later) else 0.0
        seen_um = float(np.abs(away_um).max())
        return SettleFit(last_s + gap_s / 2.0, max(gap_s, error_share * last_s), limit_um, seen_um, 0.0, 0.0)
    # The swing may not be a single one: what was seen outside the limit counts, too.
    settle_s = max(_settle_s(amplitude_um, tau_s, limit_um), last_s)
    scatter_s = _jackknifed_s((since_s, away_um, move), (tau_s, rate_hz), limit_um)
    spread_s = math.hypot(scatter_s, error_share * settle_s)
    if spread_s > max(MAX_UNCERTAINTY_SHARE * settle_s, MAX_UNCERTAINTY_S):
        raise CalibPoor(
            f"settle time of {settle_s:.3f} +- {spread_s:.3f} s refused: its moves differ. Keep the table still, "
            "choose a field with more structure."
        )
    return SettleFit(settle_s, spread_s, limit_um, amplitude_um, tau_s, rate_hz)


def _settle_s(amplitude_um: float, tau_s: float, limit_um: float) -> float:
    return max(0.0, tau_s * math.log(max(amplitude_um, 1e-12) / limit_um))


def _grid() -> tuple[Floats, Floats]:
    taus_s, rates_hz = np.meshgrid(TAUS_S, RATES_HZ, indexing="ij")
    return taus_s.ravel(), rates_hz.ravel()


def _around(tau_s: float, rate_hz: float, width: float) -> tuple[Floats, Floats]:
    """A finer grid around a swing, `width` as a share."""
    shares = np.linspace(-width, width, 7)
    taus_s, rates_hz = np.meshgrid(tau_s * (1.0 + shares), rate_hz * (1.0 + shares), indexing="ij")
    return taus_s.ravel(), rates_hz.ravel()


def _fitted(since_s: Floats, away_um: Floats, grid: tuple[Floats, Floats]) -> tuple[float, float]:
    """Decay time and frequency of the swing that explains the displacements best."""
    tau_s, rate_hz = _best(since_s, away_um, grid)
    width = 0.12
    for _ in range(REFINED):
        tau_s, rate_hz = _best(since_s, away_um, _around(tau_s, rate_hz, width))
        width /= 2.5
    return tau_s, rate_hz


def _best(since_s: Floats, away_um: Floats, grid: tuple[Floats, Floats]) -> tuple[float, float]:
    """The pair of the grid with the least left unexplained; both waves are fitted linearly."""
    best, found = math.inf, (float(grid[0][0]), float(grid[1][0]))
    for start in range(
        0, len(grid[0]), 512
    ):  # a part at a time: the arrays have a column for each displacement
        taus_s, rates_hz = (values[start : start + 512, None] for values in grid)
        cosine, sine = _waves(since_s[None, :], taus_s, rates_hz)
        cc, ss, cs = (cosine**2).sum(1), (sine**2).sum(1), (cosine * sine).sum(1)
        cy, sy = cosine @ away_um, sine @ away_um
        ridge = 1e-9 * (cc + ss) + 1e-30
        determinant = (cc + ridge) * (ss + ridge) - cs**2
        explained = ((ss + ridge) * cy**2 - 2.0 * cs * cy * sy + (cc + ridge) * sy**2) / determinant
        k = int(explained.argmax())
        if -explained[k] < best:
            best, found = -float(explained[k]), (float(taus_s[k, 0]), float(rates_hz[k, 0]))
    return found


def _amplitude_um(since_s: Floats, away_um: Floats, tau_s: float, rate_hz: float) -> tuple[float, float]:
    """Amplitude of the swing at the last step, and the share of the squared displacements that it leaves."""
    design = np.stack(_waves(since_s, np.array(tau_s), np.array(rate_hz)), axis=1)
    found, *_ = np.linalg.lstsq(design, away_um, rcond=1e-9)
    left_um = away_um - design @ found
    return float(np.hypot(*found)), float((left_um**2).sum() / max((away_um**2).sum(), 1e-30))


def _waves(since_s: Floats, tau_s: Floats, rate_hz: Floats) -> tuple[Floats, Floats]:
    decay = np.exp(-since_s / tau_s)
    phase = 2.0 * np.pi * rate_hz * since_s
    return decay * np.cos(phase), decay * np.sin(phase)


def _jackknifed_s(
    seen: tuple[Floats, Floats, NDArray[np.int_]], start: tuple[float, float], limit_um: float
) -> float:
    """Half the 95 % interval of the settle time, from leaving out an eighth of the moves in turn."""
    since_s, away_um, move = seen
    times_s = []
    for group in range(N_GROUPS):
        kept = move % N_GROUPS != group
        tau_s, rate_hz = _fitted(since_s[kept], away_um[kept], _around(*start, 0.3))
        times_s.append(
            _settle_s(_amplitude_um(since_s[kept], away_um[kept], tau_s, rate_hz)[0], tau_s, limit_um)
        )
    variance = (N_GROUPS - 1) * float(np.var(times_s))
    return half_width_95(variance, N_GROUPS - 1)
