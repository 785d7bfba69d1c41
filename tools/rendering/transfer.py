"""Transfer functions of many optical settings at once, in torch.

The formulas are those of `parfocal.edge.simscope.optics`, which a test compares. There one setting takes a second; a
training needs hundreds.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from parfocal.edge.simscope.optics import N_RADIAL_FREQUENCIES, Optics, radial_frequencies

# Neighbouring points of the condenser may differ by this phase. Beyond it the sum breaks up into ghost images.
MAX_PHASE_STEP_RAD = 2.0
MIN_POINTS, MAX_POINTS = 63, 171
MAX_BIN_RAD = 0.3  # width of a bin of paths, at the greatest height


@dataclass(frozen=True)
class Transfers:
    """Profiles of `n` settings over heights: absorption and phase, float32 (n, n_z, 3, n_q), and the settings.

    `z_um` (n_z,) are equally spaced.
    """

    optics: tuple[Optics, ...]
    first_z_um: float
    step_um: float
    absorption: torch.Tensor
    phase: torch.Tensor


def points_per_diameter(optics: Optics, max_z_um: float) -> int:
    """Return how many points across the condenser a sum needs for heights up to `max_z_um`."""
    sine = min(optics.condenser_sigma * optics.na, 0.98 * optics.n_medium) / optics.n_medium
    slope = sine / math.sqrt(1.0 - sine**2)
    diameter = 2.0 * optics.condenser_sigma * optics.na / min(optics.wavelengths_um)
    steps = max_z_um * 2.0 * math.pi * slope * diameter / MAX_PHASE_STEP_RAD
    return int(np.clip(2 * math.ceil(steps / 2.0) + 1, MIN_POINTS, MAX_POINTS))


def transfers(settings: list[Optics], max_z_um: float, step_um: float, device: str) -> Transfers:
    """Return the profiles of `settings` for stage heights of +-`max_z_um`, `step_um` apart."""
    n_z = 2 * math.ceil(max_z_um / step_um) + 1
    z_um = (torch.arange(n_z, device=device, dtype=torch.float32) - n_z // 2) * step_um
    absorption = torch.empty(len(settings), n_z, 3, N_RADIAL_FREQUENCIES, device=device)
    phase = torch.empty_like(absorption)
    for number, optics in enumerate(settings):
        for channel in range(3):
            transfer = _one_sided(optics, channel, z_um - optics.chromatic_shift_um[channel])
            absorption[number, :, channel] = transfer.real
            phase[number, :, channel] = 2.0 * transfer.imag
    return Transfers(tuple(settings), float(z_um[0]), step_um, absorption, phase)


def _one_sided(optics: Optics, channel: int, z_um: torch.Tensor) -> torch.Tensor:
    """Return `sum_s S(s) P*(s) P(s + q)` at the heights `z_um` (n_z,), complex64 (n_z, n_q)."""
    device, wavelength_um = z_um.device, optics.wavelengths_um[channel]
    q = torch.from_numpy(radial_frequencies(optics.um_per_px)).to(device, torch.float64)
    cutoff = optics.na / wavelength_um
    count = points_per_diameter(optics, float(z_um.abs().max()))
    axis = (
        torch.linspace(-1.0, 1.0, count, dtype=torch.float64, device=device) * optics.condenser_sigma * cutoff
    )
    sx, sy = torch.meshgrid(axis, axis[axis >= 0.0], indexing="xy")
    inside = sx**2 + sy**2 <= (optics.condenser_sigma * cutoff) ** 2 * (1.0 + 1e-9)
    sx, sy = sx[inside], sy[inside]
    weight = torch.where(sy > 0.0, 2.0, 1.0).double()
    weight = weight / weight.sum()
    shifted = (sx[:, None] + q[None, :]) ** 2 + (sy**2)[:, None]
    passes = shifted <= cutoff**2 * (1.0 + 1e-9)
    path_source, aberration_source = _pupil(optics, wavelength_um, (sx**2 + sy**2)[:, None])
    path, aberration = _pupil(optics, wavelength_um, shifted.clamp_max(cutoff**2))
    path = (path - path_source).float()
    turned = (aberration_source - aberration).float()
    size = (weight[:, None] * passes).float()
    return _sum_of_waves(size * torch.cos(turned), size * torch.sin(turned), path, z_um)


def _sum_of_waves(
    real: torch.Tensor, imaginary: torch.Tensor, path: torch.Tensor, z_um: torch.Tensor
) -> torch.Tensor:
    """Return `sum_s (real + i imaginary) exp(-i z path)`, complex64 (n_z, n_q), of arrays (n_s, n_q).

    The paths of each frequency are first counted in narrow bins, shared between two neighbours. That is a thousand
    times fewer exponentials than one for every source point and height.
    """
    step = MAX_BIN_RAD / max(float(z_um.abs().max()), 1e-6)
    lowest = float(path.min())
    n_bins = int((float(path.max()) - lowest) / step) + 2
    position = (path - lowest) / step
    below = position.floor()
    share = position - below
    n_q = path.shape[1]
    place = below.long() + torch.arange(n_q, device=path.device) * n_bins
    counts = torch.zeros(2, n_q * n_bins, device=path.device)
    for row, values in enumerate((real, imaginary)):
        counts[row].index_add_(0, place.flatten(), (values * (1.0 - share)).flatten())
        counts[row].index_add_(0, place.flatten() + 1, (values * share).flatten())
    bins = lowest + step * torch.arange(n_bins, device=path.device)
    turn = -z_um.double()[:, None] * bins.double()
    waves = torch.polar(torch.ones_like(turn), turn).to(torch.complex64)
    # Sharing between two bins damps a wave by sinc^2, which is undone here.
    damping = torch.sinc(z_um * step / (2.0 * math.pi)) ** 2
    counted = torch.complex(counts[0], counts[1]).reshape(n_q, n_bins)
    return waves @ counted.T / damping[:, None]


def _pupil(
    optics: Optics, wavelength_um: float, frequency_squared: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the phase of the pupil in rad: per um of defocus, and of the spherical aberration."""
    wavenumber = optics.n_medium / wavelength_um
    path = 2.0 * math.pi * (torch.sqrt(wavenumber**2 - frequency_squared) - wavenumber)
    rho2 = frequency_squared * (wavelength_um / optics.na) ** 2
    return path, 2.0 * math.pi * optics.w040_waves * (rho2**2 - rho2)
