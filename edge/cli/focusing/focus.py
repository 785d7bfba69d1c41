"""`parfocal focus`: focus neighbouring fields and report each."""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from parfocal.calib.value import UsedCalibration
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.focusing.by_lens import by_lens, once
from parfocal.edge.cli.focusing.composites import Examine, check_folder, examine_into
from parfocal.edge.cli.focusing.following import follow_field, show_followed
from parfocal.edge.cli.options import FieldsOption, ReliefOption, finite
from parfocal.edge.cli.showing.output import check_writable, console_for, growing_result
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes, show_report
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse
from parfocal.edge.measured.optics_in_use import OpticsInUse
from parfocal.edge.scan.due import note_due
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.learner import Learning
from parfocal.edge.scan.plan import Field, snake
from parfocal.edge.scan.report import FieldReport, RunReport, run_report
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import pivots_on
from parfocal.edge.scan.watch import Due
from parfocal.edge.surface.files import read_points
from parfocal.edge.surface.surface import fit_surface
from parfocal.engines.predictor import Predictor

Done = tuple[
    list[FieldReport],
    int,
    float,
    tuple[PlayInUse, ...],
    float | None,
    UsedCalibration | None,
    OpticsInUse | None,
    Learning | None,
    tuple[Due, ...],
    float,
]


@on_microscope()
def focus(
    asked: Asked,
    fields: FieldsOption = 25,
    relief: ReliefOption = None,
    surface: Annotated[
        Path | None,
        typer.Option(help="Start each field at the height of a survey's surface: its .csv or .geojson file."),
    ] = None,
    composite: Annotated[
        Path | None,
        typer.Option(
            help="Scan through uneven fields, and write an all-in-focus picture of each to this folder."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Focus the first field, and keep it in focus until Ctrl-C.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, max=1e7, callback=finite, help="With --follow: end after this time."),
    ] = None,
    drift_um_per_s: Annotated[
        float,
        typer.Option(
            "--drift-um-per-s",
            min=-100.0,
            max=100.0,
            callback=finite,
            help="With --sim: how fast the focus of the virtual slide rises, um/s.",
        ),
    ] = 0.0,
) -> None:
    """Focus neighbouring fields, row by row, and report each."""
    settings, json = asked.settings, asked.json
    asked = asked.uneven(relief, drift_um_per_s)
    if follow and (composite is not None or surface is not None):
        raise ConfigError("--follow stays at one field: leave out --composite and --surface")
    if seconds is not None and not follow:
        raise ConfigError("--seconds says how long to follow a field: add --follow, or leave it out")
    plan = snake(fields, settings)
    pivot_at = None if surface is None else pivots_on(fit_surface(read_points(surface)), plan, settings)
    check_writable(json)
    check_folder(composite)
    console = console_for(json)
    # Before the board is opened: a wrong model is reported at once, and loading it does not delay the heartbeat.
    engine = checked_engine(settings)
    say(console, f"engine: {engine.description}")
    if follow:
        single = checked_single_engine(settings)
        say(console, f"engine: {single.description}")
        with (
            growing_result(json, partial(show_followed, console)) as followed,
            asked.opened(settings) as opened,
        ):
            until_s = math.inf if seconds is None else seconds
            instrument, settings, _ = by_lens(
                opened, settings, console, plan, engine.predictor, engine.single
            )
            follow_field(
                instrument, engine.predictor, single.predictor, settings, plan[0], until_s, console, followed
            )
        return
    examine = None if composite is None else examine_into(composite, engine.predictor, settings)
    with growing_result(json, partial(show_report, console)) as result:
        with asked.opened(settings) as opened:
            instrument, settings, park_um = by_lens(
                opened, settings, console, plan, engine.predictor, engine.single
            )
            pivot_at = pivot_at or once(park_um)
            done = focus_fields(
                instrument,
                engine.predictor,
                settings,
                plan,
                console,
                grown=result.grown,
                pivot_at=pivot_at,
                examine=examine,
                single=engine.single,
            )
        result.done(run_report(*done))


def focus_fields(
    instrument: Instrument,
    predictor: Predictor,
    config: Config,
    plan: tuple[Field, ...],
    console: Console,
    seen: Callable[[FieldResult], None] | None = None,
    grown: Callable[[RunReport], None] | None = None,
    pivot_at: Callable[[Field], float | None] | None = None,
    examine: Examine | None = None,
    single: Predictor | None = None,
) -> Done:
    """Focus the fields of `plan`, with a progress bar.

    Returns the reports, the images and seconds of the first sweep, the play in use, the condenser that the model was
    given, the calibration in force, how the model was corrected, what was learned about it, which calibrations are due,
    and the depth of field. `seen` is called after each field, `grown` with the report of all fields so far. `pivot_at`
    is that of `Session.run`, `single` that of `Session`. `examine` may look at each field once more before the stage
    goes on. Raises what Session and `examine` raise; the lamp is off afterwards.
    """
    show_notes(console, instrument.notes)
    session = Session(instrument, predictor, config, single)
    reports: list[FieldReport] = []

    def so_far() -> Done:
        swept = session.first_sweep_images, session.first_sweep_s
        return (
            reports,
            *swept,
            instrument.plays,
            session.condenser,
            instrument.calibration,
            instrument.optics,
            session.learning,
            session.due,
            session.depth_um,
        )

    with (
        shown_progress(console, "focusing", len(plan), "first sweep") as step,
        contextlib.closing(session.run(plan, pivot_at)) as run,
    ):
        for done in run if examine is None else examine(instrument, run):
            reports.append(done.report)
            if seen:
                seen(done)
            if grown:
                grown(run_report(*so_far()))
            step(f"{done.report.outcome} at {done.report.z_um:.1f} um")
    note_due(instrument, config, session.due, session.confirmed)
    return so_far()
