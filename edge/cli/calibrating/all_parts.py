"""`parfocal calibrate all`: every part in the right order, continued after an interruption, with a report."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from parfocal import __version__
from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.store import Calibration, Store
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate import camera as camera_part
from parfocal.edge.calibrate import lens as lens_part
from parfocal.edge.calibrate import trigger as trigger_part
from parfocal.edge.calibrate.motion import stage as stage_part
from parfocal.edge.calibrate.optics.run import N_STACKS
from parfocal.edge.calibrate.page.report import Sheet, Verdict, report_html
from parfocal.edge.calibrate.page.sheet_pdf import report_pdf
from parfocal.edge.calibrate.page.use import use_of
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, opened_bench, place_of
from parfocal.edge.cli.calibrating.focus_verb import LOOP_STEPS, loop_words, measure_loop, measuring
from parfocal.edge.cli.calibrating.lens_verb import lens_words, measure_lens
from parfocal.edge.cli.calibrating.optics_verb import measure_optics, n_steps, opened_models, optics_lines
from parfocal.edge.cli.calibrating.trigger_verb import measure_trigger, trigger_words
from parfocal.edge.cli.calibrating.verbs import (
    BACKLASH_STEPS,
    measure_backlash,
    measure_camera,
    measure_stage,
)
from parfocal.edge.cli.showing.output import check_writable, console_for, result_file, write_json
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine
from parfocal.edge.words import named

# An interrupted run is continued within this time; later, the instrument may have changed.
CONTINUED_WITHIN = timedelta(hours=12)
PROGRESS = "all"


class Part(msgspec.Struct, frozen=True):
    """A part of the calibration: `measure` keeps its values and returns what it found, in words.

    `by_optics`: as `opened_bench` takes it.
    """

    name: str
    n_steps: int
    measure: Callable[[Bench], str]
    by_optics: bool = False


class PartResult(msgspec.Struct, frozen=True):
    """How a part ended: measured now, by the run that is continued, or refused. `told`: what it found, or why not."""

    part: str
    outcome: Literal["measured", "earlier", "refused"]
    told: str


class AllReport(msgspec.Struct, frozen=True):
    """The whole calibration, and the page that shows it. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    report: str
    parts: tuple[PartResult, ...]
    elapsed_s: float
    calibration: UsedCalibration | None


class Progress(msgspec.Struct, frozen=True):
    """A run that may be continued: when it began, and what each finished part found."""

    began_at: datetime
    done: dict[str, str]
    is_finished: bool = False


def _camera(bench: Bench) -> str:
    return "; ".join(measure_camera(bench)[1])


def _stage(bench: Bench) -> str:
    values, trips, _ = measure_stage(bench)
    lost = ", ".join(f"{trip.axis} {trip.lost_um:.2f} um" for trip in trips)
    scales = ", ".join(f"{one.name[0]} {one.value:.4f}" for one in values if one.name.endswith("um_per_step"))
    return f"um per step: {scales}; away after {trips[0].n_trips} trips: {lost}"


def _backlash(bench: Bench) -> str:
    plays = measure_backlash(bench)
    return ", ".join(f"play of {one.axis} {one.play_um:.2f} +- {one.uncertainty_um:.2f} um" for one in plays)


def _optics(bench: Bench) -> str:
    opened = opened_models(bench.config)
    found, _ = measure_optics(bench, opened, N_STACKS)
    return "; ".join(line.removeprefix("optics: ") for line in optics_lines(found, opened.models))


def _focus(bench: Bench) -> str:
    return loop_words(measure_loop(bench, checked_engine(bench.config))[0])


def _lens(bench: Bench) -> str:
    return lens_words(measure_lens(bench)[0])


def _trigger(bench: Bench) -> str:
    return trigger_words(measure_trigger(bench)[0])


# In this order: each part works with what those before it measured. A new part is registered here.
PARTS = (
    Part("camera", camera_part.N_STEPS, _camera),
    Part("stage", stage_part.N_STEPS, _stage),
    Part("backlash", BACKLASH_STEPS, _backlash),
    Part("optics", n_steps(N_STACKS), _optics),
    Part("focus", LOOP_STEPS, _focus, by_optics=True),
)


def parts_of(config: Config) -> tuple[Part, ...]:
    """The parts of this microscope: those of lens and trigger only where one is configured."""
    parts = list(PARTS)
    if config.lens.kind != "none":
        parts.append(Part("lens", lens_part.n_steps(config), _lens))
    if config.camera.trigger_line:
        parts.append(Part("trigger", trigger_part.n_steps(config), _trigger))
    return tuple(parts)


class Run:
    """The parts in their order. Each opens the instrument anew, so that it works with what was measured before."""

    def __init__(self, asked: Asked) -> None:
        """Nothing is opened yet."""
        self._asked = asked
        self.results: list[PartResult] = []
        self.ranges_um: dict[str, tuple[float, float]] = {}
        self.elapsed_s = 0.0
        self.store: Store | None = None
        self._progress: Progress | None = None

    def part(self, part: Part, anew: bool) -> None:
        """Measure one part, unless the run that is continued has. Raises what the part raises."""
        console = console_for(self._asked.json)
        if self._progress is not None and part.name in self._progress.done:
            self._earlier(part)
            return
        with opened_bench(self._asked, part.n_steps, part.by_optics) as bench:
            self.store = bench.store
            self.ranges_um = {name: axis.limits_um for name, axis in bench.instrument.board.axes.items()}
            if self._progress is None:
                self._progress = progress_of(bench.store, bench.stamp.measured_at, anew)
            if part.name in self._progress.done:
                self._earlier(part)
                return
            say(console, f"{part.name} ...")
            began_s = bench.instrument.clock.now_s()
            try:
                told = part.measure(bench)
            except CalibPoor as error:
                self.results.append(PartResult(part.name, "refused", str(error)))
                raise
            finally:
                self.elapsed_s += bench.instrument.clock.now_s() - began_s
        self.results.append(PartResult(part.name, "measured", told))
        self._kept(part.name, told)

    def _earlier(self, part: Part) -> None:
        done = self._progress.done if self._progress else {}
        say(console_for(self._asked.json), f"{part.name}: measured by the run that is continued")
        self.results.append(PartResult(part.name, "earlier", done[part.name]))

    def _kept(self, name: str, told: str) -> None:
        """Note on the disk that this part is done."""
        if self._progress is None or self.store is None:
            return
        done = {**self._progress.done, name: told}
        self._progress = Progress(
            self._progress.began_at, done, len(done) == len(parts_of(self._asked.settings))
        )
        self.store.keep_raw(PROGRESS, self._progress)


def progress_of(store: Store, now: datetime, anew: bool) -> Progress:
    """The run to continue: one that was interrupted a short while ago, unless `anew`; else a new one."""
    new = Progress(now, {})
    try:
        found = msgspec.json.decode(store.raw_path(PROGRESS).read_bytes(), type=Progress)
        store.load()  # without it, nothing of that run is left
    except (OSError, msgspec.MsgspecError, CalibMissing):
        return new
    is_recent = timedelta(0) <= now - found.began_at <= CONTINUED_WITHIN
    return found if is_recent and not found.is_finished and not anew else new


@on_microscope()
def all_parts(
    asked: Asked,
    report: Annotated[
        Path, typer.Option(help="The page with every value and figure: HTML, or a .pdf.")
    ] = Path("calibration.html"),
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin anew, also where a run was interrupted.")
    ] = False,
) -> None:
    """Measure camera, stage, backlash, optics and loop, and write a report. Run it again to continue."""
    settings, json = measuring(asked.settings), asked.json
    check_writable(report, "--report")
    run = Run(msgspec.structs.replace(asked, settings=settings))
    try:
        for part in parts_of(settings):
            run.part(part, anew)
    finally:
        # Also of a run that was refused: the page says why.
        if run.store is not None and run.results:
            _write_report(report, run, run.store, settings)
            say(console_for(json), f"report: {named(report)}")
            parts, used = tuple(run.results), _calibration(run.store).used
            write_json(json, AllReport(*place_of(run.store), named(report), parts, run.elapsed_s, used))


def _write_report(path: Path, run: Run, store: Store, config: Config) -> None:
    calibration = _calibration(store)
    verdicts = tuple(Verdict(one.part, one.told, one.outcome != "refused") for one in run.results)
    sheet = Sheet(datetime.now(timezone.utc), __version__, run.ranges_um, verdicts)
    used = partial(use_of, calibration=calibration, config=config)
    folder = store.path.parent
    if path.suffix.lower() == ".pdf":
        page = report_pdf(calibration, sheet, folder, used)
    else:
        page = report_html(calibration, sheet, folder, used).encode("utf-8", "backslashreplace")
    with result_file(path, "--report") as file:
        file.write(page)


def _calibration(store: Store) -> Calibration:
    """What is in force; empty where nothing was measured yet."""
    try:
        return store.load()
    except CalibMissing:
        return store.empty()
