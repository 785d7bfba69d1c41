"""Focusing fields with a progress bar."""

from collections.abc import Callable

from rich.console import Console

from parfocal.edge.cli.progress import shown_progress
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport, RunReport, run_report
from parfocal.edge.scan.session import FieldDone, Session
from parfocal.engines.runner import Runner


def focus_fields(
    instrument: Instrument,
    runner: Runner,
    config: Config,
    plan: tuple[Field, ...],
    console: Console,
    seen: Callable[[FieldDone], None] | None = None,
    grown: Callable[[RunReport], None] | None = None,
) -> tuple[list[FieldReport], int, float]:
    """Focus the fields of ``plan``; returns their reports, and images and seconds of the first sweep.

    ``seen`` is called after each field, ``grown`` with the report of all fields so far.
    Raises what Session raises; the lamp is turned off in any case.
    """
    instrument.show_notes(console)
    session = Session(
        instrument.board, instrument.camera, runner, instrument.clock, config, instrument.truth_at
    )
    if instrument.may_home and not instrument.board.z.is_homed:
        instrument.board.home()
    reports = []
    try:
        with shown_progress(console, "focusing", len(plan), "first sweep") as step:
            for done in session.run(plan):
                reports.append(done.report)
                if seen:
                    seen(done)
                if grown:
                    grown(run_report(reports, session.first_sweep_images, session.first_sweep_s))
                step(f"{done.report.outcome} at {done.report.z_um:.1f} um")
    finally:
        instrument.board.lamp(0.0)
    return reports, session.first_sweep_images, session.first_sweep_s
