"""What a single shot claims, corrected by what earlier claims on the same slide were off by. Pure functions.

A single-shot model errs mostly by what one slide or instrument has in common, and differently at each distance. So its
error is taken for a smooth function of the claim: an offset, a factor and a wave about them (Gaussian process
regression). Where records are near, they say what a claim is off by; far from all of them the claim stands as it is,
and is less certain. Nothing is taken from the card of a model: it was measured on other slides.
"""

import math
from collections.abc import Sequence
from statistics import median

import msgspec
import numpy as np
from numpy.typing import NDArray

# Standard deviation of the error before anything is known: its offset, um, its factor, and a wave of so many um and so
# long, um. Measured at the reference, on seven slides of ten places, -12 to +12 um. Condensers that the model does not
# know have larger factors; what their records are off by then makes every claim less certain.
OFFSET_UM, FACTOR, WAVE_UM, LENGTH_UM = 1.0, 0.1, 0.35, 2.0
# Claims of one size scatter by this from place to place, um. What a field's records are held against, the focus by a
# pair, is off by this for all of them.
SCATTER_UM, FIELD_UM = 0.2, 0.2
# The standard deviations above count as much as so many records. With 3, two fields made a bad model believed.
SCALE_RECORDS = 6.0
MIN_RECORDS = 3  # one field that a pair has settled

FloatArray = NDArray[np.float64]


class Claim(msgspec.Struct, frozen=True):
    """What a single shot says, corrected by the errors of earlier ones: distance to focus, and its uncertainty."""

    distance_um: float
    sigma_um: float


class Record(msgspec.Struct, frozen=True):
    """A distance that a single shot claimed, and the true one by what was found later.

    `sigma_um` is the uncertainty that the model told, None if it tells none. Records of one `field` have the error of
    their true distance in common.
    """

    claimed_um: float
    true_um: float
    sigma_um: float | None = None
    field: int = 0


def corrected(claimed_um: float, sigma_um: float | None, records: Sequence[Record]) -> Claim | None:
    """The claim, corrected by what `records` were off by; None if there are too few of them.

    `sigma_um`: the uncertainty that the model tells. It holds for any slide, most of it is taken out here; but where a
    picture makes the model less certain than others did, the claim is less certain too.
    """
    if len(records) < MIN_RECORDS:
        return None
    claimed = np.array([record.claimed_um for record in records], np.float64)
    errors = np.array([record.true_um for record in records], np.float64) - claimed
    to_claim = _covariance(claimed, claimed_um)
    fields = np.array([record.field for record in records])
    among = _covariance(claimed, claimed[:, None]) + SCATTER_UM**2 * np.eye(len(claimed))
    among += FIELD_UM**2 * (fields[:, None] == fields)
    explained = np.linalg.solve(among, np.stack([errors, to_claim], axis=1))
    error_um, known = (float(v) for v in to_claim @ explained)
    variance = OFFSET_UM**2 + (FACTOR * claimed_um) ** 2 + WAVE_UM**2 + SCATTER_UM**2 - known
    variance *= (SCALE_RECORDS + float(errors @ explained[:, 0])) / (SCALE_RECORDS + len(claimed))
    told = [record.sigma_um for record in records if record.sigma_um is not None]
    excess = max(1.0, sigma_um / median(told)) if sigma_um is not None and told else 1.0
    return Claim(claimed_um + error_um, excess * math.sqrt(variance))


def _covariance(one_um: FloatArray, other_um: FloatArray | float) -> FloatArray:
    """Covariance of the errors of two claims, before anything is known, um squared."""
    wave: FloatArray = np.exp(-0.5 * ((one_um - other_um) / LENGTH_UM) ** 2)
    return OFFSET_UM**2 + FACTOR**2 * one_um * other_um + WAVE_UM**2 * wave
