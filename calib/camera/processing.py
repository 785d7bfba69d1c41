"""What a camera does to its pictures by itself, told by their noise: sharpening, smoothing, colour filters, JPEG.

The noise of a sensor is as strong in fine as in coarse detail, in every pixel, and knows no blocks of eight. What
differs from that was done afterwards.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_NOISE = 0.4  # grey levels: less is hidden by the steps of 8 bits
SHARPENED_FROM, SMOOTHED_TO = 1.15, 0.8  # of the ratio of fine to coarse noise
MOSAIC_TO, BLOCKS_TO = 0.8, 0.9
BLOCK = 8


class Processing(msgspec.Struct, frozen=True):
    """What the noise of two pictures of the same place tells.

    `fine_noise`: amplitude of the noise in fine detail over that in coarse detail, 1 if the camera leaves it alone.
    `mosaic`: variance of the least over that of the most noisy pixel of each 2 by 2, in red and blue. `blocks`:
    variance of fine detail in blocks of 8 on the grid of a JPEG over that between them. `noise_levels`: its standard
    deviation.
    """

    noise_levels: float
    fine_noise: float
    mosaic: float
    blocks: float

    @property
    def is_told(self) -> bool:
        """Whether there is enough noise to tell anything."""
        return self.noise_levels >= MIN_NOISE or self.is_compressed

    @property
    def is_compressed(self) -> bool:
        """Whether pictures went through a JPEG."""
        return self.blocks < BLOCKS_TO

    @property
    def is_demosaiced(self) -> bool:
        """Whether colours were interpolated from a colour filter array."""
        return not self.is_compressed and self.mosaic < MOSAIC_TO

    @property
    def is_sharpened(self) -> bool:
        """Whether fine detail was amplified."""
        return not self.is_compressed and self.fine_noise > SHARPENED_FROM

    @property
    def is_smoothed(self) -> bool:
        """Whether fine detail was weakened, by noise reduction or otherwise."""
        return not self.is_compressed and not self.is_demosaiced and self.fine_noise < SMOOTHED_TO


def processing_of(pictures: Sequence[Floats]) -> Processing:
    """What was done to pictures of the same place under the same light, (h, w, 3) each, two or more.

    Raises ValueError for too few.
    """
    if len(pictures) < 2:
        raise ValueError(f"{len(pictures)} pictures given: it takes two or more")
    pairs = [_difference(one, other) for one, other in zip(pictures[::2], pictures[1::2], strict=False)]
    noise = float(np.sqrt(np.mean([np.var(pair) for pair in pairs]) / 2.0))
    return Processing(
        noise,
        float(np.mean([_fine_over_coarse(pair) for pair in pairs])),
        min(_mosaic([pair[..., channel] for pair in pairs]) for channel in (0, 2)),
        float(np.mean([_blocks(picture) for picture in pictures])),
    )


def _difference(one: Floats, other: Floats) -> Floats:
    """What differs, without a change of the light."""
    scale = one.mean(axis=(0, 1)) / np.maximum(other.mean(axis=(0, 1)), 1e-9)
    return np.asarray(one - other * scale)


def _fine_over_coarse(difference: Floats) -> float:
    """Amplitude of the green noise in its finest third over that in its coarsest third, without the coarsest lines."""
    green = difference[..., 1]
    power = np.abs(np.fft.rfft2(green)) ** 2
    rows = np.abs(np.fft.fftfreq(green.shape[0]))[:, None]
    columns = np.fft.rfftfreq(green.shape[1])[None, :]
    radius = np.hypot(rows, columns)
    coarse = float(np.median(power[(radius > 0.02) & (radius < 0.12)]))
    fine = float(np.median(power[(radius > 0.38) & (radius < 0.5)]))
    return math.sqrt(fine / max(coarse, 1e-12)) if coarse > 0.0 or fine > 0.0 else 1.0


def _mosaic(channels: Sequence[Floats]) -> float:
    """Variance of the least noisy of the four pixels of each 2 by 2 over that of the most noisy."""
    variances = [
        float(np.mean([np.var(channel[row::2, column::2]) for channel in channels]))
        for row in (0, 1)
        for column in (0, 1)
    ]
    return min(variances) / max(*variances, 1e-12) if max(variances) > 0.0 else 1.0


def _blocks(picture: Floats) -> float:
    """Variance of the fine detail of blocks on the grid over that of blocks between them."""
    grey = picture @ np.array([0.299, 0.587, 0.114])
    on_grid, between = _fine_variance(grey), _fine_variance(grey[BLOCK // 2 :, BLOCK // 2 :])
    return on_grid / between if between > 1e-9 else 1.0


def _fine_variance(grey: Floats) -> float:
    """Mean square of the finer half of the cosine transform of every block of 8 by 8."""
    height, width = (side // BLOCK * BLOCK for side in grey.shape)
    blocks = (
        grey[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    )
    k, n = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    cosines = (
        np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK))
        * np.where(k == 0, 1.0, math.sqrt(2.0))
        / math.sqrt(BLOCK)
    )
    coefficients = cosines @ blocks @ cosines.T
    fine = k + n >= BLOCK
    return float((coefficients[..., fine] ** 2).mean())
