"""`parfocal calibrate int8`: the ranges of INT8 engines, measured on stacks of this microscope."""

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE
from rich.table import Table

from parfocal.calib.models.coverage import Z_BINS, Coverage
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate.int8 import Int8Calibration, Int8Result
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, reported_bench
from parfocal.edge.cli.calibrating.optics_verb import check_sampling, there
from parfocal.edge.cli.engine import made_form, outcomes_table, reasons
from parfocal.edge.cli.showing.say import say
from parfocal.edge.focus.shots import Shot
from parfocal.edge.stacks.listing import stacks_at
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.whole_file import write_plainly
from parfocal.edge.words import named
from parfocal.engines.backends import maker_of
from parfocal.engines.build import build_all
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.choose import load_choices
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.forms import scales_bytes
from parfocal.engines.model.head import load_head
from parfocal.engines.model.shipped import (
    Model,
    measured_scales_name,
    model_at,
    model_path,
    with_measured_scales,
)
from parfocal.engines.predictor import Predictor


class Int8Report(msgspec.Struct, frozen=True):
    """The measured ranges. `calibration` names the calibration that results.

    `passed_over` says why stacks were not used, a sentence each.
    """

    board_serial: int
    objective: str
    store: str
    result: Int8Result
    passed_over: tuple[str, ...]
    calibration: UsedCalibration | None


@on_microscope()
def int8(
    asked: Asked,
    recorded: Annotated[
        list[Path],
        typer.Option("--from", help="Recorded stacks: OME-TIFF files, or folders of them."),
    ],
) -> None:
    """Measure the ranges of INT8 engines on stacks of `parfocal record`, and build the engines of the model anew."""
    settings = asked.settings
    files = [file for path in recorded for file in stacks_at(there(path))]
    cache = EngineCache(default_cache_folder())
    model = with_measured_scales(model_at(model_path(settings.focus.model)), cache.folder)
    head = load_head(model.path, model.contract)
    predictor = Predictor(OpenVinoRunner(model.path, n_threads=0), head, settings.focus.condenser)
    with reported_bench(asked, len(files)) as (bench, report):
        running = Int8Calibration(predictor, model, settings.focus, bench.store, bench.stamp)
        for file in files:
            stack = read_stack(file)
            check_sampling(stack, settings)
            planes = zip(stack.z_um, stack.planes, strict=True)
            running.add(named(file), (Shot(z_um, plane, settings.focus) for z_um, plane in planes))
            bench.step(named(file))
        bench.console.print(coverage_table(running.coverage))
        result = kept(bench, running, model, cache)
        report(lambda head: Int8Report(*head.place, result, running.passed_over, head.used))


def kept(bench: Bench, running: Int8Calibration, model: Model, cache: EngineCache) -> Int8Result:
    """Measure, build an engine aside, and put the ranges in force only if it passes the gate."""
    scales, raw = running.measured()
    choice = load_choices(cache).get(model.label)
    backend, threads = (None, 0) if choice is None else (choice.key.backend, choice.key.n_threads)
    maker, _ = maker_of(backend, threads)
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        write_plainly(folder / measured_scales_name(model), scales_bytes(scales))
        tried = with_measured_scales(model, folder)
        outcomes = build_all([tried], maker, EngineCache(folder), make_form=made_form, precision="int8")
    bench.console.print(outcomes_table(model.contract.name, maker.backend, outcomes))
    if not outcomes[0].row.passed:
        raise running.refused("; ".join(reasons(outcomes)), raw)
    cache.write(measured_scales_name(model), scales_bytes(scales))
    result = running.keep(raw)
    say(
        bench.console,
        f"int8: deviates by {result.deviation_um:.4f} +- {result.uncertainty_um:.4f} um from FP32 on stacks that "
        f"nothing was measured on (it was {result.before_um:.4f} um)",
    )
    if choice is not None:  # its engines would be stale
        asked = choice.key.precision if choice.asked_for else None
        again = with_measured_scales(model, cache.folder)
        build_all([again], maker, cache, make_form=made_form, precision=asked)
    else:
        say(bench.console, "int8: used by the next `parfocal engine build`")
    return result


def coverage_table(coverage: Coverage) -> Table:
    """What the stacks show, and what is missing."""
    table = Table(
        title=f"Coverage: {coverage.n_stacks} stacks", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False
    )
    for heading in ("what", "seen"):
        table.add_column(heading, no_wrap=heading == "what")
    width_um = 2.0 * coverage.range_um / Z_BINS
    for k, n in enumerate(coverage.stacks_at):
        low_um = -coverage.range_um + k * width_um
        table.add_row(f"{low_um:+.1f} to {low_um + width_um:+.1f} um", f"{n} stacks")
    for dye, share in coverage.dyes.items():
        if share >= 0.005:
            table.add_row(dye, f"{100.0 * share:.0f} % of the stained pixels")
    for why in coverage.too_little:
        table.add_row("too little", why)
    return table
