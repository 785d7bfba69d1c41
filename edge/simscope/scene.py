"""Renders images of the virtual slide through the objective, at any position and height."""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.noise import CameraNoise
from parfocal.edge.simscope.optics import FloatArray, Optics, radial_grid, spread, transfer_profiles
from parfocal.edge.simscope.slide import VirtualSlide

MARGIN_PX = 48  # defocus blurs this much into the field; beyond about 16 um the edge of the margin shows
# Of most stained objects it is 0.2 to 0.8; 0.4 to 0.5 was measured on a blood smear (docs/optics.md).
PHASE_PER_DENSITY_RAD = 0.3
WHITE_LEVEL = 232.0
# All three are for NA 0.75; through another aperture they go with the depth of field.
MAX_DEFOCUS_UM = 40.0  # farther out only the mean is left, and single source points would show
PROFILE_STEP_UM = 0.2  # a quarter of the depth of field: the transfer between two steps is nearly linear
KEPT_FIELDS = 1  # spectra in memory: a stage is at one field at a time
# An uneven field is put together from planes at multiples of this. Between two of them the density of the image is
# nearly linear: the error is 0.0005 (root mean square), a tenth of a grey level.
PLANE_STEP_UM = 0.4
KEPT_PLANES = (
    16  # of an uneven field, 15 MB each at 1224 x 1024: neighbouring shots of a sweep share most of them
)
# Colour channels are drawn side by side. Each has its own noise, so the picture does not depend on their timing.
_CHANNELS = ThreadPoolExecutor(3, "parfocal-scene")


class Scene:
    """Renders shots of a slide through an objective.

    A camera whose pixels are binned later is rendered at the sampling of the binned picture: each of its pixels shows
    the mean of its neighbours, with noise of its own. That leaves out detail which the binned picture does not have.

    Not modelled: thickness (there is one layer; the training data vary it), vignetting, motion during an exposure,
    compression, a colour filter array.
    """

    def __init__(
        self, slide: VirtualSlide, optics: Optics, shape_px: tuple[int, int], seed: int, binned: int = 1
    ) -> None:
        """`shape_px` is (h, w) of the binned picture, of which the camera has `binned` pixels along each side."""
        self._slide, self._optics, self._shape_px, self._binned = slide, optics, shape_px, binned
        self._max_um, self._plane_step_um = MAX_DEFOCUS_UM * optics.depth, PLANE_STEP_UM * optics.depth
        self._padded_px = (
            cv2.getOptimalDFTSize(shape_px[0] + 2 * MARGIN_PX),
            2 * cv2.getOptimalDFTSize((shape_px[1] + 2 * MARGIN_PX + 1) // 2),
        )
        # All grids lie with their columns in rows: the first half of the inverse transform then runs along memory.
        index, fraction, pixel = (grid.T for grid in radial_grid(self._padded_px, optics.um_per_px))
        # NumPy computes a transform of float32 that is not scaled in float64, three times as slowly. So the transform
        # of the slide is divided by the number of pixels, and multiplied here.
        self._pixel = np.ascontiguousarray(pixel) * np.float32(math.prod(self._padded_px))
        # Frequencies beyond the middle are negative, and the transfer there mirrors those before it.
        n_lower = self._padded_px[0] // 2 + 1
        self._index = np.ascontiguousarray(index[:, :n_lower])
        self._fraction = np.ascontiguousarray(fraction[:, :n_lower])
        self._spectra: dict[tuple[int, int], tuple[NDArray[np.complex64], ...]] = {}
        self._noise = tuple(CameraNoise((seed, 31, channel)) for channel in range(3))
        self._drawn_at_um: tuple[float, float, float] | None = None
        self._drawn: tuple[FloatArray, ...] = ()
        self._planes: dict[tuple[float, float, int], tuple[FloatArray, ...]] = {}

    def shot(self, x_um: float, y_um: float, defocus_um: float, brightness: float) -> UInt8Array:
        """A noisy shot, RGB uint8 (h, w, 3), with the stage `defocus_um` above focus.

        `brightness` is the lamp's light relative to the light that the exposure was set for.
        """
        z_um = float(np.clip(defocus_um, -self._max_um, self._max_um))
        return self._exposed(self._transmission(x_um, y_um, z_um), brightness)

    def uneven_shot(self, x_um: float, y_um: float, defocus_um: FloatArray, brightness: float) -> UInt8Array:
        """A noisy shot as `shot` gives it, with a defocus of its own for each pixel, um (h, w)."""
        level = np.clip(defocus_um, -self._max_um, self._max_um) / self._plane_step_um
        densities = tuple(np.zeros(self._shape_px, np.float32) for _ in range(3))
        for number in range(math.floor(level.min()), math.ceil(level.max()) + 1):
            share = np.clip(1.0 - np.abs(level - np.float32(number)), 0.0, None)
            rows, columns = (np.flatnonzero(share.any(axis=axis)) for axis in (1, 0))
            if not len(rows):
                continue
            part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            for density, plane in zip(densities, self._plane(x_um, y_um, number), strict=True):
                density[part] += share[part] * plane[part]
        return self._exposed(tuple(_CHANNELS.map(_transmitted, densities)), brightness)

    def _exposed(self, transmission: tuple[FloatArray, ...], brightness: float) -> UInt8Array:
        light = WHITE_LEVEL * brightness
        if self._binned > 1:
            transmission = tuple(
                channel.repeat(self._binned, axis=0).repeat(self._binned, axis=1) for channel in transmission
            )
        planes = _CHANNELS.map(
            lambda channel, noise: noise.exposed(channel, light), transmission, self._noise
        )
        shot: UInt8Array = np.asarray(cv2.merge(list(planes)), np.uint8)
        return shot

    def _plane(self, x_um: float, y_um: float, number: int) -> tuple[FloatArray, ...]:
        """Density of the image of an even field, so many steps of planes above its focus."""
        key = (x_um, y_um, number)
        if key not in self._planes:
            while len(self._planes) >= KEPT_PLANES:
                self._planes.pop(next(iter(self._planes)))
            self._planes[key] = self._image_density(x_um, y_um, number * self._plane_step_um)
        return self._planes[key]

    def _transmission(self, x_um: float, y_um: float, z_um: float) -> tuple[FloatArray, ...]:
        """Share of the light in the image, float32 (h, w) for each channel.

        The last one is kept: beyond `MAX_DEFOCUS_UM` all shots of a field share it, and most of a first sweep is there.
        """
        if self._drawn_at_um != (x_um, y_um, z_um):
            densities = self._image_density(x_um, y_um, z_um)
            self._drawn = tuple(_CHANNELS.map(_transmitted, densities))
            self._drawn_at_um = (x_um, y_um, z_um)
        return self._drawn

    def _image_density(self, x_um: float, y_um: float, z_um: float) -> tuple[FloatArray, ...]:
        """Optical density of the image, float32 (h, w) for each channel."""
        profile = self._profile(z_um)
        return tuple(_CHANNELS.map(self._imaged, self._spectrum(x_um, y_um), profile))

    def _imaged(self, spectrum: NDArray[np.complex64], profile: FloatArray) -> FloatArray:
        """The image (h, w) of one channel, from the spectrum of the object and the transfer (n_q,) at its height."""
        lower = spread(profile, self._index, self._fraction)
        transfer = np.concatenate([lower, lower[:, self._padded_px[0] - lower.shape[1] : 0 : -1]], axis=1)
        top, left = ((p - s) // 2 for p, s in zip(self._padded_px, self._shape_px, strict=True))
        height, width = self._shape_px
        # The inverse of `rfft2`, without the rows of the margin: they are cut off before the second half of the work.
        rows = np.ascontiguousarray(np.fft.ifft(spectrum * transfer)[:, top : top + height].T)
        return np.fft.irfft(rows, self._padded_px[1])[:, left : left + width].astype(np.float32)

    def _profile(self, z_um: float) -> FloatArray:
        """Transfer at one height, float32 (3, n_q), interpolated between cached heights."""
        step_um = PROFILE_STEP_UM * self._optics.depth
        below = math.floor(z_um / step_um)
        share = np.float32(z_um / step_um - below)
        lower, upper = _CHANNELS.map(functools.partial(_transfer, self._optics), (below, below + 1))
        result: FloatArray = lower * (1 - share) + upper * share
        return result

    def _spectrum(self, x_um: float, y_um: float) -> tuple[NDArray[np.complex64], ...]:
        """Spectrum of the object times the transfer of a pixel, (w // 2 + 1, h) for each channel.

        The slide moves by whole pixels of the camera: of a picture that is binned, by parts of its own.
        """
        um_per_px = self._optics.um_per_px
        key = (round(self._binned * x_um / um_per_px), round(self._binned * y_um / um_per_px))
        if key not in self._spectra:
            while len(self._spectra) >= KEPT_FIELDS:
                self._spectra.pop(next(iter(self._spectra)))
            beside_px = [number / self._binned - round(number / self._binned) for number in key]
            if self._binned > 1:
                # In the middle of a whole pixel, also where the picture has an odd side.
                x_um, y_um = (
                    (round(number / self._binned) + 0.25 * (side_px % 2)) * um_per_px
                    for number, side_px in zip(key, self._padded_px[::-1], strict=True)
                )
            density = self._slide.density(x_um, y_um, self._padded_px)
            spectra = tuple(_CHANNELS.map(self._transformed, density))
            if any(beside_px):
                ramp = _ramp(beside_px, self._padded_px)
                spectra = tuple(spectrum * ramp for spectrum in spectra)
            self._spectra[key] = spectra
        return self._spectra[key]

    def _transformed(self, density: FloatArray) -> NDArray[np.complex64]:
        columns = np.ascontiguousarray(np.fft.rfft(density, norm="forward").T)
        spectrum: NDArray[np.complex64] = (np.fft.fft(columns, norm="forward") * self._pixel).astype(
            np.complex64, copy=False
        )
        return spectrum


def _ramp(beside_px: Sequence[float], padded_px: tuple[int, int]) -> NDArray[np.complex64]:
    """What moves the object by parts of a pixel in x and y, over (w // 2 + 1, h) frequencies."""
    height_px, width_px = padded_px
    x, y = (
        np.exp(2j * np.pi * part_px * frequency)
        for part_px, frequency in zip(
            beside_px, (np.fft.rfftfreq(width_px), np.fft.fftfreq(height_px)), strict=True
        )
    )
    return np.asarray(x[:, None] * y, np.complex64)


def _transmitted(density: FloatArray) -> FloatArray:
    return np.asarray(cv2.exp(np.negative(density)), np.float32)


@functools.lru_cache(maxsize=1024)  # 2 kB each, and every scene of one optical setting needs the same ones
def _transfer(optics: Optics, number: int) -> FloatArray:
    """Transfer of a stained object, so many steps of profiles above its focus, float32 (3, n_q)."""
    z_um = number * PROFILE_STEP_UM * optics.depth
    absorption, phase = transfer_profiles(optics, np.array([z_um], np.float32))
    # The phase of the object is proportional to its density, so both transfers add up to one per channel.
    profile: FloatArray = absorption[0] + PHASE_PER_DENSITY_RAD * phase[0]
    return profile
