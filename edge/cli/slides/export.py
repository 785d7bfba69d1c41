"""`parfocal export`: the master of a slide as a file that other programs open."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.edge.cli.options import JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, naming_option, write_json
from parfocal.edge.cli.showing.phases import shown_phases
from parfocal.edge.cli.showing.say import say
from parfocal.edge.slide.export import Form, export_path
from parfocal.edge.slide.export import export as exported
from parfocal.edge.words import counted, sized

SlideArgument = Annotated[Path, typer.Argument(help="A slide with a master.", metavar="SLIDE.zarr")]


def export(
    slide: SlideArgument,
    as_: Annotated[
        Form,
        typer.Option(
            "--as", help="ome-tiff for QuPath and Bio-Formats, openslide-tiff, or deepzoom for a page."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write. Default: beside the slide, under its name.")
    ] = None,
    quality: Annotated[int, typer.Option(min=50, max=100, help="Quality of JPEG.")] = 85,
    json: JsonOption = None,
) -> None:
    """Write the master of a slide in a form that other programs open."""
    path = export_path(slide, as_, out)
    check_writable(path, "--out")
    check_writable(json)
    console = console_for(json)
    with naming_option(path, "--out"), shown_phases(console) as step:
        report = exported(slide, as_, path, quality, lambda done, n: step("exporting", done, n))
    say(
        console,
        f"{report.path}: {report.width_px} x {report.height_px} px, {report.levels} levels, {sized(report.n_bytes)}",
    )
    if report.tiles is not None and report.planned is not None and report.tiles < report.planned:
        of_all = counted(report.planned, "tile")
        say(console, f"the scan is not complete: {report.tiles} of {of_all} are in the export")
    write_json(json, report)
