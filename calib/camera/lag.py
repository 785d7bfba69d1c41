"""How much of a picture is of the frame before it, told by the noise of frames in a row: noise reduction over time.

The noise of a sensor is another one in every frame. A camera that mixes each frame with what it gave before, as a
recursive filter does (y_k = lag * y_(k-1) + (1 - lag) * x_k), gives frames whose noise is alike: that of two frames n
apart correlates by lag ** n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MIN_FRAMES: Final = 6
MIN_VARIANCE: Final = 0.02  # of the noise, grey levels squared: less is hidden by the steps of 8 bits
STEPS_VARIANCE: Final = 1.0 / 12.0  # of the rounding to whole levels, another one in every frame
LAGS_FROM: Final = 0.15
_TRIED: Final = np.linspace(0.0, 0.98, 197)


def lag_of(pictures: Sequence[NDArray[np.float64]], frames_apart: float = 1.0) -> float | None:
    """The share of the frame before in each picture, 0 to 1; None where there is too little noise to tell.

    `pictures`: of the same place at rest under the same light, (h, w, 3), `frames_apart` frames of the camera from one
    to the next. Raises ValueError for fewer than `MIN_FRAMES` pictures.
    """
    n = len(pictures)
    if n < MIN_FRAMES:
        raise ValueError(f"{n} pictures given: it takes {MIN_FRAMES} or more")
    means = np.array([picture.mean(axis=(0, 1)) for picture in pictures])
    levels = np.stack(
        [picture * (means.mean(axis=0) / mean) for picture, mean in zip(pictures, means, strict=True)]
    )
    noise = (levels - levels.mean(axis=0)).reshape(n, -1)
    # What stays the same in all pictures is gone, and with it the mean of the noise, in the model as well.
    centred = np.eye(n) - 1.0 / n
    alike = noise @ noise.T / noise.shape[1] - STEPS_VARIANCE * centred
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    found = []
    for share in _TRIED:
        model = centred @ share**apart @ centred
        variance = float((alike * model).sum() / (model * model).sum())
        found.append((float(((alike - variance * model) ** 2).sum()), float(share), variance))
    _, share, variance = min(found)
    return None if variance < MIN_VARIANCE else float(share ** (1.0 / max(frames_apart, 1.0)))
