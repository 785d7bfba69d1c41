"""What a run of fields reports: the structs behind `--json`, the summary, the table."""

from collections.abc import Sequence

import msgspec
import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from parfocal.edge.focus.result import Attempt, Outcome
from parfocal.edge.words import counted

# One field in four is more than folds and dust explain on an ordinary slide; a field or two may always fail.
MIN_FAILED_SHARE = 0.25
MIN_FAILED_FIELDS = 3


class FieldReport(msgspec.Struct, frozen=True):
    """One field. Truth and error are None on a real microscope; `elapsed_s` is time of the microscope."""

    x_um: float
    y_um: float
    z_um: float
    true_focus_z_um: float | None
    error_um: float | None
    began_error_um: float | None
    images: int
    elapsed_s: float
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    path_um: tuple[float, ...]
    reason: str | None = None


class Summary(msgspec.Struct, frozen=True):
    """Over all fields; the errors over those that ended focused or recovered.

    `advice` says what to suspect where predictions failed in too many fields, None where they did not.
    """

    fields: int
    focused: int
    recovered: int
    blank: int
    lost: int
    mean_abs_error_um: float | None
    p95_abs_error_um: float | None
    within_1_um: float | None
    images_per_focus: float | None
    s_per_focus: float | None
    first_sweep_images: int
    first_sweep_s: float
    advice: str | None = None


class RunReport(msgspec.Struct, frozen=True):
    """A whole run."""

    fields: tuple[FieldReport, ...]
    summary: Summary


def run_report(fields: Sequence[FieldReport], first_sweep_images: int, first_sweep_s: float) -> RunReport:
    """Sum up a run."""
    done = [f for f in fields if f.outcome in ("focused", "recovered")]
    errors = np.array([abs(f.error_um) for f in done if f.error_um is not None])
    counts = {
        name: sum(f.outcome == name for f in fields) for name in ("focused", "recovered", "blank", "lost")
    }
    summary = Summary(
        fields=len(fields),
        focused=counts["focused"],
        recovered=counts["recovered"],
        blank=counts["blank"],
        lost=counts["lost"],
        mean_abs_error_um=float(errors.mean()) if len(errors) else None,
        p95_abs_error_um=float(np.percentile(errors, 95)) if len(errors) else None,
        # Lost fields count as missed: what was not blank and not found is a failure.
        within_1_um=float((errors <= 1.0).sum() / (len(done) + counts["lost"])) if len(errors) else None,
        images_per_focus=float(np.mean([f.images for f in done])) if done else None,
        s_per_focus=float(np.mean([f.elapsed_s for f in done])) if done else None,
        first_sweep_images=first_sweep_images,
        first_sweep_s=first_sweep_s,
        advice=_advice(counts["focused"], counts["recovered"] + counts["lost"]),
    )
    return RunReport(fields=tuple(fields), summary=summary)


def _advice(focused: int, failed: int) -> str | None:
    """What to suspect where predictions fail in a quarter of the fields or more, and not just in one or two."""
    if failed < MIN_FAILED_FIELDS or failed < MIN_FAILED_SHARE * (focused + failed):
        return None
    return (
        f"predictions failed in {failed} of {focused + failed} fields. Suspect, in this order: more play in the Z gear "
        "than board.z.play_um says (set it higher: too much costs time only); a model made for another objective, "
        "condenser or pixel than this microscope's; exposure, gain or lamp that change between two shots."
    )


def fields_table(report: RunReport) -> Table:
    """The fields as a table for a terminal."""
    table = Table(
        title="Fields (um; began and error: stage above the true focus)", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    for heading in ("#", "x", "y", "z", "began", "error", "images", "s", "tries"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for number, field in enumerate(report.fields, start=1):
        table.add_row(
            str(number),
            f"{field.x_um:.0f}",
            f"{field.y_um:.0f}",
            f"{field.z_um:.2f}",
            _signed(field.began_error_um),
            _signed(field.error_um),
            str(field.images),
            f"{field.elapsed_s:.2f}",
            str(len(field.attempts)),
            field.outcome,
        )
    return table


def summary_lines(summary: Summary) -> list[str]:
    """The summary in a few lines of plain text."""
    lines = []
    lines.append(
        f"{counted(summary.fields, 'field')}: {summary.focused} focused, {summary.recovered} recovered by a sweep, "
        f"{summary.blank} blank, {summary.lost} lost"
    )
    if summary.mean_abs_error_um is not None and summary.p95_abs_error_um is not None:
        lines.append(
            f"error to the true focus: mean {summary.mean_abs_error_um:.2f} um, p95 {summary.p95_abs_error_um:.2f} um, "
            f"{100.0 * (summary.within_1_um or 0.0):.0f} % within 1 um"
        )
    if summary.images_per_focus is not None and summary.s_per_focus is not None:
        lines.append(
            f"{summary.images_per_focus:.1f} images and {summary.s_per_focus:.2f} s of microscope time a field; "
            f"first sweep {summary.first_sweep_images} images, {summary.first_sweep_s:.1f} s"
        )
    if summary.advice is not None:
        lines.append(summary.advice)
    return lines


def _signed(value_um: float | None) -> str:
    return "" if value_um is None else f"{value_um:+.2f}"
