"""The step between patches in grey levels and a network, in torch."""

import torch

from parfocal.edge.focus.picture.prepare import MIN_STANDARD_DEVIATION


def standardised(x: torch.Tensor) -> torch.Tensor:
    """Return the same as `parfocal.edge.focus.picture.prepare.standardised`, in torch."""
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return x / x.std(dim=(2, 3), keepdim=True, correction=0).clamp_min(MIN_STANDARD_DEVIATION)
