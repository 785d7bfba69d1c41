"""`parfocal evaluate`: how well a model predicts on recorded stacks."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from parfocal.edge.cli.options import ConfigOption, JsonOption, configured
from parfocal.edge.cli.showing.drawing import import_matplotlib
from parfocal.edge.cli.showing.output import check_writable, console_for, growing_result, result_file
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.engine import opened_engine
from parfocal.edge.stacks.judging.evaluate import evaluate_stacks
from parfocal.edge.stacks.judging.figures import SIGN_COUNTS_BEYOND
from parfocal.edge.stacks.judging.results import Evaluation, Figures, StackResult
from parfocal.edge.stacks.listing import stacks_at
from parfocal.edge.stacks.read import Overrides, read_stack
from parfocal.edge.stacks.stack import StackRefused
from parfocal.edge.words import counted

MEASURED_WIDTH = 10_000  # wider than any table
_OME_TIFF = re.compile(r"\.ome\.tiff?$", re.IGNORECASE)


def evaluate(
    stacks: Annotated[
        list[Path],
        typer.Argument(
            help="OME-TIFF or ImageJ stacks, folders of OME-TIFF stacks, or folders of images with stack.csv or "
            "numbered names."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Name of a model, or the path NAME.onnx of your own. Default: focus.model."),
    ] = None,
    step_um: Annotated[
        float | None,
        typer.Option(
            help="Distance between planes in um, for stacks that do not state it; negative if they go down."
        ),
    ] = None,
    um_per_px: Annotated[
        float | None,
        typer.Option("--um-per-px", help="Sampling in um per pixel, for stacks that do not state it."),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = None,
    plot: Annotated[
        Path | None, typer.Option(help="Also plot predicted against true distance (PNG).")
    ] = None,
) -> None:
    """Run a model on recorded stacks and compare its predictions with the true focus."""
    settings, overrides = configured(config, None), Overrides(step_um, um_per_px)
    check_writable(json)
    check_writable(plot, "--plot")
    for path in stacks:
        if not path.exists():
            raise StackRefused(path, "there is no such file or folder", "Give another path.")
    if plot is not None:
        import_matplotlib("--plot")
    focus = settings.focus if model is None else msgspec.structs.replace(settings.focus, model=model)
    engine = opened_engine(focus)
    console = console_for(json)
    say(console, f"engine: {engine.description}")
    paths = [stack for path in stacks for stack in stacks_at(path)]
    with (
        growing_result(json, partial(_show, console)) as result,
        shown_progress(console, "evaluating", len(paths), "first stack") as step,
    ):

        def grown(so_far: Evaluation) -> None:
            result.grown(so_far)
            step(Path(so_far.stacks[-1].stack).name)

        found = evaluate_stacks(
            (read_stack(path, overrides) for path in paths), engine.predictor, settings, grown
        )
        result.done(found)
    if plot is not None:
        _draw(plot, found)


def _show(console: Console, result: Evaluation) -> None:
    console.print()
    console.print(_stacks_table(console, result))
    console.print()
    by_distance = _table("All stacks, by distance to focus", "|z| um")
    for part in result.bins:
        by_distance.add_row(f"{part.from_um:g} .. {part.to_um:g}", *_cells(part.figures))
    by_distance.add_row("all", *_cells(result.figures), style="bold")
    console.print(by_distance)
    console.print()
    for line in _lines(result):
        say(console, line)


def _stacks_table(console: Console, result: Evaluation) -> Table:
    """A row for each stack. Names lose their `.ome.tiff` if the console is too narrow."""
    names = [Path(stack.stack).name for stack in result.stacks]
    table = _filled_stacks_table(names, result)
    if console.measure(table, options=console.options.update_width(MEASURED_WIDTH)).maximum <= console.width:
        return table
    return _filled_stacks_table([_OME_TIFF.sub("", name) for name in names], result)


def _filled_stacks_table(names: list[str], result: Evaluation) -> Table:
    table = _table("Stacks (errors in um)", "stack")
    for name, stack in zip(names, result.stacks, strict=True):
        table.add_row(Text(name), *_cells(stack.figures))
    return table


def _table(title: str, first: str) -> Table:
    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold", min_width=8)
    for heading in ("planes", "mean +- sd", "median", "bias", "wrong\nsign", "accepted", "their\nmean"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cells(figures: Figures | None) -> list[str]:
    if figures is None:
        return ["0", *["-"] * 6]
    return [
        str(figures.planes),
        f"{figures.mean_um:.2f} +- {figures.sd_um:.2f}",
        f"{figures.median_um:.2f}",
        f"{figures.bias_um:+.2f}",
        _percent(figures.wrong_sign),
        _percent(figures.accepted),
        "-" if figures.accepted_mean_um is None else f"{figures.accepted_mean_um:.2f}",
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.1f} %"


def _lines(result: Evaluation) -> list[str]:
    """What the tables do not show, in words."""
    lines = []
    figures = result.figures
    if figures is not None:
        lines.append(
            f"{result.model}: mean error {figures.mean_um:.2f} +- {figures.sd_um:.2f} um, "
            f"{figures.mean_per_depth_of_field:.2f} depths of field ({result.depth_of_field_um:.2f} um), "
            f"{_percent(figures.within_depth_of_field)} within one; "
            f"wrong sign beyond {SIGN_COUNTS_BEYOND * result.depth_of_field_um:.3g} um: {_percent(figures.wrong_sign)}"
        )
    planes = [plane for stack in result.stacks for plane in stack.planes]
    n_blank, n_far = sum(p.blank for p in planes), sum(not p.in_range for p in planes)
    if n_blank or n_far:
        lines.append(
            f"not counted: {counted(n_blank, 'blank plane')}, {n_far} outside the model's +-{result.range_um:g} um"
        )
    n_labelled = sum(stack.truth == "label" for stack in result.stacks)
    if n_labelled:
        of_all = f"{n_labelled} of {counted(len(result.stacks), 'stack')}"
        lines.append(f"focus not stated by the stack but estimated from its sharpness: {of_all}")
    lines.extend(f"{Path(stack.stack).name}: {note}" for stack in result.stacks for note in stack.notes)
    lines.extend(_review_line(stack) for stack in result.stacks if stack.review is not None)
    return lines


def _review_line(stack: StackResult) -> str:
    return f"left out, please check {stack.stack}: {stack.review}"


def _draw(path: Path, result: Evaluation) -> None:
    from parfocal.edge.stacks.judging.evaluate_picture import draw

    with result_file(path, "--plot") as file:
        draw(file, result)
