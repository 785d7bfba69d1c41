"""What both networks are built of."""

from abc import ABC, abstractmethod

import torch
from torch import nn


def convolution(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size but for the stride, and its normalisation."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """Layers whose result is added to their input where the shapes agree."""

    def __init__(self, layers: list[nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class Body(nn.Module, ABC):
    """A paper's convolutions with the head that they are trained with.

    Attributes:
        features: the convolutions, (n, channels, h, w) -> (n, pooled_features, h / 32, w / 32).
        pooled_features: channels of the last map.
    """

    features: nn.Sequential
    pooled_features: int

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """The means of the last feature map, (n, features)."""
        y: torch.Tensor = self.features(x).mean(dim=(2, 3))
        return y

    @abstractmethod
    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Distances in um, and what else is learned beside them; (n, outputs)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Distances in um, (n,)."""
        return self.outputs(x)[:, 0]
