"""Least squares with polynomials of two variables, and what one point changes in them."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Order = Literal["plane", "quadratic"]

N_TERMS: dict[Order, int] = {"plane": 3, "quadratic": 6}
# A point with a larger leverage decides the surface near it alone: no other point can tell whether it is wrong.
MAX_LEVERAGE = 0.99


def design(u: Floats, v: Floats, order: Order) -> Floats:
    """The terms (n, n_terms) of a polynomial at the places (n,) `u`, `v`, which should lie within about +-1."""
    terms = [np.ones_like(u), u, v]
    if order == "quadratic":
        terms += [u * u, u * v, v * v]
    return np.stack(terms, axis=-1)


def solved(terms: Floats, z: Floats) -> Floats:
    """Coefficients (n_terms,) of the least-squares fit of `z` (n,)."""
    return np.asarray(np.linalg.lstsq(terms, z, rcond=None)[0], np.float64)


def hat(terms: Floats) -> Floats:
    """The hat matrix (n, n): how much each fitted value changes with each measured one."""
    return np.asarray(terms @ np.linalg.pinv(terms), np.float64)


def is_determined(terms: Floats) -> bool:
    """Whether the points determine every coefficient, and no coefficient hangs on one point alone."""
    n_points, n_terms = terms.shape
    if n_points <= n_terms:
        return False
    basis, scales, _ = np.linalg.svd(terms, full_matrices=False)
    if scales.min() <= 1e-6 * np.sqrt(n_points):
        return False
    return bool((basis**2).sum(axis=1).max() < MAX_LEVERAGE)  # the diagonal of the hat matrix
