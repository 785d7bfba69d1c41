"""What a single shot claims, corrected by what earlier claims on the same slide were off by. Pure functions.

A single-shot model errs mostly by what one slide or instrument has in common, and differently at each distance. So its
error is taken for a smooth function of the claim: an offset, a factor and a wave about them (Gaussian process
regression). Where records are near, they say what a claim is off by; far from all of them the claim stands as it is,
and is less certain. Nothing is taken from the card of a model: it was measured on other slides.
"""

import functools
import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

# All um here are those of 20x/0.75; through another objective claims err by as many depths of field (`depth_scale`).
# Standard deviation of the error before anything is known: its offset, um, its factor, and a wave of so many um and so
# long, um. Measured at the reference, on seven slides of twelve places, -12 to +12 um. Condensers that the model does
# not know have larger factors; what their records are off by then makes every claim less certain.
OFFSET_UM, FACTOR, WAVE_UM, LENGTH_UM = 1.0, 0.1, 0.45, 1.2
# Claims of one size scatter from place to place by the square of the uncertainty that the model tells, um per um^2, and
# at least by this, um: 0.04 um where it tells 0.25, 0.3 where it tells 0.55. By `SCATTER_UM` if it tells none.
SCATTER_PER_UM, LEAST_SCATTER_UM, SCATTER_UM = 1.0, 0.06, 0.2
# What a field's records are held against is off by this for all of them: the focus by a pair. Without a pair it is the
# focus by the sharpness of two shots, and then fields have the error of their common curve in common; or it is as good
# as unknown, and records tell by how much claims shrink on a known move, but nothing about their offset.
FIELD_UM, SHARED_UM, UNKNOWN_UM = 0.25, 0.1, 10.0
# The standard deviations above count as much as so many records. With 3, two fields made a bad model believed.
SCALE_RECORDS = 6.0
MIN_RECORDS = 3  # one field that a pair has settled
# Records that count; older ones are forgotten, as stain and thickness change along a slide.
KEPT_RECORDS, KEPT_OTHERS = 48, 32

FloatArray = NDArray[np.float64]


class Claim(msgspec.Struct, frozen=True):
    """What a single shot says, corrected by the errors of earlier ones: distance to focus, and its uncertainty."""

    distance_um: float
    sigma_um: float


class Record(msgspec.Struct, frozen=True):
    """A distance that a single shot claimed, and the true one by what was found later.

    `sigma_um` is the uncertainty that the model told, None if it tells none. Records of one `field` have the error of
    their true distance in common; `focus_sigma_um` is its standard deviation.
    """

    claimed_um: float
    true_um: float
    sigma_um: float | None = None
    field: int = 0
    focus_sigma_um: float = FIELD_UM


class _Prepared(NamedTuple):
    """What all claims need of the records: what they claimed, um, (n,), and the inverse of their covariance, (n, n).

    `weights` are its product with their errors, (n,). `unlikely` multiplies the variance of a claim: by how much the
    records lie farther apart than was expected.
    """

    claimed_um: FloatArray
    inverse: FloatArray
    weights: FloatArray
    unlikely: float


class ClaimErrors(msgspec.Struct, frozen=True, dict=True):
    """What claims were off by: records of fields that a pair has settled, `verified`, and those of `others`.

    `scale`: depth of field over that of 20x/0.75. What does not depend on the claim that is corrected is computed once,
    when the first one is.
    """

    verified: tuple[Record, ...] = ()
    others: tuple[Record, ...] = ()
    scale: float = 1.0

    @functools.cached_property
    def _prepared(self) -> _Prepared:
        n = len(self.verified)
        claimed_um, true_um, scatter_um, fields, focus_um = np.array(
            [
                (one.claimed_um, one.true_um, self._scatter_um(one.sigma_um), one.field, one.focus_sigma_um)
                for one in (*self.verified, *self.others)
            ],
            np.float64,
        ).T.copy()
        errors_um = true_um - claimed_um
        among = self._covariance(claimed_um, claimed_um[:, None])
        among += self._in_common(fields, focus_um, scatter_um)
        # Fields without a pair ended because their claims agreed, so they do not tell how well claims agree.
        misfit = float(errors_um[:n] @ np.linalg.solve(among[:n, :n], errors_um[:n]))
        inverse: FloatArray = np.linalg.inv(among).astype(np.float64, copy=False)
        unlikely = (SCALE_RECORDS + misfit) / (SCALE_RECORDS + n)
        return _Prepared(claimed_um, inverse, inverse @ errors_um, unlikely)

    def with_verified(self, records: tuple[Record, ...]) -> "ClaimErrors":
        """The errors with those of a field that a pair has settled."""
        verified = (*self.verified, *records)[-KEPT_RECORDS:]
        return ClaimErrors(verified, self.others, self.scale) if records else self

    def with_others(self, records: tuple[Record, ...]) -> "ClaimErrors":
        """The errors with those of a field that single shots settled."""
        others = (*self.others, *records)[-KEPT_OTHERS:]
        return ClaimErrors(self.verified, others, self.scale) if records else self

    def corrected(self, claimed_um: float, sigma_um: float | None) -> Claim | None:
        """The claim, corrected by what records were off by; None if too few of them are verified.

        `sigma_um`: the uncertainty that the model tells. It holds for any slide, and what slide and instrument have in
        common is taken out here.
        """
        if len(self.verified) < MIN_RECORDS:
            return None
        known = self._prepared
        to_claim = self._covariance(known.claimed_um, claimed_um)
        told = float(to_claim @ known.inverse @ to_claim)
        before = (OFFSET_UM**2 + WAVE_UM**2) * self.scale**2 + (FACTOR * claimed_um) ** 2
        variance = before + self._scatter_um(sigma_um) ** 2 - told
        return Claim(claimed_um + float(to_claim @ known.weights), math.sqrt(variance * known.unlikely))

    def _in_common(self, fields: FloatArray, focus_um: FloatArray, scatter_um: FloatArray) -> FloatArray:
        """Covariance of what records are held against, and of their scatter, um squared."""
        is_other = np.arange(len(fields)) >= len(self.verified)
        is_by_curve = is_other & (focus_um < UNKNOWN_UM * self.scale)
        shared_um = np.where(is_by_curve, SHARED_UM * self.scale, 0.0)
        common: FloatArray = np.outer(focus_um, focus_um) * (fields[:, None] == fields)
        common += np.outer(shared_um, shared_um) + np.diag(np.square(scatter_um))
        return common

    def _scatter_um(self, sigma_um: float | None) -> float:
        """By how much claims scatter from place to place where the model tells this uncertainty."""
        if sigma_um is None:
            return SCATTER_UM * self.scale
        return max(LEAST_SCATTER_UM * self.scale, SCATTER_PER_UM / self.scale * sigma_um**2)

    def _covariance(self, one_um: FloatArray, other_um: FloatArray | float) -> FloatArray:
        """Covariance of the errors of two claims, before anything is known, um squared."""
        wave: FloatArray = np.exp(-0.5 * ((one_um - other_um) / (LENGTH_UM * self.scale)) ** 2)
        return FACTOR**2 * one_um * other_um + (OFFSET_UM**2 + WAVE_UM**2 * wave) * self.scale**2


def together(*claims: Claim) -> Claim:
    """The mean of claims about the same distance, weighted by their certainty."""
    weights = [claim.sigma_um**-2.0 for claim in claims]
    total = sum(weights)
    mean_um = sum(weight * claim.distance_um for weight, claim in zip(weights, claims, strict=True)) / total
    return Claim(mean_um, total**-0.5)
