"""Figures of merit of a shot, and the peak of a sweep (dastidar2020 4.3.1: variance of Laplacian)."""

from collections.abc import Sequence

import cv2
import numpy as np

from parfocal.edge.pixels import UInt8Array

# The peak must stand out of the rest of the sweep by this many of its median deviations and by this share:
# a sweep through an empty field is level but for noise.
MIN_PROMINENCE_DEVIATIONS = 6.0
MIN_PROMINENCE_SHARE = 0.06
# How far a short sweep must fall from its top to either end. Noise scatters the variance of 50,000 pixels by
# less than 1 %.
MIN_FALL_SHARE = 0.04


def variance_of_laplacian(pixels: UInt8Array) -> float:
    """Variance of the Laplacian of the grey values of an image (h, w, 3), in grey levels squared.

    Halved in size first: at 0.345 um/px the finest detail of a lens is noise for the most part, and noise is
    as sharp out of focus as in it.
    """
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 0.8), cv2.CV_32F, ksize=3).var())


def peak_um(z_um: Sequence[float], sharpness: Sequence[float]) -> float | None:
    """Height of the sharpest plane of a sweep with even steps, by a parabola through the three around the peak.

    None where the sweep has no peak to trust: too short, highest at an end, or level but for noise.
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
    """Height of the highest value of a short sweep about a peak; None where it does not fall to both ends.

    Within a few um of the focus there is no level ground to stand out of, but the curve bends: both ends must
    lie lower than the top by more than noise makes of a level curve.
    """
    top = int(np.argmax(sharpness)) if len(sharpness) else 0
    if top in (0, len(sharpness) - 1):
        return None
    if max(sharpness[0], sharpness[-1]) > (1.0 - MIN_FALL_SHARE) * sharpness[top]:
        return None
    return parabola_vertex(z_um[top - 1 : top + 2], sharpness[top - 1 : top + 2])


def parabola_vertex(z_um: Sequence[float], values: Sequence[float]) -> float:
    """Where the parabola through three evenly spaced points has its vertex, never outside the three."""
    below, middle, above = values
    bend = below - 2.0 * middle + above
    if bend >= 0.0:
        return float(z_um[1])
    offset = 0.5 * (below - above) / bend
    return float(z_um[1] + np.clip(offset, -1.0, 1.0) * (z_um[2] - z_um[0]) / 2.0)
