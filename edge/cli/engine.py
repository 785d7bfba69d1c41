"""`parfocal engine`: list the models, and build engines of them for this machine."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Literal

import typer
from msgspec import to_builtins
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from parfocal.edge.cli.options import JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.say import say
from parfocal.engines.backends import EngineMaker, maker_of
from parfocal.engines.build import Outcome, build_all
from parfocal.engines.cache import EngineCache, default_cache_folder
from parfocal.engines.choose import Choice, choices_so_far, description, load_choices
from parfocal.engines.errors import BuildFailed, EngineStale
from parfocal.engines.gate import APART
from parfocal.engines.key import Backend
from parfocal.engines.model.forms import Form
from parfocal.engines.model.shipped import Model, list_models, model_at, model_path, with_measured_scales
from parfocal.engines.progress import Report

DETAIL_EVERY_S = 10.0

app = typer.Typer(no_args_is_help=True, help="List models and build their engines for this machine.")


@app.command("list")
def list_engines(json: JsonOption = None) -> None:
    """List the installed models, what each was trained for, and the engine chosen for it here."""
    check_writable(json)
    models = list_models()
    cache = EngineCache(default_cache_folder())
    choices = load_choices(cache)
    problems = {
        label: why for label, choice in choices.items() if (why := _problem(cache, choice)) is not None
    }
    table = Table(title="Models", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("name", "kind", "objective", "delta\num", "range\num", "um/px", "patch\npx"):
        table.add_column(heading, no_wrap=True)
    table.add_column("engine", min_width=13, overflow="fold")
    for model in models:
        c = model.contract
        numbers = (c.delta_um, c.range_um, c.um_per_px, c.patch_px)
        engine = description(choices.get(model.label))
        if model.label in problems:
            engine = f"{engine}: cannot be used"
        table.add_row(c.name, c.kind, c.objective, *(f"{value:g}" for value in numbers), engine)
    console_for(json).print(table)
    for model in models:
        if model.label in problems:
            say(console_for(json), problems[model.label])
    write_json(
        json,
        [
            {
                **to_builtins(model.contract),
                "choice": choices.get(model.label),
                "problem": problems.get(model.label),
            }
            for model in models
        ],
    )


def _problem(cache: EngineCache, choice: Choice) -> str | None:
    """Why the chosen engine cannot be used, and what to do; None if it is there as it was built."""
    try:
        cache.load(choice.key)
    except EngineStale as error:
        return str(error)
    return None


@app.command()
def build(
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names of models, or paths NAME.onnx of your own. Default: all that are installed.",
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "bf16", "int8"] | None,
        typer.Option(help="Use this precision, whatever the measurements say."),
    ] = None,
    int8_mode: Annotated[
        Literal["explicit", "implicit"] | None,
        typer.Option(help="Also try INT8 on a GPU, by Q/DQ nodes or by calibration (up to TensorRT 10)."),
    ] = None,
    backend: Annotated[
        Literal["openvino", "tensorrt"] | None,
        typer.Option(help="Default: TensorRT if it works here, else OpenVINO."),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=0, max=256, help="CPU threads of OpenVINO; 0 for every core.")
    ] = 0,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    json: JsonOption = None,
) -> None:
    """Build the engines of every model for this machine, check their predictions, and choose by measurement."""
    check_writable(json)
    console = console_for(json)
    cache = EngineCache(default_cache_folder())
    models = [with_measured_scales(model, cache.folder) for model in _models_of(named)]
    maker = _maker(console, backend, threads, choices_so_far(cache, partial(say, console)))
    with _progress(console) as (report, detail):
        outcomes = build_all(
            models,
            maker,
            cache,
            make_form=made_form,
            precision=precision,
            int8_mode=int8_mode,
            retry=retry,
            report=report,
            detail=detail,
        )
    for model in models:
        ours = [outcome for outcome in outcomes if outcome.row.model == model.label]
        console.print(outcomes_table(model.contract.name, maker.backend, ours))
        for line in reasons(ours):
            say(console, line)
    if not any(outcome.built for outcome in outcomes):
        failed = any(outcome.row.failed for outcome in outcomes)
        console.print("nothing was built" + ("" if failed else ": every engine is up to date"))
    write_json(json, outcomes)
    without = _without_engine(models, outcomes)
    if without:
        raise BuildFailed(
            f"no engine was built for {', '.join(without)}; the reasons are above. Earlier choices are kept."
        )


def made_form(fp32: bytes, form: Form, ranges: Mapping[str, float]) -> bytes:
    """`forms.made_form`, imported when it is first needed: the onnx package takes a while."""
    from parfocal.calib.quantise import forms

    return forms.made_form(fp32, form, ranges)


def _models_of(named: list[str] | None) -> list[Model]:
    """The models with these names or paths, each once; all that are installed for None."""
    if not named:
        return list_models()
    models = [model_at(model_path(name)) for name in named]
    return list({model.label: model for model in models}.values())


@contextlib.contextmanager
def _progress(
    console: Console, now_s: Callable[[], float] = time.monotonic
) -> Iterator[tuple[Report, Report]]:
    """Show the steps, and the details of a step: in place on a terminal, else as lines, details only now and then."""
    if console.is_terminal:
        with console.status("engines") as status:
            # TensorRT's layer names hold brackets, which a status would read as markup.
            yield (lambda text: status.update(escape(text)),) * 2
        return
    printed_s = now_s()

    def report(text: str) -> None:
        nonlocal printed_s
        printed_s = now_s()
        say(console, text)

    yield report, lambda text: report(text) if now_s() - printed_s >= DETAIL_EVERY_S else None


def _maker(
    console: Console, backend: Backend | None, threads: int, choices: dict[str, Choice]
) -> EngineMaker:
    """What builds engines here. Raises BuildFailed if TensorRT fails although earlier choices used it."""
    maker, why_not_tensorrt = maker_of(backend, threads)
    if why_not_tensorrt and any(choice.key.backend == "tensorrt" for choice in choices.values()):
        raise BuildFailed(
            f"TensorRT, which the engines of this machine were chosen on, failed: {why_not_tensorrt} "
            "Nothing was changed. To use the CPU instead, give `--backend openvino`."
        )
    if why_not_tensorrt:
        say(console, f"TensorRT is not used: {why_not_tensorrt}", style="dim")
    return maker


def outcomes_table(model: str, backend: Backend, outcomes: list[Outcome]) -> Table:
    """The measurements of one model, a row for each engine."""
    batch = next((f", ms for a batch of {o.row.batch}" for o in outcomes if o.row.batch), "")
    table = Table(title=f"{model} on {backend}{batch}", box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("precision", no_wrap=True)
    for heading in ("ms\np50", "ms\np95", "mean dev.\num", "max\num", "error\num"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for outcome in outcomes:
        row, far = outcome.row, outcome.row.deviation
        mode = f" ({row.int8_mode})" if row.precision == "int8" else ""
        times = ["-" if ms is None else f"{ms:.{2 if ms < 100.0 else 1}f}" for ms in (row.ms_p50, row.ms_p95)]
        deviations = (
            (f"{far.mean_um:.3f}", f"{far.max_um:.3f}", f"{far.error_growth_um:+.3f}") if far else ("-",) * 3
        )
        table.add_row(f"{row.precision}{mode}", *times, *deviations, verdict(outcome))
    return table


def verdict(outcome: Outcome) -> str:
    """The outcome in a word or two; `reasons` says why."""
    if outcome.chosen:
        return "CHOSEN as asked" if outcome.asked_for else "CHOSEN"
    return "failed" if outcome.row.failed else "refused" if outcome.row.refused else "passed"


def reasons(outcomes: list[Outcome]) -> list[str]:
    """Why engines failed or were refused, a line for each reason; also for one chosen because it was asked for."""
    found = []
    for row in (outcome.row for outcome in outcomes):
        if row.failed:
            found.append(f"{row.precision} failed: {row.failed}")
        elif row.refused:
            found += [f"{row.precision} refused: {reason}" for reason in row.refused.split(APART)]
    return found


def _without_engine(models: list[Model], outcomes: list[Outcome]) -> list[str]:
    chosen = {outcome.row.model for outcome in outcomes if outcome.chosen}
    return [model.contract.name for model in models if model.label not in chosen]
