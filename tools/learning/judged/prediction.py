"""Predictions of a network for examples."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tools.arrays import FloatArray
from tools.learning.data import batches
from tools.learning.data.examples import Examples


def predict(net: nn.Module, examples: Examples, device: str, chosen: NDArray[np.int64]) -> FloatArray:
    """Return the predictions for whole patches, distance_um float32 (n,). `chosen` holds their indices."""
    net.eval()
    with torch.no_grad():
        parts = [
            net(batches.whole(examples, part, device)).cpu().numpy()
            for part in np.array_split(chosen, max(1, len(chosen) // 16))
        ]
    return np.concatenate(parts).astype(np.float32)
