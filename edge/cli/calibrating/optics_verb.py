"""`parfocal calibrate optics`: fit the model to the microscope, from stacks of the user's own slide."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parfocal.calib.models.levels import LevelFit
from parfocal.calib.value import Level, UsedCalibration
from parfocal.edge.calibrate.optics import run as optics_part
from parfocal.edge.calibrate.optics.dust import Dust
from parfocal.edge.calibrate.optics.one_model import ModelName, OneModel
from parfocal.edge.calibrate.optics.result import LEVEL_WORDS, OpticsResult, OpticsResults
from parfocal.edge.calibrate.optics.run import Models, OpticsCalibration
from parfocal.edge.calibrate.optics.transfer import exported, import_optics
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, Head, reported_bench
from parfocal.edge.cli.showing.output import check_writable, result_file
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine, checked_single_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.shots import Shot
from parfocal.edge.measured.optics_in_use import WORDS, Which, model_digest, model_named
from parfocal.edge.scan.plan import snake
from parfocal.edge.stacks.listing import stacks_at
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.stack import Stack, StackRefused
from parfocal.edge.words import counted, named
from parfocal.engines.errors import InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.predictor import Predictor

SAMPLING_TOLERANCE_SHARE = 0.02  # as for `parfocal evaluate`


class OpticsReport(msgspec.Struct, frozen=True):
    """How the models fit this microscope. `calibration` names the calibration that results.

    `result` is that of the two-shot model, None after an export or an import. `passed_over` says why fields or files
    gave no stack. `single` is that of the single-shot model; where it is None, `without_single` says why. `dust` in the
    camera was evened out in the stacks, None if none was found.
    """

    board_serial: int
    objective: str
    store: str
    result: OpticsResult | None
    passed_over: tuple[str, ...]
    calibration: UsedCalibration | None
    single: OpticsResult | None = None
    without_single: str = ""
    dust: Dust | None = None


@on_microscope()
def optics(
    asked: Asked,
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
) -> None:
    """Find how far the model is off on this microscope, and correct it, from stacks of your own slide."""
    settings = asked.settings
    if sum(bool(one) for one in (recorded, export, imported)) > 1:
        raise ConfigError("give only one of --from, --export and --import")
    check_writable(export, "--export")
    # Before the board is opened: a wrong model is reported at once.
    opened = opened_models(settings) if export is None and imported is None else None
    found: OpticsResults | None = None
    passed_over: tuple[str, ...] = ()
    files = [file for path in recorded or () for file in stacks_at(there(path))]
    steps = len(files) if recorded else n_steps(stacks)
    with reported_bench(asked, steps) as (bench, report):
        if export is not None:
            _export(bench, export)
        elif imported is not None:
            _import(bench, imported)
        elif opened is not None:
            found, passed_over = measure_optics(bench, opened, stacks, files, add)
        report(lambda head: _report(head, found, passed_over))


def _report(head: Head, found: OpticsResults | None, passed_over: tuple[str, ...]) -> OpticsReport:
    if found is None:
        return OpticsReport(*head.place, None, passed_over, head.used)
    return OpticsReport(
        *head.place, found.two_shot, passed_over, head.used, found.single, found.without_single, found.dust
    )


class OpenedModels(msgspec.Struct, frozen=True):
    """The models to calibrate, and a description of each engine for the user."""

    models: Models
    descriptions: tuple[str, ...]


def opened_models(config: Config) -> OpenedModels:
    """The configured models, the single-shot model only if it fits the frames. Raises as `checked_engine`."""
    # Without the controller, which would open the single-shot model as well.
    pairs_alone = msgspec.structs.replace(config.focus, strategy="two-shot")
    two_shot = checked_engine(msgspec.structs.replace(config, focus=pairs_alone))
    models, told = Models(_model(config, "optics", two_shot.predictor)), two_shot.description
    if not config.focus.single_model:
        return OpenedModels(models, (told,))
    try:
        opened = checked_single_engine(config)
    except (ConfigError, InputMismatch) as error:
        return OpenedModels(msgspec.structs.replace(models, without_single=str(error)), (told,))
    single = _model(config, "single", opened.predictor)
    return OpenedModels(msgspec.structs.replace(models, single=single), (told, opened.description))


def _model(config: Config, which: Which, predictor: Predictor) -> OneModel:
    return OneModel(which, predictor, model_of(config, which))


def n_steps(n_stacks: int) -> int:
    """How many curves there will be, if no field is passed over."""
    return optics_part.FIRST_STEPS + optics_part.STEPS_PER_FIELD * n_stacks - 1


def measure_optics(
    bench: Bench, opened: OpenedModels, n_stacks: int, recorded: list[Path] | None = None, add: bool = False
) -> tuple[OpticsResults, tuple[str, ...]]:
    """What `OpticsCalibration` finds, shown; and why fields or files gave no stack. Raises as its methods."""
    config = bench.config
    running = OpticsCalibration(bench.instrument, config, bench.store, bench.stamp, opened.models)
    for description in opened.descriptions:
        say(bench.console, f"engine: {description}")
    if add:
        say(bench.console, f"optics: {counted(running.take_earlier(), 'stack')} of the calibration in force")
    n_silent = 0
    if recorded:
        for file in recorded:
            stack = read_stack(file)
            check_sampling(stack, config)
            shots = (
                Shot(z_um, plane, config.focus) for z_um, plane in zip(stack.z_um, stack.planes, strict=True)
            )
            running.take_recorded(named(file), shots, stack.focus_moved_um)
            n_silent += stack.focus_moved_um is None
            bench.step(named(file))
    else:
        plan = snake(optics_part.FIELDS_PER_STACK * n_stacks, config)
        running.take([(field.x_um, field.y_um) for field in plan], n_stacks, bench.step)
    if n_silent:
        say(
            bench.console,
            f"optics: {counted(n_silent, 'stack')} without a second look: a drift would not show",
        )
    result = running.fit()
    for line in optics_lines(result, opened.models):
        say(bench.console, line)
    if running.passed_over:
        say(bench.console, f"optics: {counted(len(running.passed_over), 'field')} passed over:")
        for why in running.passed_over:
            say(bench.console, f"  {why}")
    return result, running.passed_over


def model_of(config: Config, which: Which) -> ModelName:
    """The configured model. Its engine is open, so its file is there."""
    name = model_named(config, which)
    return ModelName(name, model_digest(name) or "")


def optics_lines(found: OpticsResults, models: Models) -> tuple[str, ...]:
    """The levels of each model beside each other, a line each, what is missing, and what was taken."""
    lines = list(_lines(found.two_shot, models.two_shot))
    if found.single is not None and models.single is not None:
        lines += _lines(found.single, models.single)
    elif found.without_single:
        lines.append(f"{WORDS['single']}: not calibrated: {found.without_single}")
    if (apart := found.two_shot.apart) is not None:
        lines.append(
            f"optics: the sharpest plane lies {apart.above_um:+.2f} +- {apart.uncertainty_um:.2f} um above that of "
            "least wavefront variance"
        )
    if found.dust is not None:
        lines.append(
            f"optics: dust on the camera's window covers {100.0 * found.dust.covered_share:.1f} % of the picture; it "
            "was evened out in the stacks. Runs see it, and are off farther from the focus: clean the window"
        )
    took = f"{counted(found.two_shot.n_stacks, 'stack')}, {counted(found.two_shot.images, 'image')}"
    return (*lines, f"optics: {took}, {found.two_shot.elapsed_s:.0f} s of microscope time")


def _unsure(level: LevelFit) -> str:
    """How many pictures were left out, "" if none."""
    share = level.unsure_share
    return f"; unsure of {100.0 * share:.0f} % of the pictures, which are left out" if share > 0.0 else ""


def _lines(result: OpticsResult, model: OneModel) -> Iterator[str]:
    of, contract = WORDS[model.which], model.predictor.contract
    for level in result.levels:
        yield (
            f"{of}: {LEVEL_WORDS[level.level]}: error {level.error_um:.2f} +- {level.uncertainty_um:.2f} um, wrong "
            f"direction {100.0 * level.wrong_share:.0f} %{_unsure(level)}"
        )
    yield from _missing(of, {level.level for level in result.levels}, contract)
    if result.refused is not None:
        yield f"{of}: not used from now on: {result.refused}"
        return
    values = [
        words.format(value)
        for words, value in (
            ("gain {:.2f}", result.gain),
            ("offset {:+.2f} um", result.offset_um),
            ("condenser {:.2f}", result.condenser),
        )
        if value is not None
    ]
    taken = f"{of}: {LEVEL_WORDS[result.chosen]} from now on"
    yield f"{taken} ({', '.join(values)})" if values else taken


def _missing(of: str, tried: set[Level], contract: Contract) -> Iterator[str]:
    """Why levels were not tried."""
    if "head" not in tried:
        yield f"{of}: {contract.name} has no head outside of its graph, so it is not taught"
    if "condenser" not in tried:
        has_it = contract.head is not None and contract.head.condenser is not None
        why = "focus.condenser is configured" if has_it else f"{contract.name} does not take the condenser"
        yield f"{of}: the condenser is not fitted: {why}"


def there(path: Path) -> Path:
    """The path, if there is a file or folder. Raises StackRefused."""
    if not path.exists():
        raise StackRefused(path, "there is no such file or folder", "Give another path.")
    return path


def check_sampling(stack: Stack, config: Config) -> None:
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
    found = import_optics(bench.store, data, named(path), model_of(bench.config, "optics"))
    for which, model in found.models.items():
        taken = LEVEL_WORDS[model.level] if model.refused is None else "not used"
        say(bench.console, f"{WORDS[which]}: {taken} from now on, from {named(path)}")
