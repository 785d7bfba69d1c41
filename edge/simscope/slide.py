"""A virtual slide: any sharp image as optical density, repeated in mirror image without end, with blank areas."""

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]
MAX_DENSITY = 1.8  # a camera of 8 bits sees black beyond it
MIN_IMAGE_PX = 32
MAX_SLIDE_PX = 50_000_000  # as an image and as camera pixels: 2.5 GB of memory while it is laid
# Standard deviation of the optical density under which an image holds nothing to focus on: about one grey
# level, no more than the noise of the camera.
MIN_STRUCTURE = 0.005
BLANK_CELL_UM = 1500.0


def image_from_file(path: Path) -> UInt8Array:
    """Read an image file as RGB uint8 (h, w, 3). Raises ConfigError where it is none."""
    try:
        return rgb_from_file(path)
    except OSError as error:
        raise unreadable_slide(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigError(
            f"slide {error}; nothing moved. Give another PNG, JPEG, TIFF or BMP, a part of it, or a recorded stack."
        ) from error


def unreadable_slide(path: Path, why: str) -> ConfigError:
    """The error about a slide that is not there or may not be read."""
    return ConfigError(f"slide {path} cannot be read: {why}; nothing moved. Give another path.")


def density_from_image(pixels: UInt8Array) -> FloatArray:
    """Optical density (h, w, 3) of an image (h, w, 3), against its 99.5th percentile as the background."""
    background = np.percentile(pixels.reshape(-1, 3), 99.5, axis=0).astype(np.float32)
    # A table of the 256 values there are: a large image is held once as density, and not once more for every step.
    values = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(-np.log((values + 1.0) / (background + 1.0)), 0.0, MAX_DENSITY).astype(np.float32)
    density = np.empty(pixels.shape, np.float32)
    for channel in range(3):
        density[..., channel] = table[:, channel][pixels[..., channel]]
    return density


class VirtualSlide:
    """Optical density anywhere on the stage."""

    def __init__(
        self,
        pixels: UInt8Array,
        image_um_per_px: float,
        um_per_px: float,
        seed: int,
        blank_share: float = 0.15,
    ) -> None:
        """Lay ``pixels`` (h, w, 3), sampled at ``image_um_per_px``, under a camera of ``um_per_px``.

        ``blank_share`` of the cells of a coarse grid hold an area without tissue.
        Raises ConfigError where the image is too small, too large or of one colour.
        """
        if image_um_per_px <= 0.0 or not math.isfinite(image_um_per_px):
            raise ConfigError(
                f"slide sampling of {image_um_per_px} um per px given: it must be positive. Correct --um-per-px."
            )
        scale = image_um_per_px / um_per_px
        _check_size((pixels.shape[0], pixels.shape[1]), image_um_per_px, scale)
        density = density_from_image(pixels)
        if float(density.mean(axis=2).std()) < MIN_STRUCTURE:
            raise ConfigError(
                "the slide image is of one colour: there is nothing to focus on; nothing moved. "
                "Give an image with structure."
            )
        interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
        resized = cv2.resize(density, None, fx=scale, fy=scale, interpolation=interpolation)
        self._density = np.clip(resized, 0.0, MAX_DENSITY, out=resized).astype(np.float32, copy=False)
        self._um_per_px, self._seed, self._blank_share = um_per_px, seed, blank_share

    def density(self, x_um: float, y_um: float, shape_px: tuple[int, int]) -> FloatArray:
        """Optical density (3, h, w) of the area of ``shape_px`` = (h, w) camera pixels centred at (x_um, y_um)."""
        row_um = y_um + (np.arange(shape_px[0], dtype=np.float64) - shape_px[0] / 2.0) * self._um_per_px
        column_um = x_um + (np.arange(shape_px[1], dtype=np.float64) - shape_px[1] / 2.0) * self._um_per_px
        rows = _mirrored(np.rint(row_um / self._um_per_px).astype(np.int64), self._density.shape[0])
        columns = _mirrored(np.rint(column_um / self._um_per_px).astype(np.int64), self._density.shape[1])
        area: FloatArray = self._density[rows[:, None], columns[None, :]]
        tissue: FloatArray = self._tissue(row_um, column_um)
        return np.ascontiguousarray(np.multiply(area, tissue[..., None]).transpose(2, 0, 1))

    def _tissue(self, row_um: NDArray[np.float64], column_um: NDArray[np.float64]) -> FloatArray:
        """1 where there is tissue, 0 in blank areas, with soft rims; (h, w)."""
        tissue = np.ones((len(row_um), len(column_um)), np.float32)
        for i in range(math.floor(row_um[0] / BLANK_CELL_UM), math.floor(row_um[-1] / BLANK_CELL_UM) + 1):
            for j in range(
                math.floor(column_um[0] / BLANK_CELL_UM), math.floor(column_um[-1] / BLANK_CELL_UM) + 1
            ):
                rng = np.random.default_rng([self._seed, 21, i + 2**20, j + 2**20])
                if rng.random() >= self._blank_share:
                    continue
                # The area fits into its cell, so no neighbouring cell need be asked.
                radius_um = rng.uniform(0.3, 0.45, 2) * BLANK_CELL_UM
                centre_um = (np.array([i, j]) + 0.5) * BLANK_CELL_UM
                reach = np.hypot(
                    ((row_um - centre_um[0]) / radius_um[0])[:, None],
                    ((column_um - centre_um[1]) / radius_um[1])[None, :],
                )
                tissue *= np.clip((reach - 1.0) / 0.04 + 0.5, 0.0, 1.0).astype(np.float32)
        return tissue


def _check_size(shape_px: tuple[int, int], image_um_per_px: float, scale: float) -> None:
    """Refuse an image (h, w) with too few or too many pixels, as it is or `scale` times as large as on the camera."""
    height_px, width_px = shape_px
    asked = f"slide image of {width_px} x {height_px} px at {image_um_per_px:g} um per px"
    if min(shape_px) * scale < MIN_IMAGE_PX:
        raise ConfigError(
            f"{asked} is smaller than {MIN_IMAGE_PX} camera pixels; nothing moved. "
            "Give a larger image or another --um-per-px."
        )
    if height_px * width_px * max(1.0, scale) ** 2 > MAX_SLIDE_PX:
        raise ConfigError(
            f"{asked} covers {width_px * scale:.0f} x {height_px * scale:.0f} camera pixels; image and area may have "
            f"{MAX_SLIDE_PX:,} at most; nothing moved. Give a smaller image or another --um-per-px."
        )


def _mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices into an axis of ``length`` that is continued by its mirror image on both sides."""
    phase = np.mod(index, 2 * length)
    return np.where(phase < length, phase, 2 * length - 1 - phase)
