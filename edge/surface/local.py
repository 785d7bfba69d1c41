"""What neighbouring points have in common above a low-order surface: a weighted mean of their residuals."""

import numpy as np

from parfocal.edge.surface.polynomial import Floats

REACH_SPACINGS = 2.0  # how far a point reaches, in typical distances between neighbours


def reach_of(x_um: Floats, y_um: Floats) -> float:
    """How far a point's residual reaches, um: twice the median distance to the nearest neighbour."""
    apart_um = np.hypot(x_um[:, None] - x_um, y_um[:, None] - y_um)
    np.fill_diagonal(apart_um, np.inf)
    return REACH_SPACINGS * float(np.median(apart_um.min(axis=1)))


def weights(apart_um: Floats, reach_um: float) -> Floats:
    """The weight of points at these distances: 1 at the point itself, 0 from `reach_um` on."""
    return np.asarray(np.clip(1.0 - (apart_um / max(reach_um, 1e-9)) ** 2, 0.0, None) ** 2, np.float64)


def correction(weight: Floats, residual_um: Floats) -> Floats:
    """Weighted mean of residuals (..., n) along the last axis, drawn to zero where few points are near.

    A lone point corrects nothing: its own error would be all there is.
    """
    total = weight.sum(axis=-1)
    mean_um = (weight * residual_um).sum(axis=-1) / np.maximum(total, 1e-9)
    return np.asarray(mean_um * np.maximum(total - 1.0, 0.0) / np.maximum(total, 1.0), np.float64)
