"""The picture of the focus bench: time against error of each policy, a panel for each section."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.judging.depth import depth_of_field_um
from tests.bench.focus_policies import NAMES, OURS
from tests.bench.focus_rows import SECTIONS, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 5
LOWEST_UM, HIGHEST_UM = 0.04, 60.0  # of the panels; errors beyond are drawn at the edge
MARKS = dict(zip(NAMES, "sD^v<>ph*Xo", strict=True))
LABEL_PX = np.array([14.0, 6.0])  # half the width and height of a number
MARK_PX = 6.0  # half the width of a mark
# Where a number may stand, in px from its mark: as near as possible, and away from other marks and numbers.
BESIDE_PX = tuple(
    np.array([x, y])
    for x, y in (
        (0, 15),
        (0, -15),
        (24, 0),
        (-24, 0),
        (18, 13),
        (-18, 13),
        (18, -13),
        (-18, -13),
        (0, 28),
        (0, -28),
        (24, 25),
        (-24, 25),
        (24, -25),
        (-24, -25),
    )
)
WORDS = (
    "Numbers: images a field.\nRed: ours.\n"
    "White: some fields were lost, or ended\nmore than a depth of field off.\n"
    "Grey area: within a depth of field.\nDotted: the least time that the motors allow."
)


def draw(rows: list[Row], path: Path) -> None:
    """Draw all sections with an error in them. Legend and words take the places after the last panel."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    found = {s.title: [row for row in rows if row.section == s.title] for s in SECTIONS if s.kind != "blank"}
    panels = {title: of for title, of in found.items() if any(row.p95_um is not None for row in of)}
    n_rows = -(-(len(panels) + 2) // COLUMNS)
    figure, grid = plt.subplots(n_rows, COLUMNS, figsize=(3.4 * COLUMNS, 3.2 * n_rows), squeeze=False)
    for axis in grid.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, title in zip(grid.flat, panels, strict=False):
        _frame(axis, title)
    for axis in grid[:, 0]:
        axis.set_ylabel("p95 of the error, um")
    for axis in grid.flat[max(0, len(panels) - COLUMNS) : len(panels)]:
        axis.set_xlabel("s of the microscope a field")
    figure.tight_layout()
    figure.canvas.draw()  # numbers are placed in px
    for axis, of in zip(grid.flat, panels.values(), strict=False):
        _fill(axis, of)
    handles = [
        Line2D([], [], ls="", marker=MARKS[name], color="C3" if name in OURS else "C0", label=name)
        for name in NAMES
    ]
    legend, words = grid.flat[len(panels)], grid.flat[len(panels) + 1]
    legend.legend(handles=handles, loc="upper left", fontsize=9, frameon=False, borderaxespad=0.0)
    words.text(0.0, 0.97, WORDS, transform=words.transAxes, va="top", fontsize=9, linespacing=1.6)
    figure.savefig(path, dpi=figure.dpi)
    plt.close(figure)


def _frame(axis: "Axes", title: str) -> None:
    from matplotlib import ticker

    depth_um = depth_of_field_um("40x/0.65" if title.startswith("40x") else "20x/0.75")
    axis.axhspan(LOWEST_UM, depth_um, color="0.93", lw=0.0)
    axis.set(title=title, xscale="log", yscale="log", xlim=(0.06, 8.0), ylim=(LOWEST_UM, HIGHEST_UM))
    for ruler, ticks in ((axis.xaxis, (0.1, 0.3, 1.0, 3.0)), (axis.yaxis, (0.1, 0.3, 1.0, 3.0, 10.0, 30.0))):
        ruler.set_major_locator(ticker.FixedLocator(ticks))
        ruler.set_major_formatter(ticker.FormatStrFormatter("%g"))
        ruler.set_minor_locator(ticker.NullLocator())


def _fill(axis: "Axes", of: list[Row]) -> None:
    """The marks of a panel and their numbers."""
    from matplotlib.patheffects import withStroke

    axis.axvline(sum(row.limit_s for row in of) / len(of), color="0.4", ls=":", lw=1.2)
    drawn = sorted((row for row in of if row.p95_um is not None), key=lambda row: row.policy in OURS)
    places = np.array(
        [(row.seconds, np.clip(row.p95_um or 0.0, 2.0 * LOWEST_UM, 0.75 * HIGHEST_UM)) for row in drawn]
    )
    for row, (seconds, error_um) in zip(drawn, places, strict=True):
        colour = "C3" if row.policy in OURS else "C0"
        is_whole = row.wrong == 0 and row.lost == 0
        face = colour if is_whole else "white"
        axis.scatter(seconds, error_um, s=42, marker=MARKS[row.policy], c=face, edgecolors=colour, zorder=3)
    marks_px = axis.transData.transform(places)
    box_px = axis.get_window_extent()
    middles_px = labels_px(marks_px, np.array([box_px.min, box_px.max]))
    for row, (x, y) in zip(drawn, axis.transData.inverted().transform(middles_px), strict=True):
        colour = "C3" if row.policy in OURS else "C0"
        number = axis.text(
            x, y, f"{row.images:.1f}", ha="center", va="center", fontsize=8, color=colour, zorder=4
        )
        number.set_path_effects([withStroke(linewidth=2.0, foreground="white")])


def labels_px(marks_px: NDArray[np.float64], box_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middles of the numbers, (n, 2), each where it covers least. `box_px`: lower left, upper right."""
    placed: list[NDArray[np.float64]] = []
    for mark in marks_px:
        costs = [_covered_px(mark + beside, marks_px, placed, box_px) for beside in BESIDE_PX]
        placed.append(mark + BESIDE_PX[int(np.argmin(costs))])
    return np.array(placed)


def _covered_px(
    middle: NDArray[np.float64],
    marks_px: NDArray[np.float64],
    placed: Sequence[NDArray[np.float64]],
    box_px: NDArray[np.float64],
) -> float:
    """Return by how much a number at `middle` covers marks and other numbers, or leaves the panel."""
    over = [np.clip(LABEL_PX + MARK_PX - np.abs(middle - mark), 0.0, None).min() for mark in marks_px]
    over += [np.clip(2.0 * LABEL_PX - np.abs(middle - other), 0.0, None).min() for other in placed]
    outside = np.clip(box_px[0] + LABEL_PX - middle, 0.0, None) + np.clip(
        middle - box_px[1] + LABEL_PX, 0.0, None
    )
    return float(sum(over) + 4.0 * outside.sum())
