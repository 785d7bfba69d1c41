"""`parfocal stitch`: the tiles of a scan become one picture, the master of the slide."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from parfocal.edge.cli.options import JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.phases import shown_phases
from parfocal.edge.cli.showing.say import say
from parfocal.edge.images.chunks import ChunkCodec
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.slide.master import MasterReport, make_master
from parfocal.edge.stitch.stitching import LightSource
from parfocal.edge.words import counted, sized

SlideArgument = Annotated[
    Path, typer.Argument(help="The folder that `parfocal scan` wrote.", metavar="SLIDE.zarr")
]


LIGHT_WORDS: dict[LightSource, str] = {
    "measured": "light: evened out as the calibration of the camera measured it",
    "estimated": "light: evened out by what all tiles have in common",
    "none": "light: left as it is; the tiles do not agree on how it falls off",
}


def stitch(
    slide: SlideArgument,
    codec: Annotated[
        ChunkCodec | None,
        typer.Option(help="How the master is packed. Default: jpeg if the tiles are JPEG, else lossless."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Put the tiles of a scan together and write the master: a pyramid in OME-Zarr."""
    check_writable(json)
    console = console_for(json)
    scan = read_scan(slide)
    if not scan.is_complete:
        n_planned = len(scan.about.planned)
        say(console, f"the scan is not complete: {len(scan.tiles)} of {counted(n_planned, 'tile')} are there")
    with shown_phases(console) as step:
        report = make_master(scan, codec, step)
    _show(console, report)
    write_json(json, report)


def _show(console: Console, report: MasterReport) -> None:
    fit = report.stitch
    say(console, f"{counted(fit.tiles, 'tile')}: {fit.width_px} x {fit.height_px} px, {report.codec}")
    if fit.median_residual_px is not None and fit.p95_residual_px is not None:
        say(
            console,
            f"{fit.seams_used} of {counted(fit.seams, 'seam')} used, the others hold by the stage; residual median "
            f"{fit.median_residual_px:.2f} px, p95 {fit.p95_residual_px:.2f} px; steps of the stage were off by "
            f"{fit.stage_step_error_um or 0.0:.1f} um (rms)",
        )
    else:
        say(
            console, f"none of {counted(fit.seams, 'seam')} could be used: the tiles lie where the stage says"
        )
    if fit.turned is not None:
        say(
            console,
            f"put together as the tiles say, not as the scan was told: {fit.turned}. Run `parfocal calibrate stage`",
        )
    say(console, LIGHT_WORDS[fit.light])
    say(
        console,
        f"{sized(report.written_bytes)} written ({sized(report.foretold_bytes)} foretold, tiles "
        f"{sized(report.tile_bytes)}); stitching {report.stitch_s:.0f} s, writing {report.write_s:.0f} s",
    )
