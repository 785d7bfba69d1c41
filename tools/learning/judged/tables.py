"""Errors of a model on held-out patches and whole images, by texture and by distance."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tools.arrays import FloatArray

Row = dict[str, float]

RANGE_UM = 10.0  # range of the shipped models
MIN_CONTRAST = (
    4.0  # in grey levels; below it a patch is blank to the microscope too (edge/config.py: blank_contrast)
)
SIGN_COUNTS_BEYOND_UM = 1.0
BIN_EDGES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the bins of distance, in parts of the range


class Judged(Protocol):
    """Patches with known distances: `Examples`, `Features` or `Images`."""

    @property
    def distance_um(self) -> Sequence[float] | FloatArray:
        """True distances (n,)."""

    @property
    def contrast(self) -> Sequence[float] | FloatArray:
        """Contrasts in grey levels (n,)."""

    @property
    def group(self) -> Sequence[str] | NDArray[np.str_]:
        """The group that each is reported under (n,)."""


class OnPlanes(Judged, Protocol):
    """Patches that know their plane."""

    @property
    def plane(self) -> Sequence[int] | NDArray[np.int64]:
        """Number of the plane of each patch (n,)."""


@dataclass(frozen=True)
class Images:
    """Whole planes, instead of their patches."""

    distance_um: FloatArray
    contrast: FloatArray
    group: NDArray[np.str_]
    predicted_um: FloatArray


def images_of(patches: OnPlanes, predicted_um: FloatArray) -> Images:
    """Return planes, each with the mean prediction of its patches, weighted by contrast (dastidar2020 3)."""
    contrast = np.array(patches.contrast, np.float32)
    planes, first, place = np.unique(np.array(patches.plane), return_index=True, return_inverse=True)
    weight = np.where(contrast >= MIN_CONTRAST, contrast, 0.0)
    n, total = len(planes), np.bincount(place, weight, len(planes))
    mean = np.bincount(place, weight * predicted_um, n) / np.maximum(total, 1e-9)
    strongest = np.zeros(n, np.float32)
    np.maximum.at(strongest, place, contrast)
    return Images(
        np.array(patches.distance_um, np.float32)[first],
        strongest,
        np.array(patches.group)[first],
        mean.astype(np.float32),
    )


def usable(examples: Judged, range_um: float) -> NDArray[np.bool_]:
    """Return which examples count, bool (n,): within the range of the model, and with enough contrast."""
    truth = np.array(examples.distance_um)
    counts: NDArray[np.bool_] = (np.abs(truth) <= range_um) & (np.array(examples.contrast) >= MIN_CONTRAST)
    return counts


def by_group(examples: Judged, predicted_um: FloatArray, range_um: float) -> dict[str, Row]:
    """Return a row of errors for each group, and for all."""
    truth, counts = np.array(examples.distance_um), usable(examples, range_um)
    groups = np.array(examples.group)
    rows = {str(g): _row(truth, predicted_um, counts & (groups == g)) for g in sorted(set(groups[counts]))}
    return {**rows, "all": _row(truth, predicted_um, counts)}


def in_a_line(rows: dict[str, Row]) -> str:
    """Return mean error in um and share of wrong directions of each row, in one line."""
    return "  ".join(f"{name} {r['mean_um']:.2f}/{100 * r['wrong_sign']:.1f}%" for name, r in rows.items())


def by_distance(examples: Judged, predicted_um: FloatArray, range_um: float) -> dict[str, Row]:
    """Return a row of errors for each bin of |distance|."""
    truth, counts = np.array(examples.distance_um), usable(examples, range_um)
    rows = {}
    for low, high in itertools.pairwise(range_um * edge for edge in BIN_EDGES):
        mask = counts & (np.abs(truth) >= low) & (np.abs(truth) < high)
        if mask.any():
            rows[f"{low:g}..{high:g}"] = _row(truth, predicted_um, mask)
    return rows


def _row(truth: NDArray[np.float64], predicted_um: FloatArray, mask: NDArray[np.bool_]) -> Row:
    """Return mean, deviation, median and bias in um, and the share of wrong signs beyond 1 um."""
    signed = predicted_um[mask] - truth[mask]
    error = np.abs(signed)
    far = mask & (np.abs(truth) > SIGN_COUNTS_BEYOND_UM)
    wrong = np.sign(predicted_um[far]) != np.sign(truth[far])
    return {
        "n": int(mask.sum()),
        "mean_um": round(float(error.mean()), 3),
        "sd_um": round(float(error.std()), 3),
        "median_um": round(float(np.median(error)), 3),
        "bias_um": round(float(signed.mean()), 3),
        "wrong_sign": round(float(wrong.mean()), 4) if far.any() else 0.0,
    }
