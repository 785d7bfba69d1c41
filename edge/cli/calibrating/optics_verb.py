"""`parfocal calibrate optics`: fit the model to the microscope, from stacks of the user's own slide."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate import optics as optics_part
from parfocal.edge.calibrate.optics import LEVEL_WORDS, ModelName, OpticsCalibration, OpticsResult
from parfocal.edge.calibrate.transfer import exported, import_optics
from parfocal.edge.calibration import model_digest
from parfocal.edge.cli.calibrating.verbs import Bench, opened_bench, place_of
from parfocal.edge.cli.options import (
    ConfigOption,
    JsonOption,
    PortOption,
    SeedOption,
    SimOption,
    Simulation,
    SlideOption,
    UmPerPxOption,
    ZPlayOption,
    configured,
)
from parfocal.edge.cli.showing.output import check_writable, result_file, write_json
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.engine import Engines, checked_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.shots import Shot
from parfocal.edge.scan.plan import snake
from parfocal.edge.stacks.listing import stacks_at
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.stack import Stack, StackRefused
from parfocal.edge.words import counted, named

SAMPLING_TOLERANCE_SHARE = 0.02  # as for `parfocal evaluate`


class OpticsReport(msgspec.Struct, frozen=True):
    """How the model fits this microscope. `calibration` names the calibration that results.

    `result` is None after an export or an import. `passed_over` says why fields or files gave no stack.
    """

    board_serial: int
    objective: str
    store: str
    result: OpticsResult | None
    passed_over: tuple[str, ...]
    calibration: UsedCalibration | None


def optics(
    stacks: Annotated[
        int, typer.Option("--stacks", min=2, max=200, help="Number of stacks to take.")
    ] = optics_part.N_STACKS,
    recorded: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Use recorded stacks instead: OME-TIFF files, or folders of them."),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Also use the stacks of the calibration in force.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", help="Only write the measured optics to this file.")
    ] = None,
    imported: Annotated[
        Path | None, typer.Option("--import", help="Only put exported optics of this microscope in force.")
    ] = None,
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Find how far the model is off on this microscope, and correct it, from stacks of your own slide."""
    settings = configured(config, port)
    if sum(bool(one) for one in (recorded, export, imported)) > 1:
        raise ConfigError("give only one of --from, --export and --import")
    check_writable(export, "--export")
    simulation = Simulation(sim, slide, um_per_px, seed, z_play_um)
    # Before the board is opened: a wrong model is reported at once.
    engine = checked_engine(settings) if export is None and imported is None else None
    result: OpticsResult | None = None
    passed_over: tuple[str, ...] = ()
    with opened_bench(simulation, settings, port is None, json, n_steps(stacks)) as bench:
        if export is not None:
            _export(bench, export)
        elif imported is not None:
            _import(bench, imported)
        elif engine is not None:
            result, passed_over = measure_optics(bench, engine, stacks, recorded, add)
    used = bench.store.load().used
    write_json(json, OpticsReport(*place_of(bench.store), result, passed_over, used))


def n_steps(n_stacks: int) -> int:
    """How many curves there will be, if no field is passed over."""
    return optics_part.FIRST_STEPS + optics_part.STEPS_PER_FIELD * n_stacks - 1


def measure_optics(
    bench: Bench, engine: Engines, n_stacks: int, recorded: list[Path] | None = None, add: bool = False
) -> tuple[OpticsResult, tuple[str, ...]]:
    """What `OpticsCalibration` finds, shown; and why fields or files gave no stack. Raises as its methods."""
    config = bench.config
    running = OpticsCalibration(
        bench.instrument, config, bench.store, bench.stamp, engine.predictor, model_of(config)
    )
    say(bench.console, f"engine: {engine.description}")
    if add:
        say(bench.console, f"optics: {counted(running.take_earlier(), 'stack')} of the calibration in force")
    if recorded:
        for path in recorded:
            for file in stacks_at(_there(path)):
                stack = read_stack(file)
                _check_sampling(stack, config)
                shots = (
                    Shot(z_um, plane, config.focus)
                    for z_um, plane in zip(stack.z_um, stack.planes, strict=True)
                )
                running.take_recorded(named(file), shots)
                bench.step(named(file))
    else:
        plan = snake(optics_part.FIELDS_PER_STACK * n_stacks, config)
        running.take([(field.x_um, field.y_um) for field in plan], n_stacks, bench.step)
    result = running.fit()
    for line in optics_lines(result, engine):
        say(bench.console, line)
    if running.passed_over:
        say(
            bench.console, f"optics: {counted(len(running.passed_over), 'field')} passed over: no clear focus"
        )
    return result, running.passed_over


def model_of(config: Config) -> ModelName:
    """The configured model. Its engine is open, so its file is there."""
    return ModelName(config.focus.model, model_digest(config) or "")


def optics_lines(result: OpticsResult, engine: Engines) -> tuple[str, ...]:
    """The levels beside each other, a line each, what is missing, and what was taken."""
    lines = [
        f"optics: {LEVEL_WORDS[level.level]}: error {level.error_um:.2f} +- {level.uncertainty_um:.2f} um, wrong "
        f"direction {100.0 * level.wrong_share:.0f} %"
        for level in result.levels
    ]
    tried = {level.level for level in result.levels}
    contract = engine.predictor.contract
    if "head" not in tried:
        lines.append(f"optics: {contract.name} has no head outside of its graph, so it is not taught")
    if "condenser" not in tried:
        has_it = contract.head is not None and contract.head.condenser is not None
        why = "focus.condenser is configured" if has_it else f"{contract.name} does not take the condenser"
        lines.append(f"optics: the condenser is not fitted: {why}")
    values = [
        words.format(value)
        for words, value in (
            ("gain {:.2f}", result.gain),
            ("offset {:+.2f} um", result.offset_um),
            ("condenser {:.2f}", result.condenser),
        )
        if value is not None
    ]
    taken = f"optics: {LEVEL_WORDS[result.chosen]} from now on"
    lines.append(f"{taken} ({', '.join(values)})" if values else taken)
    took = f"{counted(result.n_stacks, 'stack')}, {counted(result.images, 'image')}"
    lines.append(f"optics: {took}, {result.elapsed_s:.0f} s of microscope time")
    return tuple(lines)


def _there(path: Path) -> Path:
    if not path.exists():
        raise StackRefused(path, "there is no such file or folder", "Give another path.")
    return path


def _check_sampling(stack: Stack, config: Config) -> None:
    """Refuse a stack with pixels of another size than the camera's. Raises StackRefused."""
    um_per_px = config.camera.um_per_px
    if stack.um_per_px is not None and abs(stack.um_per_px / um_per_px - 1.0) > SAMPLING_TOLERANCE_SHARE:
        raise StackRefused(
            stack.path,
            f"it has {stack.um_per_px:g} um per px, and camera.um_per_px is {um_per_px:g}",
            "Use stacks of this microscope.",
        )


def _export(bench: Bench, path: Path) -> None:
    data = exported(bench.store)
    with result_file(path, "--export") as file:
        file.write(data)
    say(bench.console, f"optics: written to {named(path)}")


def _import(bench: Bench, path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. Give another path with --import."
        ) from error
    found = import_optics(bench.store, data, named(path), model_of(bench.config))
    say(bench.console, f"optics: {LEVEL_WORDS[found.optics.level]} from now on, from {named(path)}")
