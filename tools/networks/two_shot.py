"""MobileNetV2 at width 0.5 as a regressor of distance (dastidar2020 2.3; Sandler et al. 2018 for the layers)."""

import torch
from torch import nn

from tools.networks.layers import Body, Bottleneck, convolution

# expansion, output channels at width 1, repeats, stride (Sandler et al. 2018, table 2)
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FEATURES = 1280  # not narrowed when the width is below 1
REDUCTION = 32  # side of a patch over side of the last feature map


def _channels(width: float, channels: int) -> int:
    """Return the channels at a width, rounded to a multiple of 8 without losing more than a tenth."""
    wanted = width * channels
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class InvertedResidual(Bottleneck):
    """Expand, filter each channel, project; added to the input if the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        hidden = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*convolution(inputs, hidden, 1, 1), nn.ReLU6()]
        layers += [*convolution(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        layers += convolution(hidden, outputs, 1, 1)
        super().__init__(layers, inputs, outputs, stride)


class TwoShotNet(Body):
    """A normalised difference, or difference and second shot, (n, channels, h, w) -> distance_um (n,).

    The paper flattens the last feature map into one dense layer (dastidar2020 2.3). The usual head here averages the
    map first. With few textures the flattened head memorises where things were. The averaged head takes patches of any
    size, so most of the training can use smaller ones.
    """

    def __init__(self, channels: int, flatten_px: int | None = None, width: float = 0.5) -> None:
        """`flatten_px` is the side of the patches for a flattening head; None averages the map."""
        super().__init__()
        inputs = _channels(width, 32)
        layers: list[nn.Module] = [*convolution(channels, inputs, 3, 2), nn.ReLU6()]
        for expansion, block_channels, repeats, stride in BLOCKS:
            outputs = _channels(width, block_channels)
            for repeat in range(repeats):
                layers.append(InvertedResidual(inputs, outputs, stride if repeat == 0 else 1, expansion))
                inputs = outputs
        layers += [*convolution(inputs, FEATURES, 1, 1), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.flatten = flatten_px is not None
        self.pooled_features = FEATURES
        positions = 1 if flatten_px is None else (-(-flatten_px // REDUCTION)) ** 2
        self.head = nn.Linear(FEATURES * positions, 1)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances in um, (n, 1)."""
        y: torch.Tensor = self.head(self.features(x).flatten(1) if self.flatten else self.pooled(x))
        return y
