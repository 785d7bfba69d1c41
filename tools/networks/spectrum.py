"""The spectra of a patch as features: a branch beside the convolutions.

Defocus multiplies every spatial frequency by its own factor, whatever the object is. So the ratio of each frequency
between two shots, or between two colours, is the most direct measure of distance. A network of 3 x 3 filters would have
to find these ratios, and a linear head cannot form them from averages. This branch computes them, as logarithms and
coherences over rings of the power spectrum. It uses only matrix products, sums, squares and logarithms, which every
engine supports.

The matrices of a Fourier transform are factorised, which takes a third of the multiplications of a product with the
whole matrix: over the height as in a fast Fourier transform, in two steps (Cooley and Tukey 1965), and over the width
by adding and subtracting the two halves. More steps would be slower: a CPU waits for memory then, not for arithmetic.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

FloatArray = NDArray[np.float64]

COLOURS = 3
BLOCK_PX = 224  # larger patches are cut into blocks, whose spectra are averaged
# Rings of spatial frequency, in lines of the spectrum of a 224 px block; each ends where the next begins. The first
# leaves out the effect of a brightness gradient across the patch. The last ends at a quarter of the sampling frequency:
# beyond it is mostly camera noise, and measurements showed no gain.
RING_EDGES = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 57)
N_RINGS = len(RING_EDGES) - 1
N_LINES = RING_EDGES[-1]
# Lines of the cosines, then of the sines. Line 0 has no sine. The sine of the last line is left out: a multiple of 16
# rows fits the matrix units of a CPU.
LINES = np.concatenate([np.arange(N_LINES), np.arange(1, N_LINES - 1)])
IS_SINE = np.arange(len(LINES)) >= N_LINES
# The two steps over the height: first over the COARSE rows that lie FINE rows apart, then over FINE places.
COARSE, FINE = 16, 14
N_CLASSES = COARSE // 2
HALF = BLOCK_PX // 2
# Keeps the logarithm of zero finite. Far below the camera noise in standardised patches.
FLOOR = 1e-5


def n_spectral(channels: int) -> int:
    """Return the number of features that `Spectrum` computes from patches with this many channels."""
    between_shots = COLOURS if channels > COLOURS else 0
    return (channels + between_shots + COLOURS - 1) * N_RINGS


def waves() -> FloatArray:
    """Return the cosines and sines of the lowest lines of the spectrum of a block, (LINES, BLOCK_PX).

    With these rows T and a block X under a window, T X T' contains the real and imaginary parts of the spectrum, mixed.
    The sum of its squares over all signs of a frequency is the sum of the powers there.
    """
    turns = 2.0 * np.pi * np.outer(LINES, np.arange(BLOCK_PX)) / BLOCK_PX
    rows: FloatArray = np.where(IS_SINE[:, None], np.sin(turns), np.cos(turns)) * math.sqrt(2.0 / BLOCK_PX)
    return rows


def window(block_px: int) -> FloatArray:
    """Return a Hann window of the power of a whole one, with zeros beside it, (BLOCK_PX, BLOCK_PX)."""
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(block_px) / block_px)
    side = np.zeros(BLOCK_PX)
    side[:block_px] = hann * math.sqrt(BLOCK_PX / block_px)
    return np.outer(side, side)


@dataclass(frozen=True)
class Height:
    """The two steps of the transform over the height.

    Row 14 m + p is row p of group m. Lines k and k' with the same remainder of division by 16, or opposite ones, are of
    one class: over m they are sums of the same two waves, with factors that depend on p.

    Attributes:
        coarse: the two waves of each class over the groups, (2 N_CLASSES, COARSE).
        fine: per class, the factors of its lines for both waves at each p, (N_CLASSES, lines, 2 FINE).
        order: index into LINES of each line that comes out, (LINES,).
    """

    coarse: FloatArray
    fine: FloatArray
    order: NDArray[np.intp]


def height() -> Height:
    """Return the two steps of the transform over the height. One after the other they equal `waves`."""
    turns = 2.0 * np.pi * np.outer(np.arange(N_CLASSES + 1), np.arange(COARSE)) / COARSE
    whole = waves().reshape(len(LINES), COARSE, FINE)
    coarse, fine, order = [], [], []
    for number in range(N_CLASSES):
        # A line that is a multiple of 8 has no sine at its place, so two of them share the first class.
        pair = (
            np.cos(turns[[0, N_CLASSES]]) if number == 0 else [np.cos(turns[number]), np.sin(turns[number])]
        )
        remainders = (0, N_CLASSES) if number == 0 else (number, COARSE - number)
        own = np.flatnonzero(np.isin(LINES % COARSE, remainders))
        factors = [np.einsum("m,kmp->kp", wave, whole[own]) / np.dot(wave, wave) for wave in pair]
        coarse += list(pair)
        fine.append(np.concatenate(factors, axis=1))
        order.append(own)
    return Height(np.array(coarse), np.array(fine), np.concatenate(order))


def width() -> list[tuple[FloatArray, NDArray[np.intp]]]:
    """Return the transform over the width: waves (lines, HALF) and their indices into LINES.

    The first part is of the even lines and reads the sum of the two halves of a row, the second is of the odd lines and
    reads the difference.
    """
    is_odd = LINES % 2 == 1
    parts = [np.flatnonzero(~is_odd), np.flatnonzero(is_odd)]
    return [(waves()[own, :HALF], own) for own in parts]


def rings() -> FloatArray:
    """Return the weights that average a transformed block over each ring, (LINES, LINES, rings)."""
    radius = np.rint(np.hypot(LINES[:, None], LINES[None, :]))
    weights = [(radius >= begin) & (radius < end) for begin, end in itertools.pairwise(RING_EDGES)]
    return np.stack([w / w.sum() for w in weights], axis=2)


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
        steps, parts, weights = height(), width(), rings()
        constants = {
            "margin": np.eye(BLOCK_PX, self.block_px),  # adds zeros to a small patch
            "window": window(self.block_px),
            "coarse": steps.coarse,
            "fine": steps.fine,
            "even": parts[0][0].T,
            "odd": parts[1][0].T,
            "rings": np.concatenate([weights[steps.order][:, own].reshape(-1, N_RINGS) for _, own in parts]),
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values.astype(np.float32)), persistent=False)
        self.margin: torch.Tensor
        self.window: torch.Tensor
        self.coarse: torch.Tensor
        self.fine: torch.Tensor
        self.even: torch.Tensor
        self.odd: torch.Tensor
        self.rings: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, channels, h, w) -> (n, features)."""
        channels = self.channels
        if self.blocks > 1:
            cut = x.reshape(-1, channels, self.blocks, self.block_px, self.blocks, self.block_px)
            x = cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, self.block_px, self.block_px)
        elif self.block_px < BLOCK_PX:
            x = torch.matmul(torch.matmul(self.margin, x), self.margin.T)
        z = self.transformed(x)
        shots = torch.split(z, COLOURS, dim=1)
        red, green, blue = torch.split(shots[-1], 1, dim=1)
        crossed = [shots[0] * shots[1]] if len(shots) > 1 else []
        products = torch.cat([z * z, *crossed, red * green, blue * green], dim=1)
        mean = torch.matmul(products, self.rings)
        if self.blocks > 1:
            n_blocks = self.blocks**2
            mean = mean.reshape(-1, n_blocks, n_spectral(channels)).sum(dim=1) / n_blocks
        return features_of(mean.reshape(-1, n_spectral(channels) // N_RINGS, N_RINGS), channels)

    def transformed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the transforms (n, channels, LINES^2) of blocks (n, channels, BLOCK_PX, BLOCK_PX)."""
        groups = torch.matmul(self.coarse, (x * self.window).reshape(-1, COARSE, FINE * BLOCK_PX))
        tall = torch.matmul(self.fine, groups.reshape(-1, N_CLASSES, 2 * FINE, BLOCK_PX))
        left, right = torch.split(tall.reshape(-1, len(LINES), 2, HALF), 1, dim=2)
        left, right = left.reshape(-1, len(LINES), HALF), right.reshape(-1, len(LINES), HALF)
        parts = [torch.matmul(left + right, self.even), torch.matmul(left - right, self.odd)]
        return torch.cat([part.reshape(-1, self.channels, len(LINES) * HALF // 2) for part in parts], dim=2)


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
