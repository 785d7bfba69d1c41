"""`parfocal report`: the quality of a scan as a page and as JSON."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from parfocal.edge.cli.options import JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, result_file, write_json
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.slide.quality.page import is_stitch_outdated, page_of
from parfocal.edge.slide.quality.report import QualityReport, quality_of
from parfocal.edge.words import counted


def report(
    slide: Annotated[Path, typer.Argument(help="The folder of a scan.", metavar="SLIDE.zarr")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page to write. Default: beside the slide, NAME.report.html."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Judge a finished or unfinished scan: focus, blur, tiles taken again, seams; as a page with maps and pictures."""
    from parfocal import __version__

    page = out or slide.resolve().with_name(f"{slide.resolve().stem}.report.html")
    check_writable(page, "--out")
    check_writable(json)
    console = console_for(json)
    scan = read_scan(slide)
    with shown_progress(console, "looking at tiles", len(scan.tiles), "") as step:
        found, pictures = quality_of(scan, depth_of_field_um(scan.settings.objective), lambda _: step(""))
    with result_file(page, "--out") as file:
        file.write(page_of(found, pictures, __version__).encode())
    _show(console, found)
    say(console, f"page: {page}")
    write_json(json, found)


def _show(console: Console, found: QualityReport) -> None:
    say(
        console,
        f"{found.finished} of {counted(found.planned, 'tile')}, {found.tissue} with tissue, {found.uneven} uneven, "
        f"{found.retaken} taken again, {found.damaged} damaged",
    )
    if found.mean_abs_focus_um is not None and found.within_depth is not None:
        say(
            console,
            f"focus error: mean {found.mean_abs_focus_um:.2f} um, p95 {found.p95_abs_focus_um:.2f} um; "
            f"{100 * found.within_depth:.1f} % within a depth of field ({found.depth_of_field_um:.2f} um)",
        )
    if found.by_two_shots:
        say(
            console,
            f"{counted(found.by_two_shots, 'tile')} focused by two shots, which have no focus error of their own",
        )
    if found.unmeasured:
        say(
            console,
            f"{counted(found.unmeasured, 'tile')} with too little tissue to measure the focus by, taken where the "
            "neighbours have theirs",
        )
    say(
        console,
        f"blurred by the independent measure: {found.blurred}, of these taken for sharp: {found.slipped}",
    )
    if is_stitch_outdated(found):
        say(
            console,
            f"the stitched slide holds {found.stitched_tiles} of {counted(found.finished, 'tile')} as they are now: "
            "run `parfocal stitch` again",
        )
