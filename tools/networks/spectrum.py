"""What the spectra of a patch say of its focus: a branch beside the convolutions.

Defocus multiplies every spatial frequency by a factor of its own, whatever the object is. How strong each frequency is
in one shot against the other, and in one colour against another, is therefore the most direct measure of distance. A
network of 3 x 3 filters has to find these ratios, and a linear head cannot form them from averages; here they are
given, as logarithms and coherences of rings of the power spectrum. All of it is matrix products, squares and
logarithms, which every engine has.
"""

import itertools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

COLOURS = 3
BLOCK_PX = 224  # larger patches are cut into blocks, whose spectra are averaged
# Rings of spatial frequency, in lines of the spectrum of a block of 224 px; each ends where the next begins. The first
# leaves out what a slope of the light across the patch makes, the last ends at a quarter of the sampling frequency:
# beyond is mostly noise of the camera, and measured without gain.
RING_EDGES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 57)
N_RINGS = len(RING_EDGES) - 1
# Lines of the cosines, then of the sines. There is no sine of line 0, and that of the last line is left to its cosine:
# rows in sixteens fit the matrix units of a CPU, and one more costs a tenth of the branch's time.
LINES = np.concatenate([np.arange(RING_EDGES[-1]), np.arange(1, RING_EDGES[-1] - 1)])
# Far below the noise of a camera in standardised patches: keeps the logarithm of nothing finite.
FLOOR = 1e-5


def n_spectral(channels: int) -> int:
    """How many features ``Spectrum`` gives of patches with so many channels."""
    between_shots = COLOURS if channels > COLOURS else 0
    return (channels + between_shots + COLOURS - 1) * N_RINGS


def transform(block_px: int) -> NDArray[np.float32]:
    """Cosines and sines of the lowest lines of the spectrum under a Hann window, (LINES, block_px).

    With T these rows and X a block, T X T' holds real and imaginary parts of the spectrum, mixed; the sum of its
    squares over all signs of a frequency is the sum of the powers there.
    """
    place = np.arange(block_px)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * place / block_px)
    turns = 2.0 * np.pi * np.outer(LINES, place) / BLOCK_PX
    is_cosine = np.arange(len(LINES))[:, None] < RING_EDGES[-1]
    rows = np.where(is_cosine, np.cos(turns), np.sin(turns)) * window * math.sqrt(2.0 / block_px)
    return rows.astype(np.float32)


def rings() -> NDArray[np.float32]:
    """Weights that average a transformed block, flattened, over each ring: (LINES^2, rings)."""
    radius = np.rint(np.hypot(LINES[:, None], LINES[None, :]))
    weights = [(radius >= begin) & (radius < end) for begin, end in itertools.pairwise(RING_EDGES)]
    return np.stack([(w / w.sum()).ravel() for w in weights], axis=1).astype(np.float32)


class Spectrum(nn.Module):
    """Standardised patches (n, channels, h, w) -> features (n, ``n_spectral(channels)``).

    Log power of each channel, coherence of the difference with the second shot, colour by colour (6 channels: how
    much of it is a gain in sharpness), and coherence of red and blue with green in the last shot. Patches are whole
    blocks of 224 px, or smaller than one.
    """

    def __init__(self, channels: int, patch_px: int) -> None:
        """Raises ValueError for patches that are larger than a block and not of whole blocks."""
        super().__init__()
        self.block_px = min(patch_px, BLOCK_PX)
        if patch_px % self.block_px:
            raise ValueError(f"spectra are taken of blocks of {BLOCK_PX} px; {patch_px} px is not a multiple")
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
        # Transposed, which no ring tells apart: both products are then with a constant on the right.
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
    """From powers and cross powers (n, products, rings) to logarithms and coherences (n, ``n_spectral``)."""
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
