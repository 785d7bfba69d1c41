"""Where a drifting focus is: a Kalman filter over single predictions, robust against a few wrong ones. Pure functions.

The state is the height of the focus and its drift. A prediction far from what the state leads to is set aside. If
`AGREEING` in a row are set aside and agree with each other, the focus has jumped, and the filter begins anew there.
"""

import math

import msgspec
import numpy as np

from parfocal.edge.focus.judging.belief import SHARED_VARIANCE

AGREEING = 3  # predictions that must agree before they count: 0.1 s at 30 frames per second
SET_ASIDE_BEYOND = 3.0  # standard deviations of the difference between prediction and state
# How fast the drift changes, um/s per square root of a second: a stage that warms up, or a hand on the bench.
DRIFT_CHANGE = 0.2
FIRST_DRIFT_UM_PER_S = 1.0  # standard deviation of the drift of which nothing is known yet


class Prediction(msgspec.Struct, frozen=True):
    """One predicted height of the focus, um, its standard uncertainty, and when its frame was exposed, s."""

    time_s: float
    z_um: float
    sigma_um: float


class Track(msgspec.Struct, frozen=True):
    """Height and drift of the focus at `time_s`, with variances of both and their covariance.

    `n_agreeing` predictions in a row went into it. `aside` are those set aside since the last that did. `bias_um`: what
    the predictions at one height err by together, standard deviation. No number of them averages it away.
    """

    time_s: float
    z_um: float
    drift_um_per_s: float
    variance_z: float
    covariance: float
    variance_drift: float
    n_agreeing: int = 1
    aside: tuple[Prediction, ...] = ()
    bias_um: float = 0.0

    @property
    def sigma_um(self) -> float:
        """Standard uncertainty of the height, um."""
        return float(np.sqrt(self.variance_z))

    @property
    def sigma_drift_um_per_s(self) -> float:
        """Standard uncertainty of the drift, um/s."""
        return float(np.sqrt(self.variance_drift))

    @property
    def is_agreed(self) -> bool:
        """Whether enough predictions agree, and none after them disagrees."""
        return self.n_agreeing >= AGREEING and not self.aside

    def at_um(self, time_s: float) -> float:
        """Height at another time, if the drift goes on."""
        return self.z_um + self.drift_um_per_s * (time_s - self.time_s)


def begun(first: Prediction, drift_um_per_s: float = 0.0) -> Track:
    """A track of which one prediction is known."""
    return Track(
        first.time_s,
        first.z_um,
        drift_um_per_s,
        first.sigma_um**2,
        0.0,
        FIRST_DRIFT_UM_PER_S**2,
        bias_um=_bias_um(first),
    )


def followed(track: Track | None, seen: Prediction) -> Track:
    """The track after one more prediction, which must be later than the last."""
    if track is None:
        return begun(seen)
    ahead = _ahead(track, seen.time_s)
    gap_um = seen.z_um - ahead.z_um
    variance = ahead.variance_z + seen.sigma_um**2
    if abs(gap_um) <= SET_ASIDE_BEYOND * np.sqrt(variance):
        gain_z, gain_drift = ahead.variance_z / variance, ahead.covariance / variance
        return Track(
            time_s=seen.time_s,
            z_um=ahead.z_um + gain_z * gap_um,
            drift_um_per_s=ahead.drift_um_per_s + gain_drift * gap_um,
            variance_z=(1.0 - gain_z) * ahead.variance_z,
            covariance=(1.0 - gain_z) * ahead.covariance,
            variance_drift=ahead.variance_drift - gain_drift * ahead.covariance,
            n_agreeing=track.n_agreeing + 1,
            bias_um=_bias_um(seen),
        )
    aside = (*track.aside, seen)[-AGREEING:]
    if len(aside) == AGREEING and _agree(aside):
        jumped = begun(aside[0], track.drift_um_per_s)
        for later in aside[1:]:
            jumped = followed(jumped, later)
        if not jumped.aside:
            return jumped
    return msgspec.structs.replace(ahead, aside=aside)


def waited(track: Track) -> Track:
    """The track after a move: `AGREEING` new predictions must agree before the next one.

    At another height the predictions err by something else, which must not be taken for a drift.
    """
    variance_z = track.variance_z + 2.0 * track.bias_um**2
    return msgspec.structs.replace(track, n_agreeing=0, aside=(), variance_z=variance_z)


def _bias_um(seen: Prediction) -> float:
    return seen.sigma_um * math.sqrt(SHARED_VARIANCE)


def _ahead(track: Track, time_s: float) -> Track:
    """The track at a later time: less is known of it."""
    dt_s, change = time_s - track.time_s, DRIFT_CHANGE**2
    return msgspec.structs.replace(
        track,
        time_s=time_s,
        z_um=track.at_um(time_s),
        variance_z=track.variance_z
        + 2.0 * dt_s * track.covariance
        + dt_s**2 * track.variance_drift
        + change * dt_s**3 / 3.0,
        covariance=track.covariance + dt_s * track.variance_drift + change * dt_s**2 / 2.0,
        variance_drift=track.variance_drift + change * dt_s,
    )


def _agree(seen: tuple[Prediction, ...]) -> bool:
    middle_um = float(np.median([one.z_um for one in seen]))
    return all(abs(one.z_um - middle_um) <= SET_ASIDE_BEYOND * one.sigma_um for one in seen)
