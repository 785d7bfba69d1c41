"""Renders images of the virtual slide through the objective, at any position and height."""

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.optics import FloatArray, Optics, radial_grid, spread, transfer_profiles
from parfocal.edge.simscope.slide import VirtualSlide

MARGIN_PX = 48  # defocus blurs this much into the field; beyond about 16 um the edge of the margin shows
# Negative, as in a section mounted in a medium of a higher refractive index than the stain. Most stains have +0.2 to
# +0.8 (docs/optics.md), but the shipped models were trained on -0.4 to -0.1: an earlier `optics.py` had the sign of
# phase wrong and half of its strength. +0.3 needs models that were trained on both signs.
PHASE_PER_DENSITY_RAD = -0.15
WHITE_LEVEL = 232.0
FULL_WELL_ELECTRONS = 12000.0
READ_NOISE_LEVELS = 0.8
MAX_DEFOCUS_UM = 40.0  # farther out only the mean is left, and single source points would show
PROFILE_STEP_UM = 0.2  # a quarter of the depth of field: the transfer between two steps is nearly linear
KEPT_FIELDS = 1  # spectra in memory: a stage is at one field at a time


class Scene:
    """Renders shots of a slide through the reference objective.

    Not modelled: thickness (there is one layer; the training data vary it), tilt within a field, vignetting, motion
    during an exposure, compression, a colour filter array.
    """

    def __init__(self, slide: VirtualSlide, optics: Optics, shape_px: tuple[int, int], seed: int) -> None:
        """`shape_px` is (h, w) of the camera."""
        self._slide, self._optics, self._shape_px = slide, optics, shape_px
        self._padded_px = (
            cv2.getOptimalDFTSize(shape_px[0] + 2 * MARGIN_PX),
            2 * cv2.getOptimalDFTSize((shape_px[1] + 2 * MARGIN_PX + 1) // 2),
        )
        self._index, self._fraction, self._pixel = radial_grid(self._padded_px, optics.um_per_px)
        self._spectra: dict[tuple[int, int], NDArray[np.complex64]] = {}
        self._rng = np.random.default_rng([seed, 31])

    def shot(self, x_um: float, y_um: float, defocus_um: float, brightness: float) -> UInt8Array:
        """A noisy shot, RGB uint8 (h, w, 3), with the stage `defocus_um` above focus.

        `brightness` is the lamp's light relative to the light that the exposure was set for.
        """
        image = np.exp(-self._image_density(x_um, y_um, defocus_um))
        image *= WHITE_LEVEL * brightness
        image = np.ascontiguousarray(image.transpose(1, 2, 0))
        deviation = np.sqrt(image * (255.0 / FULL_WELL_ELECTRONS) + READ_NOISE_LEVELS**2)
        image += deviation * self._rng.standard_normal(image.shape, np.float32)
        shot: UInt8Array = np.rint(image, out=image).clip(0, 255, out=image).astype(np.uint8)
        return shot

    def _image_density(self, x_um: float, y_um: float, defocus_um: float) -> FloatArray:
        """Optical density of the image, float32 (3, h, w)."""
        z_um = float(np.clip(defocus_um, -MAX_DEFOCUS_UM, MAX_DEFOCUS_UM))
        profile = self._profile(z_um)
        spectrum = self._spectrum(x_um, y_um)
        top, left = ((p - s) // 2 for p, s in zip(self._padded_px, self._shape_px, strict=True))
        height, width = self._shape_px
        image = np.empty((3, height, width), np.float32)
        for channel in range(3):
            transfer = spread(profile[channel], self._index, self._fraction) * self._pixel
            whole = np.fft.irfft2(spectrum[channel] * transfer, self._padded_px)
            image[channel] = whole[top : top + height, left : left + width]
        return image

    def _profile(self, z_um: float) -> FloatArray:
        """Transfer at one height, float32 (3, n_q), interpolated between cached heights."""
        below = math.floor(z_um / PROFILE_STEP_UM)
        share = np.float32(z_um / PROFILE_STEP_UM - below)
        lower, upper = _transfer(self._optics, below), _transfer(self._optics, below + 1)
        result: FloatArray = lower * (1 - share) + upper * share
        return result

    def _spectrum(self, x_um: float, y_um: float) -> NDArray[np.complex64]:
        key = (round(x_um / self._optics.um_per_px), round(y_um / self._optics.um_per_px))
        if key not in self._spectra:
            while len(self._spectra) >= KEPT_FIELDS:
                self._spectra.pop(next(iter(self._spectra)))
            density = self._slide.density(x_um, y_um, self._padded_px)
            self._spectra[key] = np.fft.rfft2(density, axes=(1, 2)).astype(np.complex64)
        return self._spectra[key]


@functools.lru_cache(maxsize=1024)  # 2 kB each, and every scene of one optical setting needs the same ones
def _transfer(optics: Optics, number: int) -> FloatArray:
    """Transfer of a stained object at the height `number * PROFILE_STEP_UM`, float32 (3, n_q)."""
    absorption, phase = transfer_profiles(optics, np.array([number * PROFILE_STEP_UM], np.float32))
    # The phase of the object is proportional to its density, so both transfers add up to one per channel.
    profile: FloatArray = absorption[0] + PHASE_PER_DENSITY_RAD * phase[0]
    return profile
