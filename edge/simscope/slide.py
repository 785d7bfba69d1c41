"""A virtual slide: any sharp image as optical density, continued by its mirror image, with blank areas."""

import math
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]
MAX_DENSITY = 1.8  # an 8-bit camera sees black beyond it
MIN_UM_PER_PX, MAX_UM_PER_PX = 0.001, 100.0
MIN_IMAGE_PX = 32
MAX_SLIDE_PX = 50_000_000  # as an image and as camera pixels: 2.5 GB of memory while the slide is made
# An image with a lower standard deviation of its optical density has nothing to focus on: about one grey level, no more
# than the noise of the camera.
MIN_STRUCTURE = 0.005
BLANK_CELL_UM = 1500.0


def image_from_file(path: Path) -> UInt8Array:
    """Read an image file as RGB uint8 (h, w, 3). Raises ConfigError where it is not an image that can be read."""
    try:
        return rgb_from_file(path)
    except OSError as error:
        raise unreadable_slide(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise ConfigError(
            f"slide {error}; nothing moved. Give another PNG, JPEG, TIFF or BMP, a part of it, or a recorded stack."
        ) from error


def unreadable_slide(path: Path, why: str) -> ConfigError:
    """The error about a slide that is missing or not readable."""
    return ConfigError(f"slide {path} cannot be read: {why}; nothing moved. Give another path.")


def density_from_image(pixels: UInt8Array) -> FloatArray:
    """Optical density (h, w, 3) of an image (h, w, 3), relative to its 99.5th percentile as the background."""
    background = np.percentile(pixels.reshape(-1, 3), 99.5, axis=0).astype(np.float32)
    # With a table of the 256 values, a large image is in memory once as density, without intermediate results.
    values = np.arange(256, dtype=np.float32)[:, None]
    table = np.clip(-np.log((values + 1.0) / (background + 1.0)), 0.0, MAX_DENSITY).astype(np.float32)
    density = np.empty(pixels.shape, np.float32)
    for channel in range(3):
        density[..., channel] = table[:, channel][pixels[..., channel]]
    return density


class SlideImage(msgspec.Struct, frozen=True, eq=False):
    """An image of tissue, RGB uint8 (h, w, 3), and its sampling on the sample."""

    pixels: UInt8Array
    um_per_px: float

    def __post_init__(self) -> None:
        """Raises ConfigError where the sampling is impossible."""
        if not MIN_UM_PER_PX <= self.um_per_px <= MAX_UM_PER_PX:
            raise ConfigError(
                f"slide sampling of {self.um_per_px:g} um per px given: it must be {MIN_UM_PER_PX:g} to "
                f"{MAX_UM_PER_PX:g}; nothing moved. Correct --um-per-px."
            )


class VirtualSlide:
    """Optical density anywhere on the stage."""

    def __init__(self, image: SlideImage, um_per_px: float, seed: int, blank_share: float = 0.15) -> None:
        """Put an image under a camera that samples at `um_per_px`.

        `blank_share` is the share of the cells of a coarse grid that have an area without tissue.
        Raises ConfigError where the image is too small, too large or of one colour.
        """
        scale = image.um_per_px / um_per_px
        _check_size(image, scale)
        density = density_from_image(image.pixels)
        if float(density.mean(axis=2).std()) < MIN_STRUCTURE:
            raise ConfigError(
                "the slide image is of one colour: there is nothing to focus on; nothing moved. "
                "Give an image with structure."
            )
        interpolation = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
        resized = cv2.resize(density, None, fx=scale, fy=scale, interpolation=interpolation)
        del density  # of a large image, before another copy is made
        planes = cv2.split(np.clip(resized, 0.0, MAX_DENSITY, out=resized))
        self._planes = [np.asarray(plane, np.float32) for plane in planes]
        self._um_per_px, self._seed, self._blank_share = um_per_px, seed, blank_share

    def density(self, x_um: float, y_um: float, shape_px: tuple[int, int]) -> FloatArray:
        """Optical density (3, h, w) of `shape_px` = (h, w) camera pixels around (x_um, y_um)."""
        row_um = y_um + (np.arange(shape_px[0], dtype=np.float64) - shape_px[0] / 2.0) * self._um_per_px
        column_um = x_um + (np.arange(shape_px[1], dtype=np.float64) - shape_px[1] / 2.0) * self._um_per_px
        height_px, width_px = self._planes[0].shape
        rows = _mirrored(np.rint(row_um / self._um_per_px).astype(np.int64), height_px)
        columns = _mirrored(np.rint(column_um / self._um_per_px).astype(np.int64), width_px)
        area = np.stack([plane.take(columns, axis=1).take(rows, axis=0) for plane in self._planes])
        area *= self._tissue(row_um, column_um)
        return area

    def _tissue(self, row_um: NDArray[np.float64], column_um: NDArray[np.float64]) -> FloatArray:
        """1 where there is tissue, 0 in blank areas, with soft edges; (h, w)."""
        tissue = np.ones((len(row_um), len(column_um)), np.float32)
        for i in range(math.floor(row_um[0] / BLANK_CELL_UM), math.floor(row_um[-1] / BLANK_CELL_UM) + 1):
            for j in range(
                math.floor(column_um[0] / BLANK_CELL_UM), math.floor(column_um[-1] / BLANK_CELL_UM) + 1
            ):
                rng = np.random.default_rng([self._seed, 21, i + 2**20, j + 2**20])
                if rng.random() >= self._blank_share:
                    continue
                # The area lies within its cell, so neighbouring cells do not matter.
                radius_um = rng.uniform(0.3, 0.45, 2) * BLANK_CELL_UM
                centre_um = (np.array([i, j]) + 0.5) * BLANK_CELL_UM
                reach = np.hypot(
                    ((row_um - centre_um[0]) / radius_um[0])[:, None],
                    ((column_um - centre_um[1]) / radius_um[1])[None, :],
                )
                tissue *= np.clip((reach - 1.0) / 0.04 + 0.5, 0.0, 1.0).astype(np.float32)
        return tissue


def _check_size(image: SlideImage, scale: float) -> None:
    """Refuse an image with too few or too many pixels, its own or those of the camera, `scale` times as many a side."""
    height_px, width_px = image.pixels.shape[:2]
    given = f"slide image of {width_px} x {height_px} px at {image.um_per_px:g} um per px"
    if min(height_px, width_px) * scale < MIN_IMAGE_PX:
        raise ConfigError(
            f"{given} is smaller than {MIN_IMAGE_PX} camera pixels; nothing moved. "
            "Give a larger image or another --um-per-px."
        )
    enlarged = max(1.0, scale)
    # A product, as a power of a huge scale raises OverflowError.
    if height_px * enlarged * width_px * enlarged > MAX_SLIDE_PX:
        raise ConfigError(
            f"{given} covers {width_px * scale:.6g} x {height_px * scale:.6g} camera pixels; the limit is "
            f"{MAX_SLIDE_PX:,}, for the image and for the camera pixels; nothing moved. "
            "Give a smaller image or another --um-per-px."
        )


def _mirrored(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices into an axis of `length` that is continued by its mirror image on both sides."""
    phase = np.mod(index, 2 * length)
    return np.where(phase < length, phase, 2 * length - 1 - phase)
