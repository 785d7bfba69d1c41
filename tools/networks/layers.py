"""The layers that both networks share."""

from abc import ABC, abstractmethod

import torch
from torch import nn


def convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    """Return a convolution that keeps the size, apart from the stride, and its normalisation."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """Layers whose output is added to their input if the shapes agree."""

    def __init__(self, layers: list[nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class Body(nn.Module, ABC):
    """The convolutions of a paper, with the linear head for their training.

    Attributes:
        features: the convolutions, (n, channels, h, w) -> (n, pooled_features, h / 32, w / 32).
        pooled_features: channels of the last map.
    """

    features: nn.Sequential
    pooled_features: int

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Return the means of the last feature map, (n, features)."""
        y: torch.Tensor = self.features(x).mean(dim=(2, 3))
        return y

    @abstractmethod
    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances in um, and further outputs for the training, (n, outputs)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances in um, (n,)."""
        return self.outputs(x)[:, 0]
