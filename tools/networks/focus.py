"""The networks that ship: the papers' convolutions with the spectra beside them, and a head that hears both."""

import torch
from torch import nn

from tools.networks.layers import Body
from tools.networks.spectrum import Spectrum, n_spectral

# Directions in which the averaged maps differ most: all of them are more than a head can be taught.
SUMMARY = 48
HIDDEN, LAST_HIDDEN, DROPOUT = 384, 128, 0.1
MEMBERS = 4  # of the head, taught apart: their mean errs less than any of them, and costs next to nothing


class Head(nn.Module):
    """Features of the spectra (n, spectral), of the maps (n, pooled) and of the instrument -> distance_um (n,).

    With ``told_condenser`` the head takes the aperture of the condenser as well, (n, 1): depth of field hangs on it,
    and a patch does not tell it. ``for_condenser`` gives the head of one instrument, which is what ships.
    """

    def __init__(self, spectral: int, pooled: int, told_condenser: bool) -> None:
        super().__init__()
        self.told_condenser = told_condenser
        inputs = spectral + SUMMARY + int(told_condenser)
        self.summary = nn.Linear(pooled, SUMMARY)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        # The first layers of all members, one below the other: one product is faster than four.
        self.first = nn.Linear(inputs, MEMBERS * HIDDEN)
        self.members = nn.ModuleList(_member() for _ in range(MEMBERS))

    def heard(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What every member sees, not standardised yet; (n, inputs)."""
        parts = [spectral, self.summary(pooled)]
        if condenser is not None:
            parts.append(condenser)
        return torch.cat(parts, dim=1)

    def inputs(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What every member sees, standardised; (n, inputs)."""
        return (self.heard(spectral, pooled, condenser) - self.mean) / self.deviation

    def forward(
        self, spectral: torch.Tensor, pooled: torch.Tensor, condenser: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Distances in um, (n,)."""
        hidden = torch.relu(self.first(self.inputs(spectral, pooled, condenser)))
        own = zip(self.members, torch.split(hidden, HIDDEN, dim=1), strict=True)
        distances = torch.cat([member(h) for member, h in own], dim=1)
        return distances.sum(dim=1) / MEMBERS

    def distance_by(self, member: int, x: torch.Tensor) -> torch.Tensor:
        """What one member says of standardised inputs (n, inputs): (n,)."""
        own = slice(member * HIDDEN, (member + 1) * HIDDEN)
        hidden = torch.relu(nn.functional.linear(x, self.first.weight[own], self.first.bias[own]))
        distance: torch.Tensor = self.members[member](hidden)
        return distance[:, 0]

    def for_condenser(self, sigma: float) -> "Head":
        """The same head for instruments whose condenser has the aperture ``sigma``, told no more."""
        if not self.told_condenser:
            return self
        inputs = len(self.mean) - 1
        head = Head(inputs - SUMMARY, self.summary.in_features, told_condenser=False)
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
    """What follows the first layer."""
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
    """Prepared patches (n, channels, patch_px, patch_px) -> distance_um (n,), through a body that is taught already."""

    def __init__(self, body: Body, channels: int, patch_px: int, told_condenser: bool) -> None:
        super().__init__()
        self.body = body
        self.spectrum = Spectrum(channels, patch_px)
        self.head = Head(n_spectral(channels), body.pooled_features, told_condenser)

    def features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the head hears: features of the spectra, and of the maps."""
        return self.spectrum(x), self.body.pooled(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Distances in um, (n,). Only of a head that is told no condenser."""
        y: torch.Tensor = self.head(*self.features(x))
        return y
