"""`parfocal record`: record stacks for training and evaluation on the microscope."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from parfocal.board.tunable.lens_motor import UM_PER_STEP as LENS_UM_PER_STEP
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.focusing.by_lens import by_lens
from parfocal.edge.cli.showing.output import check_writable, console_for, growing_result
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.engine import check_frame_size
from parfocal.edge.focus.planes import usual_steps, whole_parts
from parfocal.edge.scan.plan import snake
from parfocal.edge.stacks.extent import REACH_SHARE, Extent, extent_of
from parfocal.edge.stacks.record import FieldRecord, Recorder, Recording, bytes_of, fits
from parfocal.edge.words import counted, named, sized
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.shipped import model_path


@on_microscope()
def record(
    asked: Asked,
    out: Annotated[Path, typer.Option(help="Folder for the stacks, one OME-TIFF per field.")],
    fields: Annotated[int, typer.Option(help="Number of neighbouring fields.")] = 9,
    reach_um: Annotated[
        float | None,
        typer.Option(
            help="How far each stack extends below and above the focus, um.",
            show_default="a third beyond the range of the model",
        ),
    ] = None,
    step_um: Annotated[
        float | None,
        typer.Option(
            help="Distance between planes, um; rounded to whole motor steps.",
            show_default="a part of delta, about two thirds of a depth of field",
        ),
    ] = None,
) -> None:
    """Record a stack of planes in each of several fields. Run it again to continue after an interruption."""
    settings = asked.settings
    check_frame_size(settings)
    plan = snake(fields, settings)
    extent = _extent(settings, reach_um, step_um)
    check_writable(asked.json)
    console = console_for(asked.json)
    each = bytes_of(extent, settings.camera)
    size = f"{counted(len(plan), 'field')} of {counted(extent.n_planes, 'plane')}: {sized(each)} per field"
    say(console, f"{size}, {sized(len(plan) * each)} in all")
    records: list[FieldRecord] = []
    with (
        growing_result(asked.json, partial(_show, console)) as result,
        asked.opened(settings) as opened,
        shown_progress(console, "recording", len(plan), "first sweep") as step,
    ):
        show_notes(console, opened.notes)
        instrument, settings, _ = by_lens(opened, settings, console, plan)
        with contextlib.closing(Recorder(instrument, settings, extent, out).run(plan)) as run:
            for done in run:
                records.append(done)
                result.grown(Recording(named(out), tuple(records), instrument.calibration))
                step(f"{done.file}: {done.outcome}")
        result.done(Recording(named(out), tuple(records), instrument.calibration))


def _extent(settings: Config, reach_um: float | None, step_um: float | None) -> Extent:
    """The planes that were asked for. Raises ConfigError, and BuildFailed where the range of the model is not known."""
    um_per_step = LENS_UM_PER_STEP if settings.lens.focuses else settings.board.z.um_per_step
    if reach_um is None:
        reach_um = REACH_SHARE * contract_from_onnx(model_path(settings.focus.model)).range_um
    if step_um is None:
        usual = usual_steps(settings.focus, um_per_step)
        steps_um = [n * um_per_step for n in whole_parts(settings.focus, um_per_step) if n >= usual]
        # Where so many large frames would not fit into memory, planes lie farther apart, but still a part of delta.
        fitting = (um for um in steps_um if fits(extent_of(reach_um, um, um_per_step), settings.camera))
        step_um = next(fitting, steps_um[0])
    return extent_of(reach_um, step_um, um_per_step)


def _show(console: Console, recording: Recording) -> None:
    for done in recording.fields:
        say(console, _line(done))
    counts = [
        f"{sum(done.outcome == name for done in recording.fields)} {name}"
        for name in ("recorded", "kept", "no focus")
    ]
    summary = f"{counted(len(recording.fields), 'field')} in {recording.out}: {', '.join(counts)}"
    say(console, summary)


def _line(done: FieldRecord) -> str:
    if not done.z_um:
        return f"{done.file}: {done.outcome}, nothing written; the field is empty, or its focus lies outside the sweep"
    planes = counted(len(done.z_um), "plane")
    return f"{done.file}: {done.outcome}, {planes}, z={done.z_um[0]:.2f}..{done.z_um[-1]:.2f} um"
