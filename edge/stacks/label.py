"""Labels a stack with the height where it is sharpest, between its planes; unclear cases are left to a person.

Two figures of merit are fitted separately, Brenner gradient and variance of Laplacian. They must agree.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.sharpness import brenner_gradient, variance_of_laplacian
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.stacks.stack import Stack
from parfocal.edge.words import counted

FloatArray = NDArray[np.float64]

MIN_PLANES = 5
# The peak is fitted to the planes above this share of its height, and to at least five planes.
FITTED_SHARE = 0.6
# The peak must stand out from the other planes by this share, and by this many standard deviations of their scatter.
MIN_PROMINENCE_SHARE = 0.1
MIN_PROMINENCE_DEVIATIONS = 6.0
# A second peak of this share of the first's height, with a valley of this share between them, may be the true one.
RIVAL_SHARE, RIVAL_VALLEY_SHARE = 0.5, 0.15
MAX_DISAGREEMENT_UM = 1.0  # about a depth of field at NA 0.75


class Label(msgspec.Struct, frozen=True):
    """The height of the focus, um; None where a person must look, with the reason in `review`."""

    focus_z_um: float | None
    review: str | None = None


def label_stack(stack: Stack) -> Label:
    """The focus that a stack gives itself, else the one that its planes show."""
    if stack.focus_z_um is not None:
        return Label(stack.focus_z_um)
    return label_planes(stack.planes, stack.z_um)


def label_planes(planes: Sequence[UInt8Array], z_um: Sequence[float]) -> Label:
    """Label planes, RGB uint8 (h, w, 3) each, at rising heights `z_um`."""
    by_brenner = label_curve(z_um, [brenner_gradient(plane) for plane in planes])
    by_laplacian = label_curve(z_um, [variance_of_laplacian(plane) for plane in planes])
    if by_brenner.focus_z_um is None:
        return by_brenner
    if by_laplacian.focus_z_um is None:
        return by_laplacian
    if abs(by_brenner.focus_z_um - by_laplacian.focus_z_um) > MAX_DISAGREEMENT_UM:
        return Label(
            None,
            f"Brenner gradient peaks at z={by_brenner.focus_z_um:.2f} um, "
            f"variance of Laplacian at z={by_laplacian.focus_z_um:.2f} um",
        )
    return by_brenner


def label_curve(z_um: Sequence[float], sharpness: Sequence[float]) -> Label:
    """Label a curve of sharpness over rising heights, which need not be evenly spaced.

    Raises ValueError where the two differ in length.
    """
    heights_um, values = np.asarray(z_um, np.float64), np.asarray(sharpness, np.float64)
    if heights_um.shape != values.shape:
        raise ValueError(f"{len(values)} values of sharpness at {len(heights_um)} heights")
    if len(values) < MIN_PLANES:
        return Label(None, f"{counted(len(values), 'plane')}, {MIN_PLANES} or more are needed to see a peak")
    top = int(values.argmax())
    base = float(np.quantile(values, 0.1))
    prominence = float(values[top]) - base
    if prominence <= max(MIN_PROMINENCE_SHARE * base, MIN_PROMINENCE_DEVIATIONS * _scatter(values)):
        return Label(None, "flat: no plane is clearly sharper than the others")
    if top in (0, len(values) - 1):
        return Label(None, f"sharpest at its end z={heights_um[top]:.2f} um: the focus may be outside")
    rival = _rival(values, top, base)
    if rival is not None:
        return Label(
            None, f"two peaks of comparable height, at z={heights_um[top]:.2f} and {heights_um[rival]:.2f} um"
        )
    return _fitted(heights_um, values, top, base)


def _scatter(values: FloatArray) -> float:
    """Standard deviation of the noise from plane to plane, from second differences, which ignore a slope."""
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6.0))


def _rival(values: FloatArray, top: int, base: float) -> int | None:
    """Index of the highest other peak that could be the true one, or None."""
    height = float(values[top]) - base
    rivals = []
    for k in range(len(values)):
        between = values[min(k, top) : max(k, top) + 1]
        valley = float(values[k] - between.min())
        if k != top and values[k] - base >= RIVAL_SHARE * height and valley >= RIVAL_VALLEY_SHARE * height:
            rivals.append(k)
    return max(rivals, key=lambda k: float(values[k])) if rivals else None


def _fitted(heights_um: FloatArray, values: FloatArray, top: int, base: float) -> Label:
    """Vertex of the least-squares parabola through the upper part of the peak."""
    floor = base + FITTED_SHARE * (float(values[top]) - base)
    low, high = top, top
    while low > 0 and values[low - 1] >= floor:
        low -= 1
    while high < len(values) - 1 and values[high + 1] >= floor:
        high += 1
    # At least five where the stack has them: a fit to three follows the noise of every plane.
    low, high = max(0, min(low, top - 2)), min(len(values) - 1, max(high, top + 2))
    offsets_um = heights_um[low : high + 1] - heights_um[top]
    bend, slope, _ = np.polyfit(offsets_um, values[low : high + 1], 2)
    vertex_um = -slope / (2.0 * bend) if bend < 0.0 else np.inf
    if not offsets_um[0] <= vertex_um <= offsets_um[-1]:
        return Label(None, f"the planes around z={heights_um[top]:.2f} um have no clear peak")
    return Label(float(heights_um[top] + vertex_um))
