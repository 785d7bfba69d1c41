"""Positions of all tiles at once: what their pictures say, held together by what the stage says.

Robust least squares. A registration counts by its covariance; one that contradicts the others loses its weight
(Geman-McClure). Steps of the stage hold where no picture speaks, and its positions, weakly, hold the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from parfocal.edge.stitch.layout import Floats, StagePlace
from parfocal.edge.stitch.links import Link

if TYPE_CHECKING:  # imported where it is used: it takes a third of the time in which the command line starts
    import scipy.sparse

FLOOR_PX = 0.05  # a registration is never believed to be better: distortion of the lens, pixels of the camera
SCALE_SIGMAS = 4.0  # residuals beyond lose their weight quickly
N_ROUNDS = 12
USED_WEIGHT = 0.25  # of the robust weight: below, a registration counts as refused
MIN_LINKS = 4  # to tell the mean step of the pictures from that of the stage


class Trust(msgspec.Struct, frozen=True):
    """Standard deviations of the stage: of a step between neighbours, and of a position, um."""

    step_um: float = 2.0
    position_um: float = 50.0


class Solution(msgspec.Struct, frozen=True, eq=False):
    """Corners (n, 2) of the tiles, px (x, y); for each link its residual (m, 2), px, and whether it was used."""

    corners_px: Floats
    residuals_px: Floats
    is_used: tuple[bool, ...]


def solved(
    places: Sequence[StagePlace], nominal: Floats, links: Sequence[Link], trust: Trust, um_per_px: float
) -> Solution:
    """Find the positions that agree best with `links` and with the stage, `nominal` px (n, 2)."""
    import scipy.sparse

    pairs = np.array([(link.first, link.second) for link in links], np.int64).reshape(-1, 2)
    measured = np.array([link.offset_px for link in links], np.float64).reshape(-1, 2)
    square_roots = np.stack([_square_root(link) for link in links]) if links else np.zeros((0, 2, 2))
    steps = _stage_steps(places, nominal, links)
    step_px, position_px = trust.step_um / um_per_px, trust.position_um / um_per_px
    n = len(nominal)
    fixed = [
        (_differences(pairs, n) / step_px, steps / step_px),
        (scipy.sparse.identity(n, format="csr") / position_px, nominal / position_px),
    ]
    believed = np.array([link.is_believed for link in links], bool)
    weights = believed.astype(np.float64)
    corners = nominal
    residuals = np.zeros((len(links), 2))
    for _ in range(N_ROUNDS):
        corners = _least_squares(fixed, pairs, measured, square_roots * np.sqrt(weights)[:, None, None], n)
        residuals = measured - (corners[pairs[:, 1]] - corners[pairs[:, 0]])
        sigmas2 = np.einsum("kij,kj->ki", square_roots, residuals)
        sigmas2 = np.sum(sigmas2**2, axis=1) / SCALE_SIGMAS**2
        new = np.where(believed, 1.0 / (1.0 + sigmas2) ** 2, 0.0)
        is_settled = not len(new) or float(np.abs(new - weights).max()) < 1e-3
        weights = new
        if is_settled:
            break
    return Solution(corners, residuals, tuple(bool(w > USED_WEIGHT) for w in weights))


def _square_root(link: Link) -> Floats:
    """The matrix (2, 2) that takes a residual of `link` to standard deviations; zero where it is not believed."""
    if link.shift is None or not link.is_believed:
        return np.zeros((2, 2))
    values, vectors = np.linalg.eigh(link.shift.information)
    sigma_px = np.sqrt(1.0 / np.maximum(values, 1e-9) + FLOOR_PX**2)
    root: Floats = (vectors / sigma_px).T
    return root


def _stage_steps(places: Sequence[StagePlace], nominal: Floats, links: Sequence[Link]) -> Floats:
    """Steps (m, 2) between neighbours by the stage, px, along rows and columns corrected by the pictures' median.

    So a small error of scale or angle does not show where no picture speaks.
    """
    if not links:
        return np.zeros((0, 2))
    steps = np.array([nominal[link.second] - nominal[link.first] for link in links])
    is_along_row = np.array([places[link.first].row == places[link.second].row for link in links])
    is_believed = np.array([link.is_believed for link in links])
    off = np.array([link.offset_px for link in links]) - steps
    for kind in (is_along_row, ~is_along_row):
        told = kind & is_believed
        if told.sum() >= MIN_LINKS:
            steps[kind] += np.median(off[told], axis=0)
    return steps


def _differences(pairs: np.ndarray, n: int) -> scipy.sparse.csr_matrix:
    """The matrix (m, n) that takes positions to the steps of `pairs`."""
    import scipy.sparse

    m = len(pairs)
    rows = np.repeat(np.arange(m), 2)
    signs = np.tile([-1.0, 1.0], m)
    return scipy.sparse.csr_matrix((signs, (rows, pairs.ravel())), shape=(m, n))


def _least_squares(
    fixed: list[tuple[scipy.sparse.csr_matrix, Floats]],
    pairs: np.ndarray,
    measured: Floats,
    roots: Floats,
    n: int,
) -> Floats:
    """Positions (n, 2) with the least sum of squares of the links and of the `fixed` terms, alike in X and Y."""
    import scipy.sparse.linalg

    normal = scipy.sparse.csr_matrix((2 * n, 2 * n))
    right = np.zeros(2 * n)
    for matrix, value in fixed:
        normal = normal + scipy.sparse.kron(matrix.T @ matrix, scipy.sparse.identity(2), format="csr")
        right += (matrix.T @ value).ravel()
    information = np.einsum("kji,kjl->kil", roots, roots)
    difference = _differences(pairs, n)
    for i in range(2):
        for j in range(2):
            weighted = scipy.sparse.diags(information[:, i, j])
            block = difference.T @ weighted @ difference
            unit = scipy.sparse.csr_matrix(([1.0], ([i], [j])), shape=(2, 2))
            normal = normal + scipy.sparse.kron(block, unit, format="csr")
            right[i::2] += difference.T @ (information[:, i, j] * measured[:, j])
    found: Floats = scipy.sparse.linalg.spsolve(normal.tocsc(), right).reshape(n, 2)
    return found
