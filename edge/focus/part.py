"""The part of a frame that focus is judged by."""

from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus import prepare
from parfocal.edge.focus.sharpness import halved_grey, laplacian
from parfocal.edge.pixels import UInt8Array

PATCHES_PER_SIDE = 2  # dastidar2020 4.2: the central part is split into four


def reduced(pixels: UInt8Array, config: FocusConfig) -> UInt8Array:
    """A whole frame (h, w, 3), downsampled by `focus.downsample`."""
    if config.downsample == 1:
        return pixels
    size_px = (pixels.shape[1] // config.downsample, pixels.shape[0] // config.downsample)
    return cv2.resize(pixels, size_px, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


class CentralPart:
    """The middle of a frame, cut out and downsampled once. What is measured on it is measured once as well."""

    def __init__(self, frame: UInt8Array, config: FocusConfig) -> None:
        """Cut the middle out of `frame`, RGB uint8 (h, w, 3). Raises ValueError if the frame is too small."""
        self._config, self.patch_px = config, config.patch_px
        side_px = PATCHES_PER_SIDE * config.patch_px * config.downsample
        self.pixels: UInt8Array = np.ascontiguousarray(reduced(prepare.central_crop(frame, side_px), config))

    @cached_property
    def smoothed(self) -> UInt8Array:
        """The 3 x 3 median of `pixels`, the same shape (dastidar2020 2.2.3)."""
        return prepare.smoothed(self.pixels)

    @cached_property
    def contrasts(self) -> NDArray[np.float32]:
        """Contrast of each patch in grey levels, (n,)."""
        return prepare.contrasts_of(self.smoothed, self._config.patch_px)

    @cached_property
    def halved_grey(self) -> NDArray[np.float32]:
        """Grey values at half the size, slightly smoothed: sharpness and smear are measured on them."""
        return halved_grey(self.pixels)

    @cached_property
    def sharpness(self) -> float:
        """Variance of the Laplacian, grey levels squared (dastidar2020 4.3.1)."""
        return float(laplacian(self.halved_grey).var())

    @cached_property
    def mean_level(self) -> float:
        """Mean of all pixels and channels, grey levels."""
        return sum(cv2.sumElems(self.pixels)) / self.pixels.size

    @property
    def clarity(self) -> float:
        """Sharpness over squared contrast: about the same in every field in focus, pale or dark; 0 without contrast."""
        mean_square = float(np.mean(np.square(self.contrasts)))
        return self.sharpness / mean_square if mean_square > 0.0 else 0.0

    @property
    def is_blank(self) -> bool:
        """Whether no patch holds enough contrast to judge focus by."""
        return is_blank(self.contrasts, self._config)


def is_blank(contrasts: NDArray[np.float32], config: FocusConfig) -> bool:
    """Whether no patch, by its contrast in grey levels (n,), holds enough to judge focus by."""
    return bool(contrasts.max() < config.blank_contrast)
