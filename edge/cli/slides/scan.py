"""`parfocal scan`: a region of a slide, tile by tile, onto the disk; an interrupted scan is continued."""

import contextlib
import math
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from parfocal import __version__
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.ending.pause import Pause
from parfocal.edge.cli.focusing.by_lens import by_lens
from parfocal.edge.cli.options import ReliefOption, finite
from parfocal.edge.cli.showing.output import (
    GrowingResult,
    check_writable,
    console_for,
    growing_result,
    write_json,
)
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.cli.slides.scan_output import show_plan, show_report, words_of
from parfocal.edge.cli.slides.survey import MAX_UM
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.plan import (
    foretell_sweeps,
    quicker_plan,
    sweep_plan,
)
from parfocal.edge.scan.continuous.survey import sweeps_if_quicker
from parfocal.edge.scan.due import note_due
from parfocal.edge.scan.on_demand import is_triggered
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.survey import surface_report
from parfocal.edge.scan.tiles import journal_path
from parfocal.edge.scan.tiling.heights import Heights
from parfocal.edge.scan.tiling.job import Eyes, ScanJob, Ways, settings_of, surface_path
from parfocal.edge.scan.tiling.plan import (
    Foretold,
    check_disk,
    checked_codec,
    field_of,
    foretell,
    overlap_for,
    plan_tiles,
)
from parfocal.edge.scan.tiling.points import survey_points
from parfocal.edge.scan.tiling.report import ScanReport, SessionFigures, scan_report
from parfocal.edge.scan.tiling.request import Request, check_new, kept_request
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.tiling.writer import EXPECTED_SHARE
from parfocal.edge.surface.files import read_points
from parfocal.edge.surface.surface import FocalSurface, fit_surface
from parfocal.edge.tissue.area import Area, read_area, rectangle
from parfocal.edge.words import counted


class _Wanted(msgspec.Struct, frozen=True):
    """Where to scan and how, as options give it; None or False for what was left out."""

    area: Area | None = None
    overlap: float | None = None
    codec: str | None = None
    slide_name: str | None = None
    continuous: bool = False
    lamp_off_between: bool = False
    composite: bool = False
    z_stack: bool = False


@on_microscope()
def scan(
    asked: Asked,
    out: Annotated[Path, typer.Option(help="Folder of the slide, NAME.zarr.")],
    region: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(metavar="X0 Y0 X1 Y1", help="The part of the slide to scan, um of the stage."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Scan these polygons instead: a GeoJSON file, um of the stage.")
    ] = None,
    surface: Annotated[
        Path | None,
        typer.Option(help="Points of an earlier survey, .csv or .geojson. Default: survey first."),
    ] = None,
    spacing_um: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            max=MAX_UM,
            callback=finite,
            help="Largest distance between points of the survey, um. Default: 1000 to 2000, by the size of the region.",
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            callback=finite,
            help="Share of a tile that neighbours have in common. Default: by the measured play, else 0.1.",
        ),
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="png (lossless, the default), webp (lossless, slow) or jpg.")
    ] = None,
    slide_name: Annotated[
        str | None, typer.Option(help="Name of the slide. A scan goes on only under its name.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the plan, and move nothing.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the scan in --out.")] = False,
    lamp_off_between: Annotated[
        bool, typer.Option("--lamp-off-between", help="Keep the lamp dark while nothing is exposed.")
    ] = False,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Do not stop for a picture: flash while the stage moves.")
    ] = False,
    composite: Annotated[
        bool, typer.Option("--composite", help="Keep uneven tiles as pictures that are all in focus.")
    ] = False,
    z_stack: Annotated[bool, typer.Option("--z-stack", help="Keep a stack of each uneven tile.")] = False,
    relief: ReliefOption = None,
) -> None:
    """Scan a region of a slide tile by tile, in focus. An interrupted scan goes on with --resume."""
    if surface is not None and spacing_um is not None:
        raise ConfigError(
            "--spacing-um is for a survey, and --surface gives an earlier one: give one of them"
        )
    asked = asked.uneven(relief)
    settings, json = asked.settings, asked.json
    wanted = _Wanted(
        _area(region, mask), overlap, codec, slide_name, continuous, lamp_off_between, composite, z_stack
    )
    kept = _kept_request(out, wanted) if resume else None
    if (kept or wanted).continuous and settings.lens.focuses:
        raise ConfigError("a continuous scan follows the slide with the Z motor: set lens.focuses = false")
    if not resume and not plan:
        check_new(out)
    given = None if surface is None else fit_surface(read_points(surface))
    check_writable(json)
    console = console_for(json)
    # Before the board is opened: a wrong model is reported at once, and loading it does not delay the heartbeat.
    eyes = None if plan else _eyes(settings, console)
    # Also while it is set up and surveyed: without a handler the signal would end the program.
    with Pause() as pause, asked.opened(settings) as instrument:
        show_notes(console, instrument.notes)
        used = instrument.used_config(settings)
        request = kept or _request(wanted, used, instrument)
        sweeps = (
            sweep_plan(request.plan, used, instrument.plays, instrument.trigger)
            if request.continuous
            else None
        )
        share, plays = EXPECTED_SHARE[request.codec], instrument.plays
        foretold = foretell(request.plan, used, share, plays, is_triggered(instrument))
        if sweeps is not None:
            foretold = foretell_sweeps(foretold, sweeps)
        if given is not None:
            # How far a lens reaches is known once it is Z.
            limits_um = (-math.inf, math.inf) if used.lens.focuses else instrument.board.z.limits_um
            Heights(given, request.plan.pitch_um).check(request.plan.tiles, limits_um)
        surveys = given is None and not (resume and surface_path(out).exists())
        show_plan(console, request.plan, foretold, surveys=surveys)
        if eyes is None:
            write_json(json, foretold)
            return
        ways = Ways(request.lamp_off_between, sweeps, request.composite, request.z_stack)
        tiles = request.plan.tiles
        middle_first = tiles[len(tiles) // 2 :] + tiles[: len(tiles) // 2]  # the first ones are often empty
        fields = tuple(Field(tile.x_um, tile.y_um) for tile in middle_first)
        seen, used, _ = by_lens(instrument, used, console, fields, eyes.two_shot, eyes.single)
        work = _Work(console, seen, used, eyes, spacing_um, ways, pause)
        with (
            growing_result(json, partial(show_report, console)) as result,
            _open_job(out, request, foretold, work) as job,
        ):
            _scan(job, work, given, foretold, result)


class _Work(msgspec.Struct, frozen=True):
    """What every part of a scan works with."""

    console: Console
    instrument: Instrument
    config: Config
    eyes: Eyes
    spacing_um: float | None
    ways: Ways
    pause: Pause

    def wait_while_paused(self, *, is_lit: bool) -> None:
        """Wait as long as the run is paused, in the dark. `is_lit`: whether the lamp is on now."""
        if self.pause.wait(lambda: self._dark(is_lit)):
            say(self.console, "going on after a pause")

    @contextlib.contextmanager
    def _dark(self, is_lit: bool) -> Iterator[None]:
        """The lamp off during a pause, and on again after it as it was."""
        board = self.instrument.board
        is_lit = is_lit and board.capabilities.has_lamp
        if is_lit:
            board.lamp(0.0)
        say(self.console, f"paused; `kill -USR1 {os.getpid()}` to go on, Ctrl-C to end")
        yield
        if is_lit:
            self.instrument.shine(self.config.scan.lamp_duty)


def _area(region: tuple[float, float, float, float] | None, mask: Path | None) -> Area | None:
    if region is not None and mask is not None:
        raise ConfigError("--region and --mask both say where to scan: give one of them")
    if mask is not None:
        return read_area(mask)
    if region is None:
        return None
    x0_um, y0_um, x1_um, y1_um = (float(finite(value) or 0.0) for value in region)
    if not (x0_um < x1_um and y0_um < y1_um):
        raise ConfigError("--region is empty: give X0 Y0 X1 Y1 with X0 < X1 and Y0 < Y1")
    return rectangle(x0_um, y0_um, x1_um, y1_um)


def _kept_request(out: Path, wanted: _Wanted) -> Request:
    """What the scan in `out` was begun with. Raises ConfigError for options that would change it."""
    if wanted != _Wanted():
        raise ConfigError(
            "--resume goes on as the scan was begun: leave out --region, --mask, --overlap, --codec, --slide-name, "
            "--continuous, --lamp-off-between, --composite and --z-stack"
        )
    return kept_request(out)


def _request(wanted: _Wanted, config: Config, instrument: Instrument) -> Request:
    if wanted.area is None:
        raise ConfigError("where to scan was not given: add --region X0 Y0 X1 Y1 or --mask FILE")
    field_um = field_of(config.camera, instrument.view.um_per_px, instrument.view.angle_deg)
    overlap = wanted.overlap
    if overlap is None:
        overlap = overlap_for(instrument.plays, config, field_um)
    if wanted.continuous:
        plan = quicker_plan(wanted.area, config, field_um, overlap, instrument.plays, instrument.trigger)
    else:
        plan = plan_tiles(wanted.area, config, field_um, overlap)
    return Request(
        wanted.slide_name or "",
        checked_codec(wanted.codec or "png"),
        plan,
        wanted.continuous,
        wanted.lamp_off_between,
        wanted.composite,
        wanted.z_stack,
    )


def _eyes(config: Config, console: Console) -> Eyes:
    two_shot, single = (
        checked_engine(config),
        (checked_single_engine(config) if config.focus.single_model else None),
    )
    say(console, f"engine: {two_shot.description}")
    judged_by = "what they share with their neighbours" if single is None else single.description
    say(console, f"tiles judged by: {judged_by}")
    return Eyes(two_shot.predictor, None if single is None else single.predictor)


@contextlib.contextmanager
def _open_job(out: Path, request: Request, foretold: Foretold, work: _Work) -> Iterator[ScanJob]:
    """The scan, begun or continued. Raises ConfigError before anything moves."""
    if not journal_path(out).exists():
        check_disk(foretold, foretold.n_tiles, out)
    settings = settings_of(request, work.instrument, work.config, work.eyes)
    job = ScanJob(out, request, settings, datetime.now(timezone.utc), __version__)
    with contextlib.closing(job):
        check_disk(foretold, len(job.left), out)
        if job.finished:
            say(work.console, f"{len(job.finished)} of {counted(foretold.n_tiles, 'tile')} finished already")
        yield job


def _scan(
    job: ScanJob,
    work: _Work,
    given: FocalSurface | None,
    foretold: Foretold,
    result: GrowingResult[ScanReport],
) -> None:
    clock, depth_um = work.instrument.clock, depth_of_field_um(work.config.focus.objective)
    began_s = clock.now_s()
    surface = _surface(job, work, given)
    surveyed_s, taken = clock.now_s(), list[TileDone]()

    def report() -> ScanReport:
        offset = job.offset
        figures = SessionFigures(
            clock.now_s() - surveyed_s,
            surveyed_s - began_s,
            surface_report(surface),
            (offset.x_um, offset.y_um, offset.z_um),
            work.instrument.calibration,
            job.due,
        )
        # A tile that was taken is on the disk a little later, or never.
        written = [done for done in taken if (done.tile.row, done.tile.column) in job.written]
        return scan_report(str(job.slide), foretold, job.finished, written, figures, depth_um)

    with (
        shown_progress(work.console, "scanning", len(job.left), "to the first tile") as step,
        contextlib.closing(job.tiles(work.instrument, work.eyes, work.config, surface, work.ways)) as run,
    ):
        for done in run:
            taken.append(done)
            result.growing(report)
            step(words_of(done))
            work.wait_while_paused(is_lit=not work.ways.is_dark_between)
    note_due(work.instrument, work.config, job.due, job.confirmed)
    result.done(report())


def _surface(job: ScanJob, work: _Work, given: FocalSurface | None) -> FocalSurface:
    """The surface of the scan: the given one, that of an earlier session, or a new survey. Raises ConfigError."""
    if given is not None:
        if job.finished:
            raise ConfigError(
                f"--surface is for a scan without tiles, and this one has {counted(len(job.finished), 'tile')} by its "
                "own; nothing moved. Leave out --surface."
            )
        return job.keep_surface(given.points)
    kept = job.kept_surface()
    if kept is not None:
        return kept
    points = survey_points(job.request.plan, work.config, work.spacing_um)
    sweeps = None
    if work.ways.sweeps is not None:
        instrument = work.instrument
        sweeps = sweeps_if_quicker(
            points, work.config, work.eyes.single, instrument.plays, instrument.trigger
        )
    with (
        shown_progress(work.console, "surveying", len(points), "first sweep") as step,
        contextlib.closing(job.survey(work.instrument, work.eyes, work.config, points, sweeps)) as run,
    ):
        for done in run:
            step(f"{done.outcome} at {done.z_um:.1f} um")
            work.wait_while_paused(is_lit=sweeps is None)
    surveyed = job.kept_surface()
    if surveyed is None:
        raise RuntimeError("the survey has left no surface")
    return surveyed
