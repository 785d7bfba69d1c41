"""Features of patches of several kinds, collected plane by plane."""

import numpy as np

from tools.arrays import FloatArray
from tools.learning.data.features import Features
from tools.rendering import seen


class Columns:
    """Features by kind of patch, as they come."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[np.ndarray, ...]]] = {}

    def add(
        self,
        kind: str,
        spectral: FloatArray,
        pooled: FloatArray,
        patches: seen.Patches,
        condenser: float,
        plane: int,
    ) -> None:
        """Add the features, spectral and pooled, of n patches of one plane."""
        n = len(patches)
        self._rows.setdefault(kind, []).append(
            (
                spectral.reshape(n, -1),
                pooled.reshape(n, -1),
                patches.distance_um,
                patches.contrast,
                np.full(n, condenser, np.float32),
                np.array(patches.groups),
                np.full(n, plane),
            )
        )

    def features(self) -> dict[str, Features]:
        """Return all features, by kind of patch; a kind without patches is missing."""
        return {
            kind: Features(*(np.concatenate(column) for column in zip(*rows, strict=True)))
            for kind, rows in self._rows.items()
        }
