"""Does a model know when it errs? Predicted uncertainties against errors, and what is accepted although it is off."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools.arrays import FloatArray

SIGMA_EDGES_UM = (0.0, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0, np.inf)
FEWEST = 10  # estimates that a point of the diagram stands for
OFF_BY_UM = (1.0, 1.5)


@dataclass(frozen=True)
class Estimates:
    """Estimates of images, each (n,): error, predicted uncertainty, and whether one estimate would end a field.

    One estimate ends a field if it is believed and near enough (`parfocal.edge.focus.judging.rule`).
    """

    error_um: FloatArray
    sigma_um: FloatArray
    accepted: np.ndarray


@dataclass(frozen=True)
class Bin:
    """Estimates of about one predicted uncertainty.

    `sigma_um` and `rms_error_um` are root mean squares; `within` is the share of errors within their own uncertainty,
    0.683 for a normal distribution that is predicted rightly.
    """

    sigma_um: float
    rms_error_um: float
    within: float
    n: int


def bins_of(estimates: Estimates) -> list[Bin]:
    """Return the bins of predicted uncertainty that have at least `FEWEST` estimates, ascending."""
    found = []
    for low_um, high_um in itertools.pairwise(SIGMA_EDGES_UM):
        chosen = (estimates.sigma_um >= low_um) & (estimates.sigma_um < high_um)
        if (n := int(chosen.sum())) < FEWEST:
            continue
        error_um, sigma_um = estimates.error_um[chosen], estimates.sigma_um[chosen]
        within = float((np.abs(error_um) <= sigma_um).mean())
        found.append(Bin(_rms(sigma_um), _rms(error_um), within, n))
    return found


def off_and_accepted(estimates: Estimates) -> list[tuple[int, int]]:
    """Return, for each of `OFF_BY_UM`, how many estimates are off by more, and how many of those are accepted."""
    counts = []
    for off_um in OFF_BY_UM:
        off = np.abs(estimates.error_um) > off_um
        counts.append((int(off.sum()), int((off & estimates.accepted).sum())))
    return counts


def lines_of(estimates: Estimates) -> list[str]:
    """Return both as lines of text."""
    lines = [f"{len(estimates.error_um)} images"]
    for off_um, (off, accepted) in zip(OFF_BY_UM, off_and_accepted(estimates), strict=True):
        lines.append(f"off by more than {off_um:g} um: {off}, of which one estimate would accept {accepted}")
    lines += [
        "",
        "| predicted sigma, um | images | rms error, um | errors within sigma |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {found.sigma_um:.2f} | {found.n} | {found.rms_error_um:.2f} | {100 * found.within:.0f} % |"
        for found in bins_of(estimates)
    ]
    return lines


def draw(models: Sequence[tuple[str, Sequence[tuple[str, Estimates]]]], path: Path) -> None:
    """Draw error against predicted uncertainty: a panel for each model, a line for each named set of estimates."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")
    figure, panels = plt.subplots(
        1, len(models), figsize=(5.0 * len(models), 4.8), squeeze=False, layout="constrained"
    )
    for axes, (model, sets) in zip(panels[0], models, strict=True):
        reach_um = (0.08, 3.0)
        axes.plot(reach_um, reach_um, color="grey", linewidth=1.0, label="error as predicted")
        for name, estimates in sets:
            bins = bins_of(estimates)
            axes.plot([b.sigma_um for b in bins], [b.rms_error_um for b in bins], marker="o", label=name)
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="predicted uncertainty, um",
            ylabel="root mean square error, um",
            title=model,
        )
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
