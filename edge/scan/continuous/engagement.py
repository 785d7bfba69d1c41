"""How far the stage stands beside its command where Z is engaged downwards: what the measured play leaves, learned."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from parfocal.edge.scan.tiling.judging.reading import scatter_of

MIN_PICTURES = 10  # in either engagement, before they tell
KEPT_PICTURES = 200
# Neighbouring tiles share the error of where their focus was expected, so so many of them count as one.
ALIKE = 4.0


class Engagement:
    """Learns it from the pictures of sweeps: what those of one engagement say of the focus, beside those of the other.

    The play is one number for a whole scan. Rows alternate, so a place where Z falls lies beside others where it rises.
    """

    def __init__(self, play_sigma_um: float) -> None:
        """`play_sigma_um`: standard uncertainty of the measured play of Z."""
        self._play_sigma_um = play_sigma_um
        self._rising_um: deque[float] = deque(maxlen=KEPT_PICTURES)
        self._falling_um: deque[float] = deque(maxlen=KEPT_PICTURES)

    def learn(self, above_um: float, is_falling: bool) -> None:
        """Learn from a picture: by what it shows, the stage stood `above_um` above its command."""
        (self._falling_um if is_falling else self._rising_um).append(above_um)

    @property
    def above_um(self) -> float:
        """How far the stage stands above its command where Z falls, drawn to zero while that is not certain."""
        return self._told()[0]

    @property
    def sigma_um(self) -> float:
        """Standard uncertainty of `above_um`."""
        return self._told()[1]

    def _told(self) -> tuple[float, float]:
        n_least = min(len(self._rising_um), len(self._falling_um))
        if n_least < MIN_PICTURES or self._play_sigma_um == 0.0:
            return 0.0, self._play_sigma_um
        (rising_um, rising_sigma_um), (falling_um, falling_sigma_um) = (
            _middle(values) for values in (self._rising_um, self._falling_um)
        )
        told, known = rising_sigma_um**2 + falling_sigma_um**2, self._play_sigma_um**2
        share = known / (known + told)
        return share * (falling_um - rising_um), math.sqrt(share * told)


def _middle(values: deque[float]) -> tuple[float, float]:
    """The median and its standard uncertainty."""
    array = np.array(values)
    middle = float(np.median(array))
    return middle, 1.25 * scatter_of(array - middle) * math.sqrt(ALIKE / len(array))
