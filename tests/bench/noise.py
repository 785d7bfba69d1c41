"""Normal noise for simulated shots, a tenth of the cost of new numbers.

Not for what registers pictures with each other: two shots may share a stretch, which a registration finds.
"""

import math

import numpy as np
from numpy.typing import NDArray

POOL = 2**21  # three shots of 452 x 452 px


class NoisePool:
    """Standard normal numbers, drawn once. Each shot takes a stretch of them from a random place."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._pool = rng, rng.standard_normal(POOL, np.float32)

    def of(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Numbers of this shape, not to be changed."""
        n = math.prod(shape)
        first = int(self._rng.integers(0, POOL - n + 1))
        return self._pool[first : first + n].reshape(shape)
