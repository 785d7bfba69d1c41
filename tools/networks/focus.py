"""The networks that ship: the convolutions of the papers, the spectra, and a head that takes both."""

import torch
from torch import nn

from tools.networks.layers import Body
from tools.networks.spectrum import Spectrum, n_spectral

# Number of principal directions of the averaged maps. All of them would be too many inputs for a head.
SUMMARY = 48
HIDDEN, LAST_HIDDEN, DROPOUT = 384, 128, 0.1
MEMBERS = (
    4  # of the head, trained separately: their mean has a smaller error than any of them, at almost no cost
)


class Head(nn.Module):
    """Features of the spectra (n, spectral), of the maps (n, pooled) and of the instrument -> distance_um (n,).

    With `takes_condenser` the head takes the aperture of the condenser as an input, (n, 1): depth of field depends on
    it, and a patch does not show it. `for_condenser` returns the head for one instrument, which is what ships.
    """

    def __init__(self, spectral: int, pooled: int, takes_condenser: bool) -> None:
        super().__init__()
        self.takes_condenser = takes_condenser
        inputs = spectral + SUMMARY + int(takes_condenser)
        self.summary = nn.Linear(pooled, SUMMARY)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        # The first layers of all members, stacked: one product is faster than four.
        self.first = nn.Linear(inputs, MEMBERS * HIDDEN)
        self.members = nn.ModuleList(_member() for _ in range(MEMBERS))

    def raw_inputs(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the inputs of the members, not standardised, (n, inputs)."""
        parts = [spectral, self.summary(pooled)]
        if condenser is not None:
            parts.append(condenser)
        return torch.cat(parts, dim=1)

    def inputs(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the inputs of the members, standardised, (n, inputs)."""
        return (self.raw_inputs(spectral, pooled, condenser) - self.mean) / self.deviation

    def forward(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return distances in um, (n,)."""
        hidden = torch.relu(self.first(self.inputs(spectral, pooled, condenser)))
        own = zip(self.members, torch.split(hidden, HIDDEN, dim=1), strict=True)
        distances = torch.cat([member(h) for member, h in own], dim=1)
        return distances.sum(dim=1) / MEMBERS

    def distance_by(self, member: int, x: torch.Tensor) -> torch.Tensor:
        """Return the distances that one member predicts for standardised inputs (n, inputs), (n,)."""
        own = slice(member * HIDDEN, (member + 1) * HIDDEN)
        hidden = torch.relu(nn.functional.linear(x, self.first.weight[own], self.first.bias[own]))
        distance: torch.Tensor = self.members[member](hidden)
        return distance[:, 0]

    def for_condenser(self, sigma: float) -> "Head":
        """Return the head for a condenser with the aperture `sigma`, which no longer takes it as an input."""
        if not self.takes_condenser:
            return self
        inputs = len(self.mean) - 1
        head = Head(inputs - SUMMARY, self.summary.in_features, takes_condenser=False)
        head.summary.load_state_dict(self.summary.state_dict())
        head.mean.copy_(self.mean[:inputs])
        head.deviation.copy_(self.deviation[:inputs])
        shown = (sigma - self.mean[inputs]) / self.deviation[inputs]
        weight = self.first.weight.detach()
        head.first.weight.data.copy_(weight[:, :inputs])
        head.first.bias.data.copy_(self.first.bias.detach() + weight[:, inputs] * shown)
        head.members.load_state_dict(self.members.state_dict())
        return head


def _member() -> nn.Sequential:
    """Return the layers of a member after the first."""
    return nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, LAST_HIDDEN),
        nn.ReLU(),
        nn.Linear(LAST_HIDDEN, 1),
    )


class FocusNet(nn.Module):
    """Normalised patches (n, channels, patch_px, patch_px) -> distance_um (n,), with a trained body."""

    def __init__(self, body: Body, channels: int, patch_px: int, takes_condenser: bool) -> None:
        super().__init__()
        self.body = body
        self.spectrum = Spectrum(channels, patch_px)
        self.head = Head(n_spectral(channels), body.pooled_features, takes_condenser)

    def features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the inputs of the head: features of the spectra, and of the maps."""
        return self.spectrum(x), self.body.pooled(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return distances in um, (n,). The head must not take a condenser."""
        y: torch.Tensor = self.head(*self.features(x))
        return y
