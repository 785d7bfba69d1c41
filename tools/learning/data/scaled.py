"""Spectra of single shots through one objective, as another one would show them.

Defocus, colours and phase blur by the same laws through every objective: what counts is the frequency in parts of the
aperture's, and the path that a wave at the rim of the light gains. So thousands of shots that were rendered for one
objective teach the head of another, which then needs few shots of its own.
"""

import math
from dataclasses import replace

import numpy as np

from tools.arrays import FloatArray
from tools.learning.data.features import Features, without_maps
from tools.networks.spectrum import COLOURS, N_RINGS, RING_EDGES, n_spectral
from tools.rendering.instruments import REFERENCE_CONDENSER
from tools.rendering.objectives import Objective

# The last rings of one objective lie beyond those of the other. They are continued at most by this many rings.
MOST_BEYOND = 1.3


def scaled(features: Features, made_for: Objective, wanted: Objective) -> Features:
    """Return the spectra of single shots and their distances, as `wanted` would have shown such samples."""
    ratio = _px_of_aperture(made_for) / _px_of_aperture(wanted)
    rings = features.spectral.reshape(len(features), -1, N_RINGS)
    moved = _at(rings, _centres() * ratio)
    moved[:, COLOURS:] = np.clip(moved[:, COLOURS:], -1.0, 1.0)  # coherences
    factor = _path(made_for) / _path(wanted)
    return replace(
        without_maps(features),
        spectral=moved.reshape(len(features), n_spectral(COLOURS)),
        distance_um=(factor * features.distance_um).astype(np.float32),
    )


def aligned(spectral: FloatArray, to: FloatArray) -> FloatArray:
    """Return features (n, k) with the mean and deviation of others (m, k): cameras and textures do not scale."""
    mean, deviation = spectral.mean(axis=0), spectral.std(axis=0) + 1e-3
    result: FloatArray = (spectral - mean) / deviation * (to.std(axis=0) + 1e-3) + to.mean(axis=0)
    return result.astype(np.float32, copy=False)


def _px_of_aperture(objective: Objective) -> float:
    """Return a measure of the size of a pixel in parts of the finest detail that passes, um."""
    return objective.optics.na * objective.optics.um_per_px


def _path(objective: Objective) -> float:
    """Return the path per um of defocus between the axis and the rim of the light, for the usual condenser."""
    return 1.0 - math.sqrt(1.0 - (REFERENCE_CONDENSER * objective.optics.na) ** 2)


def _centres() -> FloatArray:
    edges = np.array(RING_EDGES, np.float32)
    return np.asarray((edges[:-1] + edges[1:] - 1.0) / 2.0, np.float32)


def _at(rings: FloatArray, lines: FloatArray) -> FloatArray:
    """Return values on rings (n, k, rings) at other lines, linear in the logarithm of the line."""
    known, wanted = np.log(_centres()), np.log(lines)
    below = np.clip(np.searchsorted(known, wanted) - 1, 0, N_RINGS - 2)
    share = (wanted - known[below]) / (known[below + 1] - known[below])
    share = np.clip(share, 1.0 - MOST_BEYOND, MOST_BEYOND)
    result: FloatArray = rings[:, :, below] * (1.0 - share) + rings[:, :, below + 1] * share
    return result
