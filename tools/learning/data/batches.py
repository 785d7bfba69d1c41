"""From examples to the input of the network in training."""

from dataclasses import dataclass

import numpy as np
import torch

from tools.learning.data.examples import GREY_OFFSET, Examples
from tools.networks.standardising import standardised

FLICKER = 0.002  # relative, of the light between two shots, in addition to that in the stacks
NOISE_LEVELS = 0.3


@dataclass(frozen=True)
class Batch:
    """Input x (n, channels, side, side), distance_um (n,) and contrast (n,)."""

    x: torch.Tensor
    distance_um: torch.Tensor
    contrast: torch.Tensor


def whole(examples: Examples, chosen: np.ndarray | range, device: str) -> torch.Tensor:
    """Return whole patches, as the microscope feeds them."""
    x = torch.from_numpy(np.stack([examples.patches[k] for k in chosen])).to(device).float()
    return standardised(x).contiguous(memory_format=torch.channels_last)


def random_batch(
    examples: Examples,
    rng: np.random.Generator,
    size: int,
    planes_together: int,
    side_px: int,
    device: str,
) -> Batch:
    """Return a random batch: cropped, mirrored and rotated, with a little additional noise and flicker.

    `planes_together` examples come from one stack. They show the same object at several distances, so the network
    cannot learn the distance from the object.
    """
    stacks = [examples.stack[k] for k in rng.integers(0, len(examples), size // planes_together)]
    chosen = np.concatenate([rng.choice(stack, planes_together) for stack in stacks])
    images = []
    for k in chosen:
        image = examples.patches[k]
        top, left = rng.integers(0, image.shape[1] - side_px + 1, 2)
        image = image[:, top : top + side_px, left : left + side_px]
        image = np.rot90(image, int(rng.integers(4)), axes=(1, 2))
        images.append(image[:, :, ::-1] if rng.random() < 0.5 else image)
    x = torch.from_numpy(np.ascontiguousarray(np.stack(images))).to(device).float()
    if x.shape[1] == 6:
        flicker = FLICKER * torch.randn(size, 1, 1, 1, device=device)
        x = torch.cat([x[:, :3] + flicker * (x[:, 3:] + GREY_OFFSET), x[:, 3:]], dim=1)
    x = x + NOISE_LEVELS * torch.rand(size, 1, 1, 1, device=device) * torch.randn_like(x)
    return Batch(
        standardised(x).contiguous(memory_format=torch.channels_last),
        torch.tensor([examples.distance_um[k] for k in chosen], device=device),
        torch.tensor([examples.contrast[k] for k in chosen], device=device),
    )
