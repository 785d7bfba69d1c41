"""Plots of a training: learning curve, and predicted against true distance."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.learning.judged.tables import Judged, usable


def draw_learning(log: list[dict[str, Any]], path: Path) -> None:
    """Plot the mean error on held-out patches against patches seen, for each group."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    seen = [entry["patches"] for entry in log]
    for group in log[-1]["groups"]:
        means = [entry["groups"].get(group, {}).get("mean_um", np.nan) for entry in log]
        axes.plot(seen, means, marker=".", linewidth=2.5 if group == "all" else 1.0, label=group)
    axes.set(xlabel="patches seen in training", ylabel="mean error on held-out patches, um", yscale="log")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_scatter(
    examples: Judged, predicted_um: NDArray[np.float32], range_um: float, path: Path, title: str
) -> None:
    """Plot predicted (n,) against true distance of the usable patches, coloured by group."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")
    counted = usable(examples, range_um)
    distance_um, predicted_um = np.array(examples.distance_um)[counted], predicted_um[counted]
    groups = np.array(examples.group)[counted]
    figure, axes = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
    reach_um = float(np.abs(distance_um).max()) * 1.1
    axes.plot([-reach_um, reach_um], [-reach_um, reach_um], color="grey", linewidth=1.0)
    for group in sorted(set(groups)):
        mask = groups == group
        axes.scatter(distance_um[mask], predicted_um[mask], s=6, alpha=0.5, label=group)
    axes.axhline(0.0, color="grey", linewidth=0.5)
    axes.axvline(0.0, color="grey", linewidth=0.5)
    axes.set(
        xlim=(-reach_um, reach_um),
        ylim=(-reach_um, reach_um),
        xlabel="true distance, um",
        ylabel="predicted distance, um",
        title=title,
    )
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
