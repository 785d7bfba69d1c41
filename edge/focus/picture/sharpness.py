"""Sharpness of a shot by the measures of the literature, and the peak of a sweep. Pure functions."""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float32]

BRENNER_SHIFT_PX = 2
BLUR_PX = 0.8  # standard deviation, in pixels of the halved image

# A peak must rise above the rest of the sweep by this many median deviations and by this share. A sweep through an
# empty field is flat except for noise.
MIN_PROMINENCE_DEVIATIONS = 6.0
MIN_PROMINENCE_SHARE = 0.06
# How far a short sweep must fall from its top to each end. Noise changes the variance of 50,000 pixels by less than
# 1 %.
MIN_FALL_SHARE = 0.04


class Sharpness(msgspec.Struct, frozen=True):
    """Four measures of one image. Each is larger for a sharper image of the same object.

    The first three are means over pixels, in grey levels squared. They do not change with an even background and grow
    with the square of the exposure. `normalised_variance` is in grey levels: it changes with the background, and grows
    with the exposure itself. None changes when the image is mirrored; only `brenner` changes when it is turned by 90
    degrees.

    - `variance_of_laplacian`: dastidar2020 4.3.1, pechpacheco2000.
    - `brenner`: squared difference of two pixels two columns apart (brenner1976, liao2021 appendix C).
    - `tenengrad`: squared length of the gradient by Sobel, per pixel (krotkov1987, without its threshold).
    - `normalised_variance`: variance over mean (groen1985).
    """

    variance_of_laplacian: float
    brenner: float
    tenengrad: float
    normalised_variance: float


def sharpness_of(pixels: UInt8Array) -> Sharpness:
    """All four measures of an image, RGB uint8 (h, w, 3), halved in size and smoothed once. 5 px a side at least."""
    grey = halved_grey(pixels)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, x, 1 - x, ksize=3, scale=1.0 / 8.0) for x in (1, 0))
    apart = grey[:, 2:] - grey[:, :-2]
    mean = float(grey.mean())
    return Sharpness(
        variance_of_laplacian=laplacian_variance(grey),
        brenner=float(np.square(apart).mean()),
        tenengrad=float((np.square(across) + np.square(down)).mean()),
        normalised_variance=float(grey.var()) / mean if mean > 0.0 else 0.0,
    )


def variance_of_laplacian(pixels: UInt8Array) -> float:
    """Variance of the Laplacian of the halved and smoothed grey values of an image (h, w, 3), grey levels squared."""
    return laplacian_variance(halved_grey(pixels))


def brenner_gradient(pixels: UInt8Array) -> float:
    """Mean squared difference of the green values two pixels apart, across and down, of an image (h, w, 3).

    In grey levels squared. Only green, as a lens focuses each colour at a different height.
    """
    green = pixels[..., 1].astype(np.float32)
    across = green[:, BRENNER_SHIFT_PX:] - green[:, :-BRENNER_SHIFT_PX]
    down = green[BRENNER_SHIFT_PX:] - green[:-BRENNER_SHIFT_PX]
    return float(np.mean(across * across) + np.mean(down * down))


def halved_grey(pixels: UInt8Array) -> FloatArray:
    """Grey values of an image (h, w, 3) at half its size, slightly smoothed; float32 (h // 2, w // 2).

    At 0.345 um/px the finest detail is mostly noise, which is as sharp out of focus as in focus.
    """
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), BLUR_PX), np.float32)


def laplacian(grey: FloatArray) -> FloatArray:
    """Laplacian of grey values (h, w), the same shape."""
    return np.asarray(cv2.Laplacian(grey, cv2.CV_32F, ksize=3), np.float32)


def laplacian_variance(grey: FloatArray) -> float:
    """Variance of the Laplacian of grey values (h, w): as `laplacian(grey).var()`, in a third of the time of `var`."""
    values = laplacian(grey)
    # The mean is near zero, so the difference of the two loses nothing.
    mean = cv2.sumElems(values)[0] / values.size
    return max(0.0, cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean * mean)


def peak_um(z_um: Sequence[float], sharpness: Sequence[float]) -> float | None:
    """Height of the peak of an evenly spaced sweep, by a parabola through its three highest points.

    None if there is no reliable peak: the sweep is too short, highest at one end, or flat except for noise.
    """
    values = np.asarray(sharpness, np.float64)
    top = int(values.argmax()) if len(values) else 0
    if len(values) < 5 or top in (0, len(values) - 1):
        return None
    base = float(np.median(values))
    scatter = float(np.median(np.abs(values - base)))
    prominence = float(values[top]) - base
    if prominence < max(MIN_PROMINENCE_DEVIATIONS * scatter, MIN_PROMINENCE_SHARE * base):
        return None
    return parabola_vertex(z_um[top - 1 : top + 2], values[top - 1 : top + 2].tolist())


def peak_inside_um(z_um: Sequence[float], sharpness: Sequence[float]) -> float | None:
    """Height of the peak of a short sweep; None if the curve does not fall towards both ends.

    Within a few um of the focus there is no flat part to compare with. Instead both ends must be lower than the top
    by more than noise explains.
    """
    top = int(np.argmax(sharpness)) if len(sharpness) else 0
    if top in (0, len(sharpness) - 1):
        return None
    if max(sharpness[0], sharpness[-1]) > (1.0 - MIN_FALL_SHARE) * sharpness[top]:
        return None
    return parabola_vertex(z_um[top - 1 : top + 2], sharpness[top - 1 : top + 2])


def parabola_vertex(z_um: Sequence[float], values: Sequence[float]) -> float:
    """Vertex of the parabola through three evenly spaced points, never outside them."""
    below, middle, above = values
    bend = below - 2.0 * middle + above
    if bend >= 0.0:
        return float(z_um[1])
    offset = 0.5 * (below - above) / bend
    return float(z_um[1] + np.clip(offset, -1.0, 1.0) * (z_um[2] - z_um[0]) / 2.0)
