"""`parfocal survey`: focus points over a region, and the focal surface through them."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.focusing.by_lens import by_lens
from parfocal.edge.cli.options import finite
from parfocal.edge.cli.showing.drawing import import_matplotlib
from parfocal.edge.cli.showing.output import (
    GrowingResult,
    check_png,
    check_writable,
    console_for,
    growing_result,
    naming_option,
    result_file,
)
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.continuous.survey import SurveySweeps, SweptSurvey, survey_sweeps
from parfocal.edge.scan.due import note_due
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.session import Session
from parfocal.edge.scan.survey import SurveyReport, point_of, survey_report, surveyed
from parfocal.edge.surface.files import check_ending, write_points
from parfocal.edge.surface.points import FocusPoint, SurfaceRefused
from parfocal.edge.surface.surface import MIN_POINTS, FocalSurface
from parfocal.edge.tissue.area import Area, read_area
from parfocal.edge.words import counted, named

SPACING_UM = 1000.0  # a slide that bends by 1 um over 4 mm bends by less than 0.1 um between such points
MAX_UM = 1e6


@on_microscope()
def survey(
    asked: Asked,
    region: Annotated[
        tuple[float, float, float, float],
        typer.Option(metavar="X0 Y0 X1 Y1", help="The part of the slide to survey, um of the stage."),
    ],
    points: Annotated[
        int | None, typer.Option(min=4, help="Number of focus points at most. Default: by --spacing-um.")
    ] = None,
    spacing_um: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=MAX_UM,
            callback=finite,
            help=f"Largest distance between neighbouring points, um. Default: {SPACING_UM:g}.",
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Leave out points outside of these polygons: a GeoJSON file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the points to this file, .csv or .geojson.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the focal surface to this PNG file.")] = None,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Do not stop at the points: flash while the stage moves.")
    ] = False,
) -> None:
    """Find the focus at points over a region, and fit the focal surface through them."""
    if points is not None and spacing_um is not None:
        raise ConfigError("--points and --spacing-um both say how many points there are: give one of them")
    settings, json = asked.settings, asked.json
    plan = points_of_region(_region(region), settings, points, spacing_um or SPACING_UM)
    if mask is not None:
        plan = _on_tissue(plan, read_area(mask), mask)
    if continuous:
        _check_sweeps(settings)
    _check_outputs(out, picture, json)
    console = console_for(json)
    engine = checked_engine(settings)
    say(console, f"engine: {engine.description}")
    with growing_result(json, partial(_show, console)) as result:
        with asked.opened(settings) as opened, contextlib.ExitStack() as triggered:
            show_notes(console, opened.notes)
            used = opened.used_config(settings)
            seen, settings, _ = by_lens(opened, used, console, plan, engine.predictor, engine.single)
            instrument = triggered.enter_context(on_demand(seen, settings.camera))
            session = Session(instrument, engine.predictor, settings, engine.single, measures=True)
            if continuous:
                sweeps = survey_sweeps(plan, settings, instrument.plays, instrument.trigger)
                say(console, _words(sweeps))
                visits = SweptSurvey(session, instrument, settings, sweeps).run()
            else:
                visits = surveyed(session, plan)
            fields: list[FieldReport] = []
            with (
                _points_kept(out, fields),
                shown_progress(console, "surveying", len(plan), "first sweep") as step,
                contextlib.closing(visits) as run,
            ):
                for done in run:
                    fields.append(done.report)
                    result.growing(partial(_so_far, fields, session))
                    step(f"{done.outcome} at {done.z_um:.1f} um")
            note_due(instrument, settings, session.due, session.confirmed)
        report, surface = survey_report(fields, session.first_sweep_s, session.due)
        _finish(report, surface, out, picture, result)
    if surface is None:
        raise SurfaceRefused(report.refused)


def _check_sweeps(config: Config) -> None:
    """Refuse a survey without stops where no single shot tells a height. Raises ConfigError."""
    if not config.focus.single_model or config.focus.strategy != "controller":
        raise ConfigError(
            "--continuous takes heights from single shots, and focus.single_model = "
            f"{config.focus.single_model!r} with focus.strategy = {config.focus.strategy!r} is configured; nothing "
            "moved. Set a single-shot model and 'controller', or leave out --continuous."
        )
    if config.lens.focuses:
        raise ConfigError(
            "a survey without stops follows the slide with the Z motor: set lens.focuses = false"
        )


def _words(planned: SurveySweeps) -> str:
    sweeps = planned.sweeps
    alone = f", {counted(sweeps.n_alone, 'point')} one by one" if sweeps.n_alone else ""
    return (
        f"sweeps: {counted(sweeps.n_rows, 'row')} along {sweeps.along.upper()}{alone}; "
        f"{sweeps.speed_um_per_s / 1000.0:.1f} mm/s, limited by the {sweeps.limited_by}"
    )


def _region(given: tuple[float, float, float, float]) -> Region:
    for value in given:
        finite(value)
    return Region(*given)


def _on_tissue(plan: tuple[Field, ...], area: Area, mask: Path) -> tuple[Field, ...]:
    """The points that lie in `area`. Raises ConfigError if they are too few for a surface."""
    left = tuple(f for f in plan if bool(area.contains(np.array(f.x_um), np.array(f.y_um))))
    if len(left) < MIN_POINTS:
        raise ConfigError(
            f"{counted(len(left), 'focus point')} of {len(plan)} lie in the polygons of {named(mask)}, {MIN_POINTS} or "
            "more are needed; nothing moved. Give more --points or a smaller --spacing-um."
        )
    return left


def _check_outputs(out: Path | None, picture: Path | None, json: Path | None) -> None:
    """Refuse what could not be written, before anything moves. Raises ConfigError."""
    if out is not None:
        check_ending(out, "--out")
    check_png(picture, "--picture")
    if picture is not None:
        import_matplotlib("--picture")
    for path, option in ((out, "--out"), (picture, "--picture"), (json, "--json")):
        check_writable(path, option)


@contextlib.contextmanager
def _points_kept(out: Path | None, fields: list[FieldReport]) -> Iterator[None]:
    """Write the points so far to `out` if the survey ends early; their surface is not fitted."""

    def keep() -> None:
        if out is not None and fields:
            with contextlib.suppress(OSError):  # why the survey ended matters more
                write_points(out, [point_of(field) for field in fields])

    with contextlib.ExitStack() as if_it_ends_early:
        if_it_ends_early.callback(keep)
        yield
        if_it_ends_early.pop_all()


def _so_far(fields: list[FieldReport], session: Session) -> SurveyReport:
    """The survey without a surface, which is fitted at its end."""
    return SurveyReport(
        tuple(fields),
        tuple(point_of(field) for field in fields),
        sum(field.elapsed_s for field in fields),
        session.first_sweep_s,
    )


def _finish(
    report: SurveyReport,
    surface: FocalSurface | None,
    out: Path | None,
    picture: Path | None,
    result: GrowingResult[SurveyReport],
) -> None:
    """Write the points, the picture and the report. Raises ConfigError."""
    result.done(report)
    if out is not None:
        with naming_option(out, "--out"):
            write_points(out, report.points)
    if picture is not None and surface is not None:
        from parfocal.edge.cli.showing.survey_picture import draw

        with result_file(picture, "--picture") as file:
            draw(file, surface)


def _show(console: Console, report: SurveyReport) -> None:
    """Print the table of points and the summary."""
    console.print(_table(report.points))
    for line in _summary(report):
        say(console, line)


def _table(points: tuple[FocusPoint, ...]) -> Table:
    table = Table(
        title="Focus points (um; residual: point above the surface)", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    for heading in ("#", "x", "y", "z", "sigma", "residual"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for number, point in enumerate(points, start=1):
        table.add_row(
            str(number),
            f"{point.x_um:.0f}",
            f"{point.y_um:.0f}",
            "" if point.z_um is None else f"{point.z_um:.2f}",
            "" if point.sigma_um is None else f"{point.sigma_um:.2f}",
            "" if point.residual_um is None else f"{point.residual_um:+.2f}",
            point.status,
        )
    return table


def _summary(report: SurveyReport) -> list[str]:
    counts = [
        f"{sum(p.status == status for p in report.points)} {status}"
        for status in ("used", "rejected", "blank", "lost")
    ]
    time = f"{report.elapsed_s:.1f} s of microscope time; first sweep {report.first_sweep_s:.1f} s"
    lines = [f"{counted(len(report.points), 'focus point')}: {', '.join(counts)}", time]
    if report.surface is not None:
        error = report.surface.leave_one_out
        lines.append(
            f"focal surface: {report.surface.model}; leave-one-out error {error.rms_um:.2f} um "
            f"({error.low_um:.2f}..{error.high_um:.2f}), worst {error.worst_um:.2f} um"
        )
    return [*lines, *(due.told for due in report.due)]
