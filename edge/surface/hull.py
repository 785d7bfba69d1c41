"""The convex hull of points on the stage."""

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.surface.polynomial import Floats

TOLERANCE_UM = 1.0  # a place this far outside still counts as inside: stages and files round


def hull_of(places_um: Floats) -> Floats:
    """Corners (m, 2) of the convex hull of places (n, 2), counter-clockwise: Andrew's monotone chain."""
    ordered = sorted({(float(x), float(y)) for x, y in places_um})
    if len(ordered) < 3:
        return np.array(ordered, np.float64).reshape(-1, 2)
    return np.array(_half(ordered)[:-1] + _half(ordered[::-1])[:-1], np.float64)


def is_inside(hull_um: Floats, x_um: Floats, y_um: Floats) -> NDArray[np.bool_]:
    """Whether places of any shape lie in the hull (m, 2), or no more than `TOLERANCE_UM` outside."""
    if not len(hull_um):
        return np.ones(np.broadcast(x_um, y_um).shape, bool)
    one_per_side = (-1, *(1,) * np.broadcast(x_um, y_um).ndim)
    ax, ay = hull_um.T.reshape(2, *one_per_side)
    side_x, side_y = (np.roll(hull_um, -1, axis=0) - hull_um).T.reshape(2, *one_per_side)
    across = side_x * (y_um - ay) - side_y * (x_um - ax)
    return np.asarray((across >= -TOLERANCE_UM * np.hypot(side_x, side_y)).all(axis=0), bool)


def _half(ordered: list[tuple[float, float]]) -> list[tuple[float, float]]:
    chain: list[tuple[float, float]] = []
    for x, y in ordered:
        while len(chain) > 1 and _turn(chain[-2], chain[-1], (x, y)) <= 0.0:
            chain.pop()
        chain.append((x, y))
    return chain


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    """Positive if the way from `a` over `b` to `c` turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
