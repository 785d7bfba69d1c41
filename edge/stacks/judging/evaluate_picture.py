"""Plots an evaluation: predicted over true distance, and the error by distance. Needs matplotlib."""

from typing import BinaryIO

import numpy as np

from parfocal.edge.stacks.judging.results import Evaluation
from parfocal.edge.words import counted


def draw(file: BinaryIO, result: Evaluation) -> None:
    """Write the plot to `file` as PNG. Raises OSError."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")

    planes = [plane for stack in result.stacks for plane in stack.planes if not plane.blank]
    true_um = np.array([plane.true_um for plane in planes])
    predicted_um = np.array([plane.predicted_um for plane in planes], np.float64)
    accepted = np.array([plane.accepted for plane in planes], bool)
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    for chosen, colour, name in (
        (accepted, "tab:blue", "accepted"),
        (~accepted, "tab:orange", "not accepted"),
    ):
        left.plot(true_um[chosen], predicted_um[chosen], ".", color=colour, markersize=4, label=name)
        right.plot(
            true_um[chosen], (predicted_um - true_um)[chosen], ".", color=colour, markersize=4, label=name
        )
    reach_um = max(result.range_um, float(np.abs(true_um).max(initial=0.0)))
    left.plot([-reach_um, reach_um], [-reach_um, reach_um], color="gray", linewidth=0.8)
    depth_um = result.depth_of_field_um
    right.axhspan(-depth_um, depth_um, color="tab:green", alpha=0.15, label="depth of field")
    left.set(xlabel="true distance to focus, um", ylabel="predicted distance, um")
    right.set(xlabel="true distance to focus, um", ylabel="error, um")
    for axes in (left, right):
        axes.axhline(0.0, color="gray", linewidth=0.5)
        axes.axvline(0.0, color="gray", linewidth=0.5)
        axes.legend()
    mean = f", mean error {result.figures.mean_um:.2f} um" if result.figures else ""
    figure.suptitle(f"{result.model} on {counted(len(result.stacks), 'stack')}{mean}")
    figure.savefig(file, dpi=100, format="png")
    plt.close(figure)
