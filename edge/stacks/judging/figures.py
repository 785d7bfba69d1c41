"""Sums up predictions as the papers' tables do."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from parfocal.edge.focus.judging.depth import REFERENCE_DEPTH_UM
from parfocal.edge.stacks.judging.results import BinFigures, Figures, PlaneResult

# In depths of field. About that near a wrong sign costs nothing; 1 um through 20x/0.75, as in dastidar2020 2.2.1.
SIGN_COUNTS_BEYOND = 1.0 / REFERENCE_DEPTH_UM
BIN_EDGES_UM = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 25.0, 50.0)


def judged(planes: Iterable[PlaneResult]) -> list[PlaneResult]:
    """The planes that count: not blank, and within the model's range."""
    return [plane for plane in planes if plane.in_range and not plane.blank]


def figures_of(planes: Sequence[PlaneResult], depth_um: float) -> Figures | None:
    """Summary of planes that all have a prediction, with a depth of field in um; None without planes."""
    if not planes:
        return None
    errors_um = np.array([plane.error_um for plane in planes], np.float64)
    absolute_um = np.abs(errors_um)
    accepted = np.array([plane.accepted for plane in planes])
    mean_um = float(absolute_um.mean())
    return Figures(
        planes=len(planes),
        mean_um=mean_um,
        sd_um=float(absolute_um.std()),
        median_um=float(np.median(absolute_um)),
        bias_um=float(errors_um.mean()),
        mean_per_depth_of_field=mean_um / depth_um,
        within_depth_of_field=float((absolute_um <= depth_um).mean()),
        wrong_sign=_wrong_sign(planes, SIGN_COUNTS_BEYOND * depth_um),
        accepted=float(accepted.mean()),
        accepted_mean_um=float(absolute_um[accepted].mean()) if accepted.any() else None,
    )


def _wrong_sign(planes: Sequence[PlaneResult], beyond_um: float) -> float | None:
    """Share of the planes farther from the focus that are predicted on its other side; None where none is."""
    outside = [plane for plane in planes if abs(plane.true_um) > beyond_um]
    if not outside:
        return None
    return sum(plane.true_um * (plane.predicted_um or 0.0) < 0.0 for plane in outside) / len(outside)


def bins_of(planes: Sequence[PlaneResult], depth_um: float) -> tuple[BinFigures, ...]:
    """Summaries by true distance to focus, without the bins that have no planes."""
    bins = []
    for low_um, high_um in itertools.pairwise(BIN_EDGES_UM):
        figures = figures_of([p for p in planes if low_um <= abs(p.true_um) < high_um], depth_um)
        if figures is not None:
            bins.append(BinFigures(low_um, high_um, figures))
    return tuple(bins)
