"""Sharpness of a shot, and the peak of a sweep (dastidar2020 4.3.1: variance of Laplacian)."""

from collections.abc import Sequence

import cv2
import numpy as np

from parfocal.edge.pixels import UInt8Array

# A peak must rise above the rest of the sweep by this many median deviations and by this share. A sweep through an
# empty field is flat except for noise.
MIN_PROMINENCE_DEVIATIONS = 6.0
MIN_PROMINENCE_SHARE = 0.06
# How far a short sweep must fall from its top to each end. Noise changes the variance of 50,000 pixels by less than
# 1 %.
MIN_FALL_SHARE = 0.04


def variance_of_laplacian(pixels: UInt8Array) -> float:
    """Variance of the Laplacian of the grey values of an image (h, w, 3), in grey levels squared.

    The image is halved in size first: at 0.345 um/px the finest detail is mostly noise, which is as sharp out of
    focus as in focus.
    """
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F, ksize=3).var())


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
