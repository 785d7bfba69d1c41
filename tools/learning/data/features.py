"""The inputs of the head for every patch, computed once: the body is frozen, and a head sees each patch many times."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tools.arrays import FloatArray
from tools.learning.data import batches
from tools.learning.data.examples import Examples
from tools.networks.focus import FocusNet

BATCH = 16


@dataclass(frozen=True)
class Features:
    """Arrays over n patches. `condenser` is NaN if unknown; `plane` is the same number for all patches of a plane."""

    spectral: FloatArray
    pooled: FloatArray
    distance_um: FloatArray
    contrast: FloatArray
    condenser: FloatArray
    group: NDArray[np.str_]
    plane: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.distance_um)

    def near(self, distance_um: float) -> "Features":
        """Return the patches that are at most so far from the focus."""
        chosen = np.abs(self.distance_um) <= distance_um
        return Features(*(column[chosen] for column in vars(self).values()))


def features_of(net: FocusNet, examples: Examples, device: str) -> Features:
    """Return the features of whole patches, as the microscope feeds them."""
    net.eval()
    spectral, pooled = [], []
    with torch.no_grad():
        for start in range(0, len(examples), BATCH):
            chosen = range(start, min(start + BATCH, len(examples)))
            parts = net.parts(batches.whole(examples, chosen, device))
            spectral.append(parts[0].cpu().numpy())
            pooled.append(parts[1].cpu().numpy())
    return Features(
        np.concatenate(spectral),
        np.concatenate(pooled),
        np.array(examples.distance_um, np.float32),
        np.array(examples.contrast, np.float32),
        np.array([np.nan if sigma is None else sigma for sigma in examples.condenser], np.float32),
        np.array(examples.group),
        np.array(examples.plane),
    )


def without_maps(features: Features) -> Features:
    """Return features for a head that reads the spectra alone."""
    return replace(features, pooled=features.pooled[:, :0])


def together(parts: list[Features]) -> Features:
    """Concatenate parts. Planes of different parts get different numbers."""
    joined = [np.concatenate(arrays) for arrays in zip(*(vars(p).values() for p in parts), strict=True)]
    numbers = [np.unique(part.plane, return_inverse=True)[1] for part in parts]
    before = np.cumsum([0, *(n.max() + 1 for n in numbers)])
    whole = Features(*joined)
    return replace(
        whole, plane=np.concatenate([n + first for n, first in zip(numbers, before, strict=False)])
    )
