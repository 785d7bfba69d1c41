"""The fastest safe speed and acceleration of a motor: both raised together until it loses steps, less a margin.

A stepper loses steps beyond a line between speed and acceleration that nobody knows exactly: it depends on the motor,
its current, its supply and what it carries. The pair is raised in the proportion in which it is configured; a share of
1 is the configured pair.
"""

import math
from collections.abc import Sequence

import msgspec

from parfocal.calib.errors import CalibPoor

FIRST_SHARE, MIN_SHARE = 0.5, 0.25
# What everything but a trial runs at, until the limit is known.
SLOW_SHARE = 0.25
RAISED_BY = 1.3
# The search ends when the highest share that held and the lowest that did not are this close.
RESOLUTION = 1.04
# Friction grows with age and cold: what is used is this share of what held.
MARGIN = 0.8


class RatesTrial(msgspec.Struct, frozen=True):
    """A pair that was tried, as a share of the configured one, and how far the stage was from its place afterwards.

    `lost_um` is infinite where the place was not found again; None where the board refused the pair and nothing moved.
    """

    share: float
    lost_um: float | None
    has_held: bool


class FastestFit(msgspec.Struct, frozen=True):
    """What is safe, as a share of the configured pair, with half its 95 % interval.

    `held` is the highest share that held, `failed` the lowest above it that did not.
    """

    share: float
    uncertainty: float
    held: float
    failed: float


def held_share(trials: Sequence[RatesTrial]) -> float:
    """The highest share that held, below every one that did not; 0 if none did."""
    failed = _failed_share(trials)
    return max((one.share for one in trials if one.has_held and one.share < failed), default=0.0)


def next_share(trials: Sequence[RatesTrial]) -> float | None:
    """What to try next; None when the limit is known well enough, or even the slowest pair loses steps."""
    failed, held = _failed_share(trials), held_share(trials)
    if held == 0.0:
        slower = FIRST_SHARE if failed == math.inf else failed / RAISED_BY**2
        return slower if slower >= MIN_SHARE else None
    if failed == math.inf:
        return held * RAISED_BY
    return None if failed <= held * RESOLUTION else math.sqrt(held * failed)


def fit_fastest(axis: str, trials: Sequence[RatesTrial]) -> FastestFit:
    """What is safe, from finished trials. Raises CalibPoor where nothing held."""
    failed, held = _failed_share(trials), held_share(trials)
    if held == 0.0 or failed == math.inf:
        raise CalibPoor(
            f"no safe speed of {axis}: even {100.0 * min(one.share for one in trials):.0f} % of the configured one "
            f"loses steps. Check the motor's current and supply and that the axis runs freely, or lower "
            f"board.{axis}.speed_um_per_s and board.{axis}.accel_um_per_s2."
        )
    return FastestFit(MARGIN * held, MARGIN * (failed - held), held, failed)


def _failed_share(trials: Sequence[RatesTrial]) -> float:
    return min((one.share for one in trials if not one.has_held), default=math.inf)
