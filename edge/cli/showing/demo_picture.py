"""The demo's picture: a field before and after, the height over time, the errors. Needs matplotlib."""

from typing import TYPE_CHECKING, BinaryIO

import msgspec
import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.report import FieldReport, RunReport
from parfocal.edge.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SHOWN_PX = 448
ERROR_EDGES_UM = np.arange(-2.0, 2.01, 0.2)


class BeforeAfter(msgspec.Struct, frozen=True):
    """One field before and after focusing; RGB uint8 (h, w, 3)."""

    report: FieldReport
    before: UInt8Array
    after: UInt8Array


class FieldToDraw:
    """Of all fields seen, keeps the one that was farthest out of focus; None until one holds tissue."""

    def __init__(self) -> None:
        self.field: BeforeAfter | None = None
        self._began_um = 0.0

    def look(self, done: FieldResult) -> None:
        """Keep `done` if its stage started farther from focus than any before."""
        began_um = abs(done.report.began_error_um or 0.0)
        if done.report.outcome == "blank" or done.start is None or done.end is None:
            return
        if self.field is None or began_um > self._began_um:
            self._began_um = began_um
            self.field = BeforeAfter(done.report, done.start.pixels, done.end.pixels)


def draw(file: BinaryIO, report: RunReport, pair: BeforeAfter, config: FocusConfig) -> None:
    """Write the picture of a run to `file` as PNG. Raises OSError."""
    from matplotlib import pyplot as plt  # takes half a second

    plt.switch_backend("Agg")

    figure = plt.figure(figsize=(14, 9), layout="constrained")
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.15))
    field = pair.report
    began_um, error_um = field.began_error_um or 0.0, field.error_um or 0.0
    _show(
        figure.add_subplot(grid[0, 0]),
        pair.before,
        f"a field before focusing: {began_um:+.1f} um off",
    )
    _show(figure.add_subplot(grid[0, 1]), pair.after, f"after focusing: {error_um:+.2f} um off")
    _errors(figure.add_subplot(grid[0, 2]), report)
    _heights(figure.add_subplot(grid[1, :]), report, config)
    s = report.summary
    figure.suptitle(
        f"parfocal: {counted(s.fields, 'field')} of real tissue, {s.focused} focused, "
        f"{s.recovered} recovered by a sweep, {s.blank} blank, {s.lost} lost - "
        f"{s.images_per_focus or 0.0:.1f} images and {s.s_per_focus or 0.0:.1f} s per field"
    )
    figure.savefig(file, dpi=100, format="png")
    plt.close(figure)


def _show(axes: "Axes", pixels: UInt8Array, title: str) -> None:
    top, left = ((size - SHOWN_PX) // 2 for size in pixels.shape[:2])
    axes.imshow(pixels[top : top + SHOWN_PX, left : left + SHOWN_PX])
    axes.set_title(title)
    axes.set_axis_off()


def _errors(axes: "Axes", report: RunReport) -> None:
    began = [f.began_error_um for f in report.fields if f.began_error_um is not None and f.outcome != "blank"]
    ended = [
        f.error_um for f in report.fields if f.error_um is not None and f.outcome in ("focused", "recovered")
    ]
    axes.axvspan(-1.0, 1.0, color="tab:green", alpha=0.12, label="within 1 um")
    edges_um = ERROR_EDGES_UM.tolist()
    clipped = [np.clip(values, ERROR_EDGES_UM[0], ERROR_EDGES_UM[-1]) for values in (began, ended)]
    axes.hist(clipped[0], edges_um, color="tab:gray", alpha=0.6, label="before (end bins: 2 um or more)")
    axes.hist(clipped[1], edges_um, color="tab:blue", alpha=0.8, label="after")
    axes.set_xlabel("stage above the true focus, um")
    axes.set_ylabel("fields")
    axes.set_title(f"mean error {report.summary.mean_abs_error_um or 0.0:.2f} um")
    axes.set_ylim(0.0, 1.35 * axes.get_ylim()[1])  # room for the legend above the bars
    axes.legend(loc="upper right")


def _heights(axes: "Axes", report: RunReport, config: FocusConfig) -> None:
    began_s = 0.0
    for number, field in enumerate(report.fields):
        _one_field(axes, field, began_s, number == 0, config)
        began_s += field.elapsed_s
    axes.set_xlabel("microscope time, s (first sweep not included)")
    axes.set_ylabel("height z, um")
    axes.set_title("stage height: each move ends upwards, at the predicted focus")
    axes.legend(loc="best", ncols=5)


def _one_field(axes: "Axes", field: FieldReport, began_s: float, labelled: bool, config: FocusConfig) -> None:
    def label(text: str) -> str:
        return text if labelled else "_"

    ended_s = began_s + field.elapsed_s
    # The report holds the order of the shots, not their times: draw them evenly spaced.
    times_s = np.linspace(began_s, ended_s, len(field.path_um) + 2)[1:-1]
    axes.plot(
        times_s, field.path_um, ".-", color="tab:blue", linewidth=0.8, markersize=3, label=label("stage")
    )
    if field.outcome != "blank":
        axes.hlines(
            field.true_focus_z_um or 0.0,
            began_s,
            ended_s,
            color="tab:green",
            linewidth=3,
            alpha=0.5,
            label=label("true focus"),
        )
    colour = {"focused": "tab:blue", "recovered": "tab:orange", "blank": "tab:gray", "lost": "tab:red"}[
        field.outcome
    ]
    axes.plot(ended_s, field.z_um, "o", color=colour, markersize=5, label=label(field.outcome))
    if field.outcome != "focused":
        axes.annotate(
            field.outcome, (ended_s, field.z_um + config.delta_um), rotation=90, fontsize=7, color=colour
        )
