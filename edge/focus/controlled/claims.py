"""What a single shot claims, corrected by what earlier claims on the same slide were off by. Pure functions.

A single-shot model errs mostly by an offset and a factor that one slide or instrument has in common. So a line is
fitted to claimed and true distances (Bayesian linear regression with a normal prior). What is left, and what the line
itself is uncertain by, is the uncertainty of the next claim. Nothing is taken from the card of a model: it was measured
on other slides.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec
import numpy as np

# Standard deviation of offset, um, and factor before anything is known. Uncalibrated condensers of 0.3 to 0.9 of the
# objective give offsets up to 1 um and factors of 0.6 to 1.6.
OFFSET_UM, FACTOR = 1.0, 0.4
# Before anything is measured, claims scatter by this about the line, um; it counts as much as three records. On seven
# slides they scatter by 0.1 to 0.35 um.
SCATTER_UM, SCATTER_RECORDS = 0.25, 3.0
# Claims this far apart say less about each other (standard deviation of a bell curve): the line is a local one. Claims
# of a large distance may be farther apart.
NEAR_UM, NEAR_SHARE = 1.5, 0.5
# A claim needs this many records in its neighbourhood: a line through fewer fits whatever they are.
MIN_RECORDS = 3.0
ROUNDS = 3  # the scatter depends on the line, and the line on the scatter


class Claim(msgspec.Struct, frozen=True):
    """What a single shot says, corrected by the errors of earlier ones: distance to focus, and its uncertainty."""

    distance_um: float
    sigma_um: float


class Record(msgspec.Struct, frozen=True):
    """A distance that a single shot claimed, and the true one by what was found later.

    `sigma_um` is the uncertainty that the model told, None if it tells none.
    """

    claimed_um: float
    true_um: float
    sigma_um: float | None = None


def corrected(claimed_um: float, sigma_um: float | None, records: Sequence[Record]) -> Claim | None:
    """The claim by a line through `records`; None if too few of them are of its size.

    `sigma_um`: the uncertainty that the model tells. It holds for any slide, most of it is taken out here; but where a
    picture makes the model less certain than others did, the claim is less certain too.
    """
    claimed = np.array([record.claimed_um for record in records], np.float64)
    errors = np.array([record.true_um for record in records], np.float64) - claimed
    near_um = max(NEAR_UM, NEAR_SHARE * abs(claimed_um))
    weights = np.exp(-0.5 * ((claimed - claimed_um) / near_um) ** 2)
    if float(weights.sum()) < MIN_RECORDS:
        return None
    sums = _Sums(
        *(float(weights @ of) for of in (np.ones(len(claimed)), claimed, claimed**2)),
        *(float(weights @ of) for of in (errors, errors * claimed, errors**2)),
    )
    variance = SCATTER_UM**2
    line = _line(sums, variance)
    for _ in range(ROUNDS):
        misfit = sums.misfit(line)
        variance = (SCATTER_RECORDS * SCATTER_UM**2 + misfit) / (SCATTER_RECORDS + sums.one)
        line = _line(sums, variance)
    known = [record.sigma_um for record in records if record.sigma_um is not None]
    excess = max(1.0, sigma_um / median(known)) if sigma_um is not None and known else 1.0
    return Claim(
        claimed_um + line.at_um(claimed_um), excess * math.sqrt(variance + line.variance_at(claimed_um))
    )


class _Line(NamedTuple):
    """Offset and excess factor of a line, and their covariance."""

    offset_um: float
    factor: float
    of_offset: float
    of_both: float
    of_factor: float

    def at_um(self, claimed_um: float) -> float:
        return self.offset_um + self.factor * claimed_um

    def variance_at(self, claimed_um: float) -> float:
        return self.of_offset + 2.0 * claimed_um * self.of_both + claimed_um**2 * self.of_factor


class _Sums(NamedTuple):
    """Weighted sums over records: of 1, x and x squared (the claims), of y, xy and y squared (their errors)."""

    one: float
    x: float
    xx: float
    y: float
    xy: float
    yy: float

    def misfit(self, line: _Line) -> float:
        """Weighted sum of the squared distances from the line."""
        a, b = line.offset_um, line.factor
        squares = (
            self.yy
            - 2.0 * (a * self.y + b * self.xy)
            + a * a * self.one
            + 2.0 * a * b * self.x
            + b * b * self.xx
        )
        return max(squares, 0.0)


def _line(sums: _Sums, variance: float) -> _Line:
    """The most likely line for errors that scatter by `variance`. In plain numbers: arrays of 2 x 2 take longer."""
    of_one = sums.one / variance + OFFSET_UM**-2.0
    of_x, of_xx = sums.x / variance, sums.xx / variance + FACTOR**-2.0
    determinant = of_one * of_xx - of_x * of_x
    offset, both, factor = of_xx / determinant, -of_x / determinant, of_one / determinant
    y, xy = sums.y / variance, sums.xy / variance
    return _Line(offset * y + both * xy, both * y + factor * xy, offset, both, factor)
