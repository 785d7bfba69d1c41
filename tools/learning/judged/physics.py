"""Tests whether a network learned the direction from optics: inputs on which it must change its prediction."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.engines.model.contract import Kind
from tools.learning.data.examples import Examples
from tools.learning.judged import tables
from tools.learning.judged.prediction import predict
from tools.networks.standardising import standardised

BATCH = 16


def swapped_shots(patches: torch.Tensor, kind: Kind) -> torch.Tensor:
    """Return patches (n, channels, h, w), in grey levels, with first and second shot exchanged."""
    difference = patches[:, :3]
    if kind == "difference":
        return -difference
    return torch.cat([-difference, patches[:, 3:] - difference], dim=1)


def direction_with_shots_swapped(net: nn.Module, examples: Examples, kind: Kind) -> float:
    """Return the share of held-out patches beyond 1 um whose predicted direction flips with the shots exchanged."""
    far = _far(examples)
    kept, swapped = [], []
    with torch.no_grad():
        for part in np.array_split(far, max(1, len(far) // BATCH)):
            x = torch.from_numpy(np.stack([examples.patches[k] for k in part])).float()
            kept.append(net(standardised(x)).numpy())
            swapped.append(net(standardised(swapped_shots(x, kind))).numpy())
    return float((np.sign(np.concatenate(kept)) != np.sign(np.concatenate(swapped))).mean())


def wrong_direction(net: nn.Module, examples: Examples) -> float:
    """Return the share of wrong directions beyond 1 um; 0.5 is chance."""
    far = _far(examples)
    truth = np.array(examples.distance_um)[far]
    return float((np.sign(predict(net, examples, "cpu", far)) != np.sign(truth)).mean())


def _far(examples: Examples) -> NDArray[np.int64]:
    counts = tables.usable(examples, tables.RANGE_UM)
    far = np.abs(np.array(examples.distance_um)) > tables.SIGN_COUNTS_BEYOND_UM
    return np.flatnonzero(counts & far)
