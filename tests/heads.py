"""Small heads for tests."""

import itertools

import numpy as np

from parfocal.engines.model.head import Head

HIDDEN = (6, 5, 4)


def made_head(
    features: int,
    *,
    takes_condenser: bool = False,
    tells_sigma: bool = False,
    tells_strangeness: bool = False,
    members: int = 3,
    seed: int = 1,
) -> Head:
    """Return a head with random weights, whose distances vary by some um."""
    random = np.random.default_rng(seed)
    sizes = (features + takes_condenser, *HIDDEN, 1 + tells_sigma)

    def drawn(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return random.normal(0.0, 0.8, shape).astype(np.float32)

    layers = tuple(
        (drawn(members, made, taken), drawn(members, made)) for taken, made in itertools.pairwise(sizes)
    )
    return Head(
        mean=drawn(sizes[0]),
        deviation=np.abs(drawn(sizes[0])) + np.float32(0.5),
        layers=layers,
        whitening=drawn(features - 1, features) if tells_strangeness else None,
        feature_mean=drawn(features) if tells_strangeness else None,
        strangeness_limit=2.5 if tells_strangeness else float("inf"),
    )
