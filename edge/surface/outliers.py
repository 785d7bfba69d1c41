"""Which points agree with one smooth surface: least trimmed squares, then growth from the good points outwards.

Soft losses bound the pull of a wrong point but do not remove it, and a wrong point at a corner of the grid pulls the
surface to itself. So the fit starts from the three quarters of the points that agree best, and takes in others in the
order in which they agree, as long as they do. Heights themselves are never compared: a tilted slide has no outliers.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.surface.polynomial import Floats, solved

KEPT_SHARE = 0.75  # up to a quarter of the points may be wrong
MIN_SPARE = 3  # points more than terms in the start: their scatter is what others are judged by
MAX_SIGMAS = 4.0  # of a scatter known from many points; more where it is known from few
MIN_SIGMA_UM = 0.3  # what focusing itself scatters (docs/focus.md; liao2021 2.2: 0.28 um)
N_STARTS = 300  # with a quarter of wrong points, one start in six of a quadratic has none
N_REFINED = 10
N_STEPS = 20


def agreeing(terms: Floats, z_um: Floats) -> NDArray[np.bool_]:
    """Which of the points (n,) agree with one surface of these `terms` (n, n_terms). The same for the same points."""
    n_points, n_terms = terms.shape
    n_start = max(n_terms + MIN_SPARE, math.ceil(KEPT_SHARE * n_points))
    if n_start >= n_points:  # too few to tell which one is wrong
        return np.ones(n_points, bool)
    kept = np.zeros(n_points, bool)
    kept[_best_subset(terms, z_um, n_start)] = True
    while not kept.all():
        off_um, limit_um = _distances(terms, z_um, kept)
        nearest = int(np.argmin(np.where(kept, np.inf, off_um / limit_um)))
        if off_um[nearest] > limit_um[nearest]:
            break
        kept[nearest] = True
    return kept


def _distances(terms: Floats, z_um: Floats, kept: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How far every point is from the surface of the kept ones, and how far it may be, um."""
    inside = terms[kept]
    residual_um = z_um - terms @ solved(inside, z_um[kept])
    freedom = len(inside) - inside.shape[1]
    sigma_um = _untrimmed(len(inside) / len(terms)) * np.sqrt(np.sum(residual_um[kept] ** 2) / freedom)
    spread = np.sqrt(1.0 + np.einsum("ij,jk,ik->i", terms, np.linalg.pinv(inside.T @ inside), terms))
    limit_um: Floats = MAX_SIGMAS * (1.0 + 2.0 / freedom) * max(float(sigma_um), MIN_SIGMA_UM) * spread
    return np.abs(residual_um), limit_um


def _untrimmed(share: float) -> float:
    """The standard deviation of a normal distribution, over that of its middle `share`."""
    if share >= 1.0:
        return 1.0
    normal = NormalDist()
    z = normal.inv_cdf((1.0 + share) / 2.0)
    return 1.0 / math.sqrt(1.0 - 2.0 * z * normal.pdf(z) / share)


def _best_subset(terms: Floats, z_um: Floats, n_kept: int) -> NDArray[np.intp]:
    """The `n_kept` points with the least sum of squares about their own surface, as far as it is found."""
    n_points, n_terms = terms.shape
    rng = np.random.default_rng(n_points)
    picks = np.argsort(rng.random((N_STARTS, n_points)), axis=1)[:, :n_terms]
    starts = np.einsum("sij,sj->si", np.linalg.pinv(terms[picks]), z_um[picks])
    squares = np.sort((z_um - starts @ terms.T) ** 2, axis=1)[:, :n_kept].sum(axis=1)
    candidates = [starts[i] for i in np.argsort(squares, kind="stable")[:N_REFINED]]
    seen: set[bytes] = set()
    subsets = [
        _concentrated(terms, z_um, n_kept, start, seen) for start in (solved(terms, z_um), *candidates)
    ]
    return min(filter(None, subsets), key=lambda found: found[0])[1]


def _concentrated(
    terms: Floats, z_um: Floats, n_kept: int, coefficients: Floats, seen: set[bytes]
) -> tuple[float, NDArray[np.intp]] | None:
    """Fit the nearest points again and again, which never raises their sum of squares.

    None where it comes to a subset that was `seen` from an earlier start: it would go on as that did.
    """
    nearest = np.empty(0, np.intp)
    ours: set[bytes] = set()
    for _ in range(N_STEPS):
        found = np.sort(np.argsort(np.abs(z_um - terms @ coefficients), kind="stable")[:n_kept])
        if np.array_equal(found, nearest):
            break
        if (key := found.tobytes()) in seen:
            return None
        ours.add(key)
        nearest = found
        coefficients = solved(terms[nearest], z_um[nearest])
    seen |= ours
    return float(np.sum((z_um - terms @ coefficients)[nearest] ** 2)), nearest
