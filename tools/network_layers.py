"""What both networks are built of."""

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
