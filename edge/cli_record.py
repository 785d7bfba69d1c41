"""`parfocal record`: stacks for training and evaluation, taken on the microscope."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from parfocal.edge.cli_instrument import (
    ConfigOption,
    JsonOption,
    PortOption,
    SeedOption,
    SimOption,
    SlideOption,
    UmPerPxOption,
    ZPlayOption,
    check_simulated,
    configured,
    opened_instrument,
)
from parfocal.edge.output import check_writable, write_json
from parfocal.edge.plan import snake
from parfocal.edge.record import FieldRecord, Recorder, extent_of
from parfocal.edge.run import check_frame_size


def record(
    out: Annotated[Path, typer.Option(help="Folder for the stacks, one OME-TIFF a field.")],
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    fields: Annotated[int, typer.Option(help="Neighbouring fields to record.")] = 9,
    reach_um: Annotated[float, typer.Option(help="How far a stack goes below and above the focus.")] = 13.0,
    step_um: Annotated[
        float, typer.Option(help="Distance of the planes, rounded to whole motor steps.")
    ] = 0.625,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Record a stack of planes in each of a number of fields; run again to continue where it ended."""
    settings = configured(config, port)
    check_simulated(sim, slide, um_per_px, z_play_um)
    check_frame_size(settings)
    plan = snake(fields, settings)
    extent = extent_of(reach_um, step_um, settings.board.z.um_per_step)
    check_writable(json)
    console = Console()
    columns = (TextColumn("recording"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    records: list[FieldRecord] = []
    with (
        opened_instrument(
            sim, slide, um_per_px, seed, z_play_um, settings, virtual=port is None
        ) as instrument,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        instrument.show_notes(console)
        task = progress.add_task("first sweep", total=len(plan))
        for done in Recorder(instrument, settings, extent, out).run(plan):
            records.append(done)
            progress.update(task, advance=1, description=f"{done.file}: {done.outcome}")
    for done in records:
        console.print(_line(done), highlight=False, soft_wrap=True)
    counts = [
        f"{sum(r.outcome == name for r in records)} {name}" for name in ("recorded", "kept", "no focus")
    ]
    console.print(f"{len(records)} fields in {out}: {', '.join(counts)}", highlight=False, soft_wrap=True)
    write_json(json, records)


def _line(done: FieldRecord) -> str:
    if not done.z_um:
        return f"{done.file}: {done.outcome}, nothing written; an empty field, or focus beyond the sweep"
    return (
        f"{done.file}: {done.outcome}, {len(done.z_um)} planes, z={done.z_um[0]:.2f}..{done.z_um[-1]:.2f} um"
    )
