"""The third dimension of objects in torch: layers at their own heights, with density and phase.

The distributions are those of `tools.tissue.thickness`, with a share of objects whose phase is that of lenses.
"""

import math

import numpy as np
import torch

from tools.rendering.imaging import Layered
from tools.tissue.thickness import (
    MAX_RISE_UM,
    MAX_THICKNESS_UM,
    PHASE_PER_DENSITY_RAD,
    PHASE_SHARES,
    UNSTAINED_RAD,
    UNSTAINED_SHARE,
)

KINDS = ("flat", "thick", "tilted")
KIND_SHARES = (0.45, 0.35, 0.2)
# Red cells are lenses: 1 to 3 rad at their density. Beyond about one the images here are no longer exact.
LENS_SHARE, LENS_RAD_PER_DENSITY = 0.06, (0.8, 1.6)
N_FIELDS = 192
FIELD_SIZES_PX = (0.8, 30.0)


class SmoothFields:
    """Smooth noise of many sizes, mean 0 and deviation 1: float16 (n, side, side), with the sizes (n,) ascending."""

    def __init__(self, side_px: int, device: str) -> None:
        low, high = (math.log(size) for size in FIELD_SIZES_PX)
        self.sizes_px = np.exp(np.linspace(low, high, N_FIELDS))
        self.fields = torch.empty(N_FIELDS, side_px, side_px, dtype=torch.float16, device=device)
        f2 = torch.fft.fftfreq(side_px, device=device)[:, None] ** 2
        f2 = f2 + torch.fft.rfftfreq(side_px, device=device)[None, :] ** 2
        for number, size_px in enumerate(self.sizes_px):
            noise = torch.fft.rfft2(torch.randn(side_px, side_px, device=device))
            field = torch.fft.irfft2(
                noise * torch.exp(-2.0 * (math.pi * size_px) ** 2 * f2), s=(side_px, side_px)
            )
            self.fields[number] = field / field.std()

    def drawn(self, n: int, side_px: int, sizes_px: tuple[float, float]) -> torch.Tensor:
        """Return `n` random parts with sizes between `sizes_px`, float32 (n, side, side)."""
        first, last = (int(k) for k in np.searchsorted(self.sizes_px, sizes_px))
        device, whole = self.fields.device, self.fields.shape[-1]
        number = torch.randint(first, max(last, first + 1), (n,), device=device)
        place = torch.arange(side_px, device=device)
        rows, columns = (
            torch.randint(0, whole - side_px + 1, (n, 1), device=device) + place for _ in range(2)
        )
        rows[: n // 2] = rows[: n // 2].flip(1)
        return self.fields[number[:, None, None], rows[:, :, None], columns[:, None, :]].float()


def phase_of(density: torch.Tensor, fields: SmoothFields, rng: np.random.Generator) -> torch.Tensor:
    """Return the phase (n, s, s) of objects of density (n, 3, s, s), in rad.

    It follows the density; in every second object with an additional random part, and in some where nothing absorbs.
    """
    n, _, side_px, _ = density.shape
    device = density.device
    green = density[:, 1]
    ranges = [
        LENS_RAD_PER_DENSITY
        if rng.random() < LENS_SHARE
        else PHASE_PER_DENSITY_RAD[int(rng.choice(len(PHASE_SHARES), p=PHASE_SHARES))]
        for _ in range(n)
    ]
    per_density = torch.tensor([rng.uniform(*r) for r in ranges], dtype=torch.float32, device=device)
    phase = green * per_density[:, None, None]
    own = rng.random(n) < 0.5
    if own.any():
        which = torch.from_numpy(np.flatnonzero(own)).to(device)
        top = torch.quantile(green[which].flatten(1)[:, ::37], 0.95, dim=1).clamp_min(1e-3)
        present = (green[which] / top[:, None, None]).clamp(0.0, 1.0)
        strength = torch.from_numpy(rng.uniform(0.02, 0.15, int(own.sum()))).float().to(device)
        phase[which] += strength[:, None, None] * fields.drawn(len(which), side_px, (0.8, 4.0)) * present
    unstained = rng.random(n) < UNSTAINED_SHARE
    if unstained.any():
        which = torch.from_numpy(np.flatnonzero(unstained)).to(device)
        level = torch.from_numpy(rng.uniform(-0.5, 1.0, len(which))).float().to(device)
        strength = torch.from_numpy(rng.uniform(*UNSTAINED_RAD, len(which))).float().to(device)
        bodies = (fields.drawn(len(which), side_px, (3.0, 15.0)) - level[:, None, None]).clamp(0.0, 2.0)
        phase[which] += strength[:, None, None] * bodies
    return phase


def layered(
    density: torch.Tensor,
    kind: str,
    um_per_px: float,
    fields: SmoothFields,
    rng: np.random.Generator,
    depth: float,
) -> Layered:
    """Return objects (n, 3, s, s) as layers of one `kind`. The focus is the mean height of their mass.

    `depth` scales thickness and tilt, for an objective with another depth of field than the reference.
    """
    n, _, side_px, _ = density.shape
    device = density.device
    phase = phase_of(density, fields, rng)
    if kind == "flat":
        return Layered(density[:, None], phase[:, None], torch.zeros(n, 1, device=device))
    if kind == "thick":
        count = int(rng.integers(2, 4))
        scores = fields.drawn(n * count, side_px, (4.0, 30.0)).reshape(n, count, side_px, side_px)
        strength = torch.from_numpy(rng.uniform(0.5, 3.0, n)).float().to(device)
        shares = torch.softmax(scores * strength[:, None, None, None], dim=1)
        thickness = torch.from_numpy(rng.uniform(0.3, MAX_THICKNESS_UM * depth, n)).float().to(device)
        heights = thickness[:, None] * torch.linspace(-0.5, 0.5, count, device=device)
    else:
        heading = torch.from_numpy(rng.uniform(0.0, 2.0 * math.pi, n)).float().to(device)
        across = (torch.arange(side_px, device=device) - side_px / 2.0) * um_per_px
        rise = (
            torch.cos(heading)[:, None, None] * across + torch.sin(heading)[:, None, None] * across[:, None]
        )
        half_um = rise.abs().amax(dim=(1, 2))
        position = rise / half_um[:, None, None]
        shares = torch.stack([(-position).clamp(0, 1), 1 - position.abs(), position.clamp(0, 1)], dim=1)
        tilt = rng.uniform(0.0, MAX_RISE_UM * depth / (side_px * um_per_px), n)
        slope = torch.from_numpy(tilt).float().to(device)
        heights = (half_um * slope)[:, None] * torch.tensor([-1.0, 0.0, 1.0], device=device)
    mass = (shares * density[:, 1:2]).sum(dim=(2, 3))
    middle = (heights * mass).sum(dim=1) / mass.sum(dim=1).clamp_min(1e-6)
    return Layered(density[:, None] * shares[:, :, None], phase[:, None] * shares, heights - middle[:, None])
