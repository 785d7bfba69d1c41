"""`parfocal review`: random fields of a slide for a professional, who does not know which slide it is."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.edge.cli.options import MAX_SEED, JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, naming_option, write_json
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.slide.review.draw import drawn_tiles, review_code, write_review
from parfocal.edge.slide.review.sheet import FINDINGS
from parfocal.edge.words import counted

MAX_FIELDS = 500
N_FIELDS = 30  # dastidar2020 5.2


def review(
    slide: Annotated[Path, typer.Argument(help="The folder of a scan.", metavar="SLIDE.zarr")],
    fields: Annotated[int, typer.Option(min=1, max=MAX_FIELDS, help="Number of fields to draw.")] = N_FIELDS,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Another seed draws other fields; the same one the same.")
    ] = 1,
    finding: Annotated[
        list[str] | None,
        typer.Option(help=f"What to look for; may be given several times. Default: {', '.join(FINDINGS)}."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to. Default: the review's code, beside the slide."),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Draw random fields with tissue, blinded, as pictures with a sheet and a page to fill in."""
    check_writable(json)
    console = console_for(json)
    scan = read_scan(slide)
    findings = finding or list(FINDINGS)
    code = review_code(scan, drawn_tiles(scan, fields, seed), seed, findings)
    folder = out or slide.resolve().parent / code
    with naming_option(folder, "--out"), shown_progress(console, "drawing", fields, "") as step:
        report = write_review(scan, fields, seed, folder, findings, lambda _: step(""))
    say(
        console,
        f"review {report.review}: {counted(report.fields, 'field')} of {report.fields_with_tissue} with tissue in "
        f"{report.folder}; open review.html there, or fill in sheet.csv",
    )
    say(console, f"its key stays with the slide: {report.key}")
    write_json(json, report)
