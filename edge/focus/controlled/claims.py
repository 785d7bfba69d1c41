"""What a single shot claims, corrected by what earlier claims on the same slide were off by. Pure functions.

A single-shot model errs mostly by an offset and a factor that one slide or instrument has in common. So a line is
fitted to claimed and true distances (Bayesian linear regression with a normal prior). What is left, and what the line
itself is uncertain by, is the uncertainty of the next claim. Nothing is taken from the card of a model: it was measured
on other slides.
"""

import math
from collections.abc import Sequence
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

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
    true = np.array([record.true_um for record in records], np.float64)
    near_um = max(NEAR_UM, NEAR_SHARE * abs(claimed_um))
    weights = np.exp(-0.5 * ((claimed - claimed_um) / near_um) ** 2)
    counted = float(weights.sum())
    if counted < MIN_RECORDS:
        return None
    errors, at = true - claimed, np.array([1.0, claimed_um])
    design = np.column_stack([np.ones(len(claimed)), claimed])
    variance = SCATTER_UM**2
    line, covariance = _line(design, errors, weights, variance)
    for _ in range(ROUNDS):
        misfit = float(weights @ (errors - design @ line) ** 2)
        variance = (SCATTER_RECORDS * SCATTER_UM**2 + misfit) / (SCATTER_RECORDS + counted)
        line, covariance = _line(design, errors, weights, variance)
    known = [record.sigma_um for record in records if record.sigma_um is not None]
    excess = max(1.0, sigma_um / median(known)) if sigma_um is not None and known else 1.0
    return Claim(claimed_um + float(at @ line), excess * math.sqrt(variance + float(at @ covariance @ at)))


def _line(
    design: FloatArray, errors: FloatArray, weights: FloatArray, variance: float
) -> tuple[FloatArray, FloatArray]:
    """Offset and excess factor (2,) of the line, and their covariance (2, 2)."""
    precision = design.T @ (design * weights[:, None]) / variance + np.diag([OFFSET_UM**-2.0, FACTOR**-2.0])
    covariance: FloatArray = np.linalg.inv(precision)
    line: FloatArray = covariance @ (design.T @ (weights * errors)) / variance
    return line, covariance
