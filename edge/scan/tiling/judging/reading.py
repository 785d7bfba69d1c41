"""How single shots read on one slide: a constant, which may change from place to place, and a gain near the focus."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KEPT = 80
# All um of distances here are those of 20x/0.75, and through another objective as many depths of field.
# Shipped models said 1.6 to 2.2 times the distance within 1 um of the focus, and the right one from 2.3 um on
# (docs/scan.md).
GAIN_SIGMA = 0.5  # of the gain, before anything is known
GAINS = (1.0, 2.5)  # no model said too little
# By what a single shot says: the gain holds up to the first, and there is none from the second.
NEAR_UM, FAR_UM = 1.5, 3.0
MIN_SIGMA_UM = 0.25  # of single shots within 2 um of the focus (engines/models/single-20x.md: 0.25 to 0.4 um)
# What is tried for how far the constant changes from place to place, over what way, and how much single shots scatter
# about it, um. Tissue of one stain changes within millimetres and by little; another stain may lie beside it.
LOCAL_SIGMAS_UM, REACHES_UM, SCATTERS_UM = (0.2, 0.4, 0.8), (1500.0, 4000.0), (MIN_SIGMA_UM, 0.35, 0.5, 0.7)
TELLS = 1.0  # by how much the logarithm of the likelihood must grow for the constant to change twice as far
N_FITS = 5  # each with less weight on what lies far off
WRONG = 4.685  # standard deviations beyond which a field does not count for the gain
STRANGE = 3.5  # and beyond which it does not count for the constant nearby, held against the fields around it
N_LEFT_OUT = 4  # times that such fields are looked for


class Known(msgspec.Struct, frozen=True):
    """What a single shot said of a picture whose focus is known, um: said, true, and where on the slide."""

    told_um: float
    true_um: float
    x_um: float
    y_um: float


class _Line(NamedTuple):
    """What single shots say over what is true."""

    gain: float
    constant_um: float


class _Field(NamedTuple):
    """By what the constant differs from place to place: a Gaussian process about that of the slide."""

    x_um: Floats
    y_um: Floats
    weights: Floats
    inverse: Floats
    sigma_um: float
    reach_um: float
    scatter_um: float

    def at(self, place_um: tuple[float, float]) -> tuple[float, float]:
        """The difference at a place and its standard uncertainty, um."""
        apart_um = np.hypot(self.x_um - place_um[0], self.y_um - place_um[1])
        to_place = self.sigma_um**2 * np.exp(-0.5 * (apart_um / self.reach_um) ** 2)
        variance = self.sigma_um**2 - float(to_place @ self.inverse @ to_place)
        return float(to_place @ self.weights), math.sqrt(max(0.0, variance))


class Reading:
    """Learns how single shots read, and corrects what they say.

    What it learns is kept in um through 20x/0.75: `scale` is the depth of field over that of this objective.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._known: deque[Known] = deque(maxlen=KEPT)
        self._fitted: tuple[_Line, _Field] | None = None

    @property
    def known(self) -> tuple[Known, ...]:
        """What was learned, to be kept for a scan that is continued."""
        return tuple(self._known)

    @property
    def gain(self) -> float:
        """How many times the distance single shots say near the focus."""
        return self._fit[0].gain

    @property
    def scatter_um(self) -> float:
        """Standard deviation of what single shots say about what they say on average there, um."""
        return self._fit[1].scatter_um * self._scale

    @property
    def is_alike(self) -> bool:
        """Whether the constant is nearly the same everywhere."""
        return self._fit[1].sigma_um <= LOCAL_SIGMAS_UM[0]

    def learn(self, known: Iterable[Known]) -> None:
        """Learn from pictures whose focus is known to lie within a depth of field."""
        self._known.extend(known)
        self._fitted = None

    def distance_um(self, told_um: float, place_um: tuple[float, float]) -> float:
        """How far the focus is, where a single shot says `told_um` of a picture taken at a place of the slide."""
        from_constant_um = told_um - self.constant_um(place_um)
        beyond_um = abs(from_constant_um) / self._scale - NEAR_UM
        share = float(np.clip(beyond_um / (FAR_UM - NEAR_UM), 0.0, 1.0))
        return from_constant_um * ((1.0 - share) / self.gain + share)

    def constant_um(self, place_um: tuple[float, float]) -> float:
        """What a single shot says of a picture that is in focus at a place of the slide."""
        line, field = self._fit
        return (line.constant_um + field.at(place_um)[0]) * self._scale

    def constant_sigma_um(self, place_um: tuple[float, float]) -> float:
        """Standard uncertainty of `constant_um`."""
        return self._fit[1].at(place_um)[1] * self._scale

    @property
    def _fit(self) -> tuple[_Line, _Field]:
        if self._fitted is None:
            told_um, true_um, x_um, y_um = (
                np.array([getattr(known, name) for known in self._known], np.float64)
                for name in ("told_um", "true_um", "x_um", "y_um")
            )
            told_um, true_um = told_um / self._scale, true_um / self._scale
            line = _line_of(told_um, true_um)
            left_um = told_um - line.constant_um - line.gain * true_um
            self._fitted = line, _field_of(left_um, x_um, y_um)
        return self._fitted


def scatter_of(values: Floats) -> float:
    """Standard deviation about zero of values (n,), a few wrong ones among them."""
    return 1.4826 * float(np.median(np.abs(values)))


def _line_of(told_um: Floats, true_um: Floats) -> _Line:
    """A line through what was said over what is true, by least squares with few wrong ones among them."""
    if not len(told_um):
        return _Line(1.0, 0.0)
    line = _Line(1.0, float(np.median(told_um - true_um)))
    for _ in range(N_FITS):
        left_um = told_um - line.constant_um - line.gain * true_um
        scatter_um = max(MIN_SIGMA_UM, scatter_of(left_um))
        # As Tukey weights them.
        weight = np.square(1.0 - np.square(np.clip(left_um / (WRONG * scatter_um), -0.99, 0.99)))
        true_mean_um, left_mean_um = (
            float(np.average(v, weights=weight)) for v in (true_um, told_um - true_um)
        )
        about_um = true_um - true_mean_um
        slope = float((weight * about_um) @ (told_um - true_um)) / (
            float((weight * about_um) @ about_um) + (scatter_um / GAIN_SIGMA) ** 2
        )
        gain = float(np.clip(1.0 + slope, *GAINS))
        line = _Line(gain, left_mean_um - (gain - 1.0) * true_mean_um)
    return line


def _field_of(left_um: Floats, x_um: Floats, y_um: Floats) -> _Field:
    """The differences from place to place that foretell each field best from the others, wrong ones left out."""
    field, deviations = _likeliest(left_um, x_um, y_um)
    for _ in range(N_LEFT_OUT):
        counts = np.abs(deviations) < STRANGE
        if counts.all():
            break
        left_um, x_um, y_um = left_um[counts], x_um[counts], y_um[counts]
        field, deviations = _likeliest(left_um, x_um, y_um)
    if not len(deviations):
        return field
    # Of few that are tried, held against how far they lie off: one field far off may have had a large one chosen.
    scatter_um = scatter_of(deviations) * field.scatter_um
    return field._replace(scatter_um=max(MIN_SIGMA_UM, scatter_um))


def _likeliest(left_um: Floats, x_um: Floats, y_um: Floats) -> tuple[_Field, Floats]:
    """Of all that are tried, and by how many standard deviations each field lies off what the others foretell."""
    squared_um = np.square(x_um[:, None] - x_um) + np.square(y_um[:, None] - y_um)
    found = list[tuple[float, _Field, Floats]]()
    for doublings, sigma_um in enumerate(LOCAL_SIGMAS_UM):
        for reach_um, scatter_um in itertools.product(REACHES_UM, SCATTERS_UM):
            covariance = sigma_um**2 * np.exp(-0.5 * squared_um / reach_um**2)
            inverse = np.asarray(np.linalg.inv(covariance + scatter_um**2 * np.eye(len(left_um))), np.float64)
            weights, precision = inverse @ left_um, np.diag(inverse)
            deviations = weights / np.sqrt(precision)
            likely = 0.5 * (np.log(precision) - np.square(np.clip(deviations, -STRANGE, STRANGE))).sum()
            field = _Field(x_um, y_um, weights, inverse, sigma_um, reach_um, scatter_um)
            found.append((float(likely) - TELLS * doublings, field, deviations))
    _, field, deviations = max(found, key=lambda each: each[0])
    return field, deviations
