"""The networks that ship: the convolutions of the papers and the spectra compute features, and a head reads them.

`FocusNet` becomes the graph of the ONNX file. `Head` becomes the file beside it, see `parfocal.engines.model.head`.
"""

import math

import numpy as np
import torch
from torch import nn

from parfocal.engines.model.head import Head as HeadArrays
from tools.networks.layers import Body
from tools.networks.spectrum import Spectrum, n_spectral

# Number of principal directions of the averaged maps. All of them would be too many inputs for a head.
SUMMARY = 48
HIDDEN, LAST_HIDDEN, DROPOUT = 256, 85, 0.1
MEMBERS = (
    4  # of the head, trained separately: their mean has a smaller error than any of them, at almost no cost
)
OUTPUTS = 2  # distance_um and log(sigma_um)
DENSE = (1, 4, 6)  # places of the dense layers in a member, after the first
FIRST_SIGMA_UM = 0.3  # before the training of a head that starts from one without


class FocusNet(nn.Module):
    """Normalised patches (n, channels, patch_px, patch_px) -> features (n, n_features), with a trained body.

    Without a body the features are those of the spectra alone.
    """

    def __init__(self, body: Body | None, channels: int, patch_px: int) -> None:
        super().__init__()
        self.body = body
        self.spectrum = Spectrum(channels, patch_px)
        self.summary = None if body is None else nn.Linear(body.pooled_features, SUMMARY)
        self.n_features = n_spectral(channels) + (0 if body is None else SUMMARY)

    def parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features of the spectra (n, spectral), and the averaged maps (n, pooled or 0)."""
        spectral = self.spectrum(x)
        return spectral, spectral[:, :0] if self.body is None else self.body.pooled(x)

    def together(self, spectral: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Return the features of both parts, (n, n_features)."""
        return spectral if self.summary is None else torch.cat([spectral, self.summary(pooled)], dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        return self.together(*self.parts(x))


class Head(nn.Module):
    """Features (n, features) and, with `takes_condenser`, the condenser (n, 1) -> distance_um (n,).

    Depth of field depends on the aperture of the condenser, and a patch does not show it. Each member also predicts
    the logarithm of its uncertainty.
    """

    def __init__(
        self, features: int, takes_condenser: bool, unit_um: float = 1.0, members: int = MEMBERS
    ) -> None:
        """The layers compute distances in units of `unit_um`: numbers of about 1 are learned fastest."""
        super().__init__()
        self.register_buffer("unit_um", torch.tensor(unit_um))
        self.unit_um: torch.Tensor
        self.takes_condenser = takes_condenser
        inputs = features + int(takes_condenser)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.register_buffer("whitening", torch.eye(features))
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("strangeness_limit", torch.tensor(math.inf))
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.whitening: torch.Tensor
        self.feature_mean: torch.Tensor
        self.strangeness_limit: torch.Tensor
        # The first layers of all members, stacked: one product is faster than four.
        self.first = nn.Linear(inputs, members * HIDDEN)
        self.members = nn.ModuleList(_member() for _ in range(members))

    def inputs(self, features: torch.Tensor, condenser: torch.Tensor | None = None) -> torch.Tensor:
        """Return the inputs of the members, not standardised, (n, inputs)."""
        return features if condenser is None else torch.cat([features, condenser], dim=1)

    def standardised(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs (n, inputs) as the members take them."""
        return (inputs - self.mean) / self.deviation

    def outputs_of(self, member: int, x: torch.Tensor) -> torch.Tensor:
        """Return distance_um and log(sigma_um) of one member for standardised inputs (n, inputs), (n, 2)."""
        own = slice(member * HIDDEN, (member + 1) * HIDDEN)
        hidden = torch.relu(nn.functional.linear(x, self.first.weight[own], self.first.bias[own]))
        outputs: torch.Tensor = self.members[member](hidden)
        return torch.stack([outputs[:, 0] * self.unit_um, outputs[:, 1] + torch.log(self.unit_um)], dim=1)

    def forward(self, features: torch.Tensor, condenser: torch.Tensor | None = None) -> torch.Tensor:
        """Return distances in um, (n,)."""
        x = self.standardised(self.inputs(features, condenser))
        outputs = torch.stack([self.outputs_of(member, x) for member in range(len(self.members))])
        return outputs[:, :, 0].mean(dim=0)

    def arrays(self) -> HeadArrays:
        """Return the head as the product applies it."""
        later = [[member[k] for member in self.members] for k in DENSE]
        members = len(self.members)
        first = self.first.weight.view(members, HIDDEN, -1), self.first.bias.view(members, HIDDEN)
        stacked = [
            (torch.stack([m.weight for m in layer]), torch.stack([m.bias for m in layer])) for layer in later
        ]
        weight, bias = stacked.pop()
        in_um = torch.stack([self.unit_um, torch.ones_like(self.unit_um)])
        log_unit = torch.stack([torch.zeros_like(self.unit_um), torch.log(self.unit_um)])
        stacked.append((weight * in_um[:, None], bias * in_um + log_unit))
        return HeadArrays(
            _array(self.mean),
            _array(self.deviation),
            tuple((_array(weight), _array(bias)) for weight, bias in (first, *stacked)),
            _array(self.whitening),
            _array(self.feature_mean),
            float(self.strangeness_limit),
        )

    def load(self, arrays: HeadArrays) -> None:
        """Load the weights of a head, in um. What one without uncertainty lacks starts at `FIRST_SIGMA_UM`.

        Raises:
            ValueError: the head has other layers.
        """
        (first_weight, first_bias), *later = arrays.layers
        ours, theirs = (
            [(len(weight), weight.shape[2]) for weight, _ in head.layers] for head in (self.arrays(), arrays)
        )
        if ours != theirs:
            raise ValueError(
                f"the layers of the head take (members, inputs) {theirs}, those of this network {ours}"
            )
        with torch.no_grad():
            self.unit_um.fill_(1.0)
            self.mean.copy_(torch.from_numpy(arrays.mean))
            self.deviation.copy_(torch.from_numpy(arrays.deviation))
            self.first.weight.copy_(torch.from_numpy(first_weight).reshape(len(self.first.bias), -1))
            self.first.bias.copy_(torch.from_numpy(first_bias).reshape(-1))
            for (weight, bias), k in zip(later, DENSE, strict=True):
                for member, own_weight, own_bias in zip(self.members, weight, bias, strict=True):
                    layer = member[k]
                    if len(own_weight) < layer.out_features:
                        layer.weight.zero_()
                        layer.bias.fill_(math.log(FIRST_SIGMA_UM))
                    layer.weight[: len(own_weight)] = torch.from_numpy(own_weight)
                    layer.bias[: len(own_bias)] = torch.from_numpy(own_bias)


def head_of(arrays: HeadArrays, takes_condenser: bool) -> Head:
    """Return a head with these weights, to be trained or exported. It computes in um."""
    n_inputs, members = len(arrays.mean), len(arrays.layers[0][0])
    head = Head(n_inputs - int(takes_condenser), takes_condenser, members=members)
    head.load(arrays)
    return head


def joined(first: HeadArrays, second: HeadArrays) -> HeadArrays:
    """Return a head with the members of both, which read the same features. What is strange is left to be set.

    Raises ValueError if their layers differ.
    """
    layers = []
    for number, ((weight, bias), (own_weight, own_bias)) in enumerate(
        zip(first.layers, second.layers, strict=True)
    ):
        added_weight, added_bias = own_weight, own_bias
        if number == 0:  # the second is given what is standardised for the first
            scale, shift = first.deviation / second.deviation, (first.mean - second.mean) / second.deviation
            added_weight, added_bias = own_weight * scale, own_bias + own_weight @ shift
        layers.append((np.concatenate([weight, added_weight]), np.concatenate([bias, added_bias])))
    return HeadArrays(first.mean, first.deviation, tuple(layers))


def _member() -> nn.Sequential:
    """Return the layers of a member after the first."""
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, LAST_HIDDEN),
        nn.ReLU(),
        nn.Linear(LAST_HIDDEN, OUTPUTS),
    )


def _array(values: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(values.detach().cpu().numpy(), np.float32)


class Whole(nn.Module):
    """Normalised patches -> distance_um (n,), for instruments with one condenser; None for a head that takes none."""

    def __init__(self, net: FocusNet, head: Head, condenser: float | None) -> None:
        super().__init__()
        self.net, self.head, self.condenser = net, head, condenser

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances in um, (n,)."""
        features = self.net(x)
        shown = None if self.condenser is None else torch.full((len(x), 1), self.condenser, device=x.device)
        y: torch.Tensor = self.head(features, shown)
        return y
