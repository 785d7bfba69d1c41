"""The part of a frame that focus is judged by."""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian_variance
from parfocal.edge.pixels import UInt8Array

PATCHES_PER_SIDE = 2  # dastidar2020 4.2: the central part is split into four
# A trace is structure of 4 to 32 px, as standard deviations in pixels of the halved image. Shading of the lamp is
# coarser, and most of the noise is finer.
TRACE_PX = (2.0, 16.0)
EDGE_PX = 24  # where shading leaves a trace, since nothing lies beyond
# So far out of focus that too little contrast is left, a specimen still has a trace: of this share of
# `blank_contrast`, and of more than this share of what the finest detail has. Noise alone has 0.066, JPEG 60 raises it
# to 0.12. A few bacteria 25 um out of focus have 0.46 to 0.6, and 0.16 to 0.2 with noise of 8 grey levels.
MIN_TRACE_SHARE, MIN_TRACE_OVER_DETAIL = 0.12, 0.15


def reduced(pixels: UInt8Array, config: FocusConfig) -> UInt8Array:
    """A whole frame (h, w, 3), downsampled by `focus.downsample`."""
    if config.downsample == 1:
        return pixels
    size_px = (pixels.shape[1] // config.downsample, pixels.shape[0] // config.downsample)
    return cv2.resize(pixels, size_px, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


class CentralPart:
    """The middle of a frame, cut out and downsampled once. What is measured on it is measured once as well."""

    def __init__(self, frame: UInt8Array, config: FocusConfig) -> None:
        """Cut the middle out of `frame`, RGB uint8 (h, w, 3). Raises ValueError if the frame is too small.

        `pixels` shows the same memory as `frame`, if nothing is downsampled.
        """
        self._config, self.patch_px = config, config.patch_px
        side_px = PATCHES_PER_SIDE * config.patch_px * config.downsample
        self.pixels: UInt8Array = reduced(prepare.central_crop(frame, side_px), config)

    @cached_property
    def smoothed(self) -> UInt8Array:
        """The 3 x 3 median of `pixels`, the same shape (dastidar2020 2.2.3)."""
        return prepare.smoothed(self.pixels)

    @cached_property
    def planes(self) -> prepare.Planes:
        """The channels of `smoothed`, each (h, w)."""
        return prepare.planes_of(self.smoothed)

    @cached_property
    def contrasts(self) -> NDArray[np.float32]:
        """Contrast of each patch in grey levels, (n,)."""
        return prepare.contrasts_of(self.planes, self._config.patch_px)

    @cached_property
    def halved_grey(self) -> NDArray[np.float32]:
        """Grey values at half the size, slightly smoothed: sharpness and smear are measured on them."""
        return halved_grey(self.pixels)

    @cached_property
    def sharpness(self) -> float:
        """Variance of the Laplacian, grey levels squared (dastidar2020 4.3.1)."""
        return laplacian_variance(self.halved_grey)

    @cached_property
    def trace(self) -> float:
        """Structure of 4 to 32 px, standard deviation in grey levels: what is left of a specimen far out of focus."""
        fine, coarse = (cv2.GaussianBlur(self.halved_grey, (0, 0), sigma_px) for sigma_px in TRACE_PX)
        edge_px = min(EDGE_PX, fine.shape[0] // 4)
        return float(np.subtract(fine, coarse)[edge_px:-edge_px, edge_px:-edge_px].std())

    @property
    def has_trace(self) -> bool:
        """Whether something out of focus shows, even if `is_blank`."""
        is_blurred = self.trace > MIN_TRACE_OVER_DETAIL * self.sharpness**0.5
        return is_blurred and self.trace > MIN_TRACE_SHARE * self._config.blank_contrast

    @cached_property
    def mean_level(self) -> float:
        """Mean of all pixels and channels, grey levels."""
        return sum(cv2.sumElems(self.pixels)) / self.pixels.size

    @property
    def clarity(self) -> float:
        """Sharpness over squared contrast: about the same in every field in focus, pale or dark; 0 without contrast."""
        mean_square = float(self.contrasts @ self.contrasts) / len(self.contrasts)
        return self.sharpness / mean_square if mean_square > 0.0 else 0.0

    @property
    def is_blank(self) -> bool:
        """Whether no patch holds enough contrast to judge focus by."""
        return is_blank(self.contrasts, self._config)


def is_blank(contrasts: NDArray[np.float32], config: FocusConfig) -> bool:
    """Whether no patch, by its contrast in grey levels (n,), holds enough to judge focus by."""
    return bool(contrasts.max() < config.blank_contrast)
