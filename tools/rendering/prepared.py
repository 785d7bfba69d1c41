"""From shots to the input of a network in torch, as `parfocal.edge.focus.prepare` does it for frames."""

import functools
from collections.abc import Callable

import torch
from torch.nn.functional import pad

from parfocal.edge.focus.prepare import MIN_STANDARD_DEVIATION


def median_3x3(images: torch.Tensor) -> torch.Tensor:
    """Return the 3 x 3 median of images (n, c, h, w) of whole grey levels; the border repeats its last pixel."""
    if images.device.type != "cuda":
        return _median_3x3(images)
    # Whole grey levels are exact in half precision. Compiled, this is one kernel instead of forty.
    return _compiled_median()(images.half()).float()


def _median_3x3(images: torch.Tensor) -> torch.Tensor:
    """Return the same, by minima and maxima.

    The exchanges are those of a network that puts the fifth of nine values in the middle.
    """
    padded = pad(images, (1, 1, 1, 1), mode="replicate")
    height, width = images.shape[-2:]
    v = [padded[..., r : r + height, c : c + width] for r in range(3) for c in range(3)]
    for a, b in (
        (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8),
        (0, 3), (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
    ):  # fmt: skip
        v[a], v[b] = torch.minimum(v[a], v[b]), torch.maximum(v[a], v[b])
    return v[4]


@functools.cache
def _compiled_median() -> Callable[[torch.Tensor], torch.Tensor]:
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(_median_3x3, dynamic=True)
    return compiled


def pairs_of(shots: torch.Tensor) -> torch.Tensor:
    """Return the channels of pairs of neighbouring shots, (n, planes - 1, 6, h, w), from shots (n, planes, 3, h, w).

    They are the smoothed difference, and the second shot.
    """
    n, planes, _, height, width = shots.shape
    smooth = median_3x3(shots.reshape(-1, 3, height, width)).reshape(shots.shape)
    difference = (smooth[:, 1:] - smooth[:, :-1]).reshape(-1, 3, height, width)
    difference = median_3x3(difference).reshape(n, planes - 1, 3, height, width)
    return torch.cat([difference, smooth[:, 1:]], dim=2)


def singles_of(shots: torch.Tensor) -> torch.Tensor:
    """Return the smoothed shots, (n, planes, 3, h, w)."""
    n, planes, _, height, width = shots.shape
    return median_3x3(shots.reshape(-1, 3, height, width)).reshape(n, planes, 3, height, width)


def contrast_of(shots: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of the grey values of images (n, 3, h, w), (n,)."""
    return shots.mean(dim=1).std(dim=(1, 2), correction=0)


def standardised(x: torch.Tensor) -> torch.Tensor:
    """Return the same as `parfocal.edge.focus.prepare.standardised`, in torch."""
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return x / x.std(dim=(2, 3), keepdim=True, correction=0).clamp_min(MIN_STANDARD_DEVIATION)
