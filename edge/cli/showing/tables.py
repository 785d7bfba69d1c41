"""What a run over fields prints: camera notes, the table of fields, the summary."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from parfocal.edge.cli.showing.say import say
from parfocal.edge.scan.report import RunReport, Summary
from parfocal.edge.words import counted


def show_notes(console: Console, notes: tuple[str, ...]) -> None:
    """Print an instrument's notes, one line each."""
    for note in notes:
        say(console, note)


def show_report(console: Console, report: RunReport) -> None:
    """Print the table of fields and the summary."""
    console.print(fields_table(report))
    for line in (*summary_lines(report.summary), *shape_lines(report)):
        console.print(line)
    for due in report.due:
        say(console, due.told)


def fields_table(report: RunReport) -> Table:
    """The fields as a table, 80 columns wide at most."""
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
            f"error: mean {summary.mean_abs_error_um:.2f} um, p95 {summary.p95_abs_error_um:.2f} um, "
            f"{100.0 * (summary.within_depth or 0.0):.0f} % within a depth of field "
            f"({summary.depth_of_field_um:.2f} um)"
        )
    if summary.images_per_focus is not None and summary.s_per_focus is not None:
        lines.append(
            f"{summary.images_per_focus:.1f} images and {summary.s_per_focus:.2f} s of microscope time per field; "
            f"first sweep {summary.first_sweep_images} images, {summary.first_sweep_s:.1f} s"
        )
    if summary.advice is not None:
        lines.append(summary.advice)
    return lines


def shape_lines(report: RunReport) -> list[str]:
    """How many fields are uneven, and over how much; nothing where that was not asked for."""
    shapes = [field.shape for field in report.fields if field.shape is not None]
    if not shapes:
        return []
    uneven = [shape for shape in shapes if shape.verdict == "uneven"]
    images = sum(shape.images for shape in shapes)
    more = f"; {counted(images, 'image')} more" if images else ""
    return [
        f"{len(uneven)} of {counted(len(shapes), 'field')} uneven, with an all-in-focus picture each{more}"
    ]


def _signed(value_um: float | None) -> str:
    return "" if value_um is None else f"{value_um:+.2f}"
