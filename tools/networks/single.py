"""MobileNetV3-small as a regressor of distance from one shot (liao2021, appendix A; Howard et al. 2019, table 2)."""

import torch
from torch import nn

from tools.networks.layers import Body, Bottleneck, convolution

# kernel, expanded channels, output channels, squeeze-and-excite, hard swish, stride
BLOCKS = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
STEM, LAST, HIDDEN = 16, 576, 1024
SQUEEZE = 4


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, int(channels / SQUEEZE + 4) // 8 * 8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels, h, w), kept."""
        gate: torch.Tensor = self.gate(x)
        return x * gate


class Block(Bottleneck):
    """Expand, filter each channel, gate the channels, project; added to the input if the shapes agree."""

    def __init__(
        self, inputs: int, kernel: int, hidden: int, outputs: int, excite: bool, swish: bool, stride: int
    ) -> None:
        activation: type[nn.Module] = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers += [*convolution(inputs, hidden, 1, 1), activation()]
        layers += [*convolution(hidden, hidden, kernel, stride, hidden), activation()]
        if excite:
            layers.append(SqueezeExcite(hidden))
        layers += convolution(hidden, outputs, 1, 1)
        super().__init__(layers, inputs, outputs, stride)


class SingleNet(Body):
    """A normalised shot (n, 3, h, w) -> distance_um (n,).

    A second output, the magnitude of the distance, is for the training only. It is learned early, and forms the
    features that the direction depends on. Without it the network learned nothing from 50,000 patches.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*convolution(3, STEM, 3, 2), nn.Hardswish()]
        inputs = STEM
        for kernel, hidden, outputs, excite, swish, stride in BLOCKS:
            layers.append(Block(inputs, kernel, hidden, outputs, excite, swish, stride))
            inputs = outputs
        layers += [*convolution(inputs, LAST, 1, 1), nn.Hardswish()]
        self.features = nn.Sequential(*layers)
        self.pooled_features = LAST
        self.head = nn.Sequential(nn.Linear(LAST, HIDDEN), nn.Hardswish(), nn.Linear(HIDDEN, 2))

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances and their magnitudes in um, (n, 2)."""
        y: torch.Tensor = self.head(self.pooled(x))
        return y
