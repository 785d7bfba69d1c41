"""The spectra of a patch as features: a branch beside the convolutions.

Defocus multiplies every spatial frequency by its own factor, whatever the object is. So the ratio of each frequency
between two shots, or between two colours, is the most direct measure of distance. A network of 3 x 3 filters would have
to find these ratios, and a linear head cannot form them from averages. This branch computes them, as logarithms and
coherences over rings of the power spectrum. It uses only matrix products, squares and logarithms, which every engine
supports.
"""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

COLOURS = 3
BLOCK_PX = 224  # larger patches are cut into blocks, whose spectra are averaged
# Rings of spatial frequency, in lines of the spectrum of a 224 px block; each ends where the next begins. The first
# leaves out the effect of a brightness gradient across the patch. The last ends at a quarter of the sampling frequency:
# beyond it is mostly camera noise, and measurements showed no gain.
RING_EDGES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 57)
N_RINGS = len(RING_EDGES) - 1
# Lines of the cosines, then of the sines. Line 0 has no sine. The sine of the last line is left out: a multiple of 16
# rows fits the matrix units of a CPU, and one more row costs a tenth of the time of the branch.
LINES = np.concatenate([np.arange(RING_EDGES[-1]), np.arange(1, RING_EDGES[-1] - 1)])
# Keeps the logarithm of zero finite. Far below the camera noise in standardised patches.
FLOOR = 1e-5


def n_spectral(channels: int) -> int:
    """Return the number of features that `Spectrum` computes from patches with this many channels."""
    between_shots = COLOURS if channels > COLOURS else 0
    return (channels + between_shots + COLOURS - 1) * N_RINGS


def transform(block_px: int) -> NDArray[np.float32]:
    """Return cosines and sines of the lowest lines of the spectrum, under a Hann window, (LINES, block_px).

    With these rows T and a block X, T X T' contains the real and imaginary parts of the spectrum, mixed. The sum of its
    squares over all signs of a frequency is the sum of the powers there.
    """
    place = np.arange(block_px)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * place / block_px)
    turns = 2.0 * np.pi * np.outer(LINES, place) / BLOCK_PX
    is_cosine = np.arange(len(LINES))[:, None] < RING_EDGES[-1]
    rows = np.where(is_cosine, np.cos(turns), np.sin(turns)) * window * math.sqrt(2.0 / block_px)
    return rows.astype(np.float32)


def rings() -> NDArray[np.float32]:
    """Return the weights that average a transformed, flattened block over each ring, (LINES^2, rings)."""
    radius = np.rint(np.hypot(LINES[:, None], LINES[None, :]))
    weights = [(radius >= begin) & (radius < end) for begin, end in itertools.pairwise(RING_EDGES)]
    return np.stack([(w / w.sum()).ravel() for w in weights], axis=1).astype(np.float32)


class Spectrum(nn.Module):
    """Standardised patches (n, channels, h, w) -> features (n, `n_spectral(channels)`).

    The features are the log power of each channel; with 6 channels the coherence of the difference with the second
    shot, per colour, which shows whether sharpness increased; and the coherence of red and blue with green in the last
    shot. Patches consist of whole blocks of 224 px, or are smaller than one block.
    """

    def __init__(self, channels: int, patch_px: int) -> None:
        """Raises ValueError if the patches are larger than a block and not a multiple of it."""
        super().__init__()
        self.block_px = min(patch_px, BLOCK_PX)
        if patch_px % self.block_px:
            raise ValueError(
                f"patch_px is {patch_px}, which is not a multiple of {BLOCK_PX}, the side of a block"
            )
        self.blocks = patch_px // self.block_px
        self.channels = channels
        self.register_buffer("rows", torch.from_numpy(transform(self.block_px)), persistent=False)
        self.register_buffer("rings", torch.from_numpy(rings()), persistent=False)
        self.rows: torch.Tensor
        self.rings: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels, h, w) -> (n, features)."""
        channels = self.channels
        if self.blocks > 1:
            cut = x.reshape(-1, channels, self.blocks, self.block_px, self.blocks, self.block_px)
            x = cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, self.block_px, self.block_px)
        # Transposed, which does not matter for a ring. Both products then have the constant on the right.
        z = torch.matmul(torch.matmul(x, self.rows.T).transpose(2, 3), self.rows.T)
        shots = torch.split(z, COLOURS, dim=1)
        red, green, blue = torch.split(shots[-1], 1, dim=1)
        crossed = [shots[0] * shots[1]] if len(shots) > 1 else []
        products = torch.cat([z * z, *crossed, red * green, blue * green], dim=1)
        flat = products.reshape(-1, n_spectral(self.channels) // N_RINGS, len(LINES) ** 2)
        mean = torch.matmul(flat, self.rings)
        if self.blocks > 1:
            n_blocks = self.blocks**2
            mean = mean.reshape(-1, n_blocks, n_spectral(channels)).sum(dim=1) / n_blocks
        return features_of(mean.reshape(-1, n_spectral(channels) // N_RINGS, N_RINGS), channels)


def features_of(mean: torch.Tensor, channels: int) -> torch.Tensor:
    """Return logarithms and coherences (n, `n_spectral`) of powers and cross powers (n, products, rings)."""
    power, cross = mean[:, :channels], mean[:, channels:]
    last = power[:, -COLOURS:]
    features = [torch.log(power + FLOOR)]
    if channels > COLOURS:
        features.append(_coherence(cross[:, :COLOURS], power[:, :COLOURS], last))
        cross = cross[:, COLOURS:]
    features.append(_coherence(cross[:, :1], last[:, :1], last[:, 1:2]))
    features.append(_coherence(cross[:, 1:], last[:, 2:], last[:, 1:2]))
    return torch.cat(features, dim=1).reshape(-1, n_spectral(channels))


def _coherence(cross: torch.Tensor, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return cross / torch.sqrt(one * other + FLOOR**2)
