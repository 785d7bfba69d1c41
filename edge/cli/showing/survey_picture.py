"""The picture of a survey: the focal surface with its points, and what it leaves over. Needs matplotlib."""

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from parfocal.edge.surface.surface import FocalSurface

if TYPE_CHECKING:
    from matplotlib.axes import Axes


GRID_PX = 120
MARKS = {
    "rejected": ("x", "tab:red", "rejected"),
    "blank": ("s", "tab:gray", "blank"),
    "lost": ("^", "tab:orange", "lost"),
}


def draw(file: BinaryIO, surface: FocalSurface) -> None:
    """Write the picture of a surface to `file` as PNG. Raises OSError."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")

    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6), layout="constrained")
    low, high = surface.hull_um.min(axis=0), surface.hull_um.max(axis=0)
    x_um, y_um = np.meshgrid(np.linspace(low[0], high[0], GRID_PX), np.linspace(low[1], high[1], GRID_PX))
    z_um = surface.heights_um(x_um.ravel(), y_um.ravel()).reshape(x_um.shape)
    shown = left.pcolormesh(x_um / 1000.0, y_um / 1000.0, z_um, cmap="viridis", shading="nearest")
    left.use_sticky_edges = False  # points on the rim are whole
    shrunk = min(1.0, max(0.3, float((high - low)[1] / (high - low)[0])))  # as high as the map
    figure.colorbar(shown, ax=left, label="height of the focus, um", shrink=shrunk)
    path = np.array([(p.x_um, p.y_um) for p in surface.points]) / 1000.0
    left.plot(path[:, 0], path[:, 1], "-", color="0.6", linewidth=0.6, alpha=0.8, label="order of the points")
    left.set_title(f"focal surface: {surface.model}")
    _mark(left, surface, "white")
    used = [p for p in surface.points if p.status == "used"]
    off_um = np.array([p.residual_um or 0.0 for p in used])
    limit_um = max(0.5, float(np.abs(off_um).max()))
    residuals = right.scatter(
        [p.x_um / 1000.0 for p in used],
        [p.y_um / 1000.0 for p in used],
        c=off_um,
        cmap="coolwarm",
        vmin=-limit_um,
        vmax=limit_um,
        s=80,
        edgecolors="black",
        linewidths=0.4,
    )
    figure.colorbar(residuals, ax=right, label="point above the surface, um", shrink=shrunk)
    error = surface.error
    right.set_title(
        f"leave-one-out error {error.rms_um:.2f} um ({error.low_um:.2f}..{error.high_um:.2f}), "
        f"worst {error.worst_um:.2f} um"
    )
    _mark(right, surface, None)
    for axes in (left, right):
        axes.set_xlabel("x, mm")
        axes.set_ylabel("y, mm")
        axes.set_aspect("equal")
        axes.margins(0.05)
    figure.savefig(file, dpi=100, format="png")
    plt.close(figure)


def _mark(axes: "Axes", surface: FocalSurface, used_colour: str | None) -> None:
    """Mark the points: those that are left out, and in `used_colour` the others."""
    if used_colour is not None:
        used = np.array([(p.x_um, p.y_um) for p in surface.points if p.status == "used"]) / 1000.0
        axes.plot(*used.T, "o", color=used_colour, markersize=4, mec="black", mew=0.5, label="used")
    for status, (marker, colour, label) in MARKS.items():
        at = np.array([(p.x_um, p.y_um) for p in surface.points if p.status == status]) / 1000.0
        if len(at):
            axes.plot(at[:, 0], at[:, 1], marker, color=colour, markersize=8, label=label, linestyle="none")
    if axes.get_legend_handles_labels()[1]:
        # Below the axes, where it hides no point.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=5, frameon=False)
