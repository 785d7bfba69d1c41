"""How single shots read on one slide: a constant, which may change from place to place, and a gain near the focus."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

KEPT = 60
# Shipped models said 1.6 to 2.2 times the distance within 1 um of the focus, and the right one from 2.3 um on
# (docs/scan.md).
GAIN_SIGMA = 0.5  # of the gain, before anything is known
GAINS = (1.0, 2.5)  # no model said too little
# By what a single shot says: the gain holds up to the first, and there is none from the second.
NEAR_UM, FAR_UM = 1.5, 3.0
MIN_SIGMA_UM = 0.25  # of single shots within 2 um of the focus (engines/models/single-20x.md: 0.25 to 0.4 um)
REACH_UM = 1500.0  # over which the constant stays alike; tissue changes within millimetres
LOCAL_SIGMA_UM = 0.2  # by which it changes from place to place
N_FITS = 5  # each with less weight on what lies far off
WRONG = 4.685  # standard deviations beyond which it does not count


class Known(msgspec.Struct, frozen=True):
    """What a single shot said of a picture whose focus is known, um: said, true, and where on the slide."""

    told_um: float
    true_um: float
    x_um: float
    y_um: float


class Reading:
    """Learns how single shots read, and corrects what they say."""

    def __init__(self) -> None:
        self._known: deque[Known] = deque(maxlen=KEPT)
        self._fit()

    @property
    def known(self) -> tuple[Known, ...]:
        """What was learned, to be kept for a scan that is continued."""
        return tuple(self._known)

    def learn(self, known: Iterable[Known]) -> None:
        """Learn from pictures whose focus is known to lie within a depth of field."""
        self._known.extend(known)
        self._fit()

    def distance_um(self, told_um: float, place_um: tuple[float, float]) -> float:
        """How far the focus is, where a single shot says `told_um` of a picture taken at a place of the slide."""
        from_constant_um = told_um - self.constant_um(place_um)
        share = float(np.clip((abs(from_constant_um) - NEAR_UM) / (FAR_UM - NEAR_UM), 0.0, 1.0))
        return from_constant_um * ((1.0 - share) / self.gain + share)

    def constant_um(self, place_um: tuple[float, float]) -> float:
        """What a single shot says of a picture that is in focus at a place of the slide."""
        if not self._known:
            return 0.0
        apart_um = np.hypot(self._x_um - place_um[0], self._y_um - place_um[1])
        weight = np.exp(-0.5 * (apart_um / REACH_UM) ** 2)
        noise = (self.scatter_um / LOCAL_SIGMA_UM) ** 2
        return self._constant_um + float(weight @ self._left_um) / (float(weight.sum()) + noise)

    def _fit(self) -> None:
        """A line through what was said over what is true, by least squares with few wrong ones among them."""
        self.gain, self._constant_um, self.scatter_um = 1.0, 0.0, MIN_SIGMA_UM
        told_um, true_um, self._x_um, self._y_um = (
            np.array([getattr(known, name) for known in self._known])
            for name in ("told_um", "true_um", "x_um", "y_um")
        )
        self._left_um: Floats = told_um
        if not self._known:
            return
        self._constant_um = float(np.median(told_um - true_um))
        for _ in range(N_FITS):
            self._left_um = told_um - self._constant_um - self.gain * true_um
            self.scatter_um = max(MIN_SIGMA_UM, 1.4826 * float(np.median(np.abs(self._left_um))))
            # As Tukey weights them.
            weight = np.square(
                1.0 - np.square(np.clip(self._left_um / (WRONG * self.scatter_um), -0.99, 0.99))
            )
            true_mean_um, left_mean_um = (
                float(np.average(v, weights=weight)) for v in (true_um, told_um - true_um)
            )
            about_um = true_um - true_mean_um
            slope = float((weight * about_um) @ (told_um - true_um)) / (
                float((weight * about_um) @ about_um) + (self.scatter_um / GAIN_SIGMA) ** 2
            )
            self.gain = float(np.clip(1.0 + slope, *GAINS))
            self._constant_um = left_mean_um - (self.gain - 1.0) * true_mean_um
        left_um = told_um - self._constant_um - self.gain * true_um
        self._left_um = np.where(np.abs(left_um) > WRONG * self.scatter_um, 0.0, left_um)
