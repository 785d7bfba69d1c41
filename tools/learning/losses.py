"""The loss of both papers and its weights (dastidar2020 2.4)."""

import torch

# The weight of a patch is its contrast (dastidar2020 2.4.2). Here it is the square root, within bounds: an almost empty
# patch still counts a little, and one very dark patch does not dominate the batch.
CONTRAST_BOUNDS = (2.0, 60.0)
LARGEST_LOG_SIGMA = 4.0  # 55 um and 0.02 um


LINEAR_FROM = 0.5  # dastidar2020, eq. 1


def smooth_l1(x: torch.Tensor, linear_from: float = LINEAR_FROM) -> torch.Tensor:
    """Return the smooth L1 loss of each element (dastidar2020, eq. 1): quadratic, then linear from `linear_from` on.

    What is learned by the quadratic part is a mean. Where a single shot could be from either side of the focus, that
    lies between the two, by the linear one on the likelier side.
    """
    linear = 0.5 * (x.abs() - 0.5 * linear_from)
    return torch.where(x.abs() > linear_from, linear, 0.25 / linear_from * x * x)


def negative_log_likelihood(error_um: torch.Tensor, log_sigma: torch.Tensor) -> torch.Tensor:
    """Return the loss of each predicted uncertainty for the errors made, which it does not change."""
    bounded = log_sigma.clamp(-LARGEST_LOG_SIGMA, LARGEST_LOG_SIGMA)
    return bounded + 0.5 * (error_um.detach() * torch.exp(-bounded)) ** 2


def distance_weight(distance_um: torch.Tensor) -> torch.Tensor:
    """Return the weight by distance (dastidar2020, eq. 2): near distances count more."""
    return 1.0 / (torch.log(distance_um.abs() + 1.0) + 1.0)


def patch_weight(contrast: torch.Tensor) -> torch.Tensor:
    """Return the weight of a patch by its contrast in grey levels."""
    return contrast.clamp(*CONTRAST_BOUNDS).sqrt()


def loss_of(
    outputs_um: torch.Tensor, distance_um: torch.Tensor, contrast: torch.Tensor, phase: int
) -> torch.Tensor:
    """Return the loss of a batch (dastidar2020, eq. 3): weighted by contrast, in phase 2 also by distance.

    `outputs_um` are the distances (n, 1), or (n, 2) with their magnitudes as a second column, which counts half.
    """
    weight = patch_weight(contrast)
    if phase == 2:
        weight = weight * distance_weight(distance_um)
    loss = (weight * smooth_l1(outputs_um[:, 0] - distance_um)).sum()
    if outputs_um.shape[1] == 2:
        loss = loss + 0.5 * (weight * smooth_l1(outputs_um[:, 1] - distance_um.abs())).sum()
    return loss / weight.sum()
