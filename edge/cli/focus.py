"""Focusing fields with a progress bar."""

import contextlib
from collections.abc import Callable

from rich.console import Console

from parfocal.edge.cli.progress import shown_progress
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport, RunReport, run_report
from parfocal.edge.scan.session import Session
from parfocal.engines.runner import Runner


def show_notes(instrument: Instrument, console: Console) -> None:
    """Print the remarks on the camera's images, one per line."""
    for note in instrument.notes:
        console.print(f"camera: {note}", highlight=False, markup=False, soft_wrap=True)


def focus_fields(
    instrument: Instrument,
    runner: Runner,
    config: Config,
    plan: tuple[Field, ...],
    console: Console,
    seen: Callable[[FieldResult], None] | None = None,
    grown: Callable[[RunReport], None] | None = None,
) -> tuple[list[FieldReport], int, float]:
    """Focus the fields of `plan`, with a progress bar.

    Returns the reports, and the images and seconds of the first sweep. `seen` is called after each field, `grown`
    with the report of all fields so far. Raises what Session raises; the lamp is off afterwards.
    """
    show_notes(instrument, console)
    session = Session(instrument, runner, config)
    reports = []
    with (
        shown_progress(console, "focusing", len(plan), "first sweep") as step,
        contextlib.closing(session.run(plan)) as run,
    ):
        for done in run:
            reports.append(done.report)
            if seen:
                seen(done)
            if grown:
                grown(run_report(reports, session.first_sweep_images, session.first_sweep_s))
            step(f"{done.report.outcome} at {done.report.z_um:.1f} um")
    return reports, session.first_sweep_images, session.first_sweep_s
