"""`parfocal concordance`: how far digital readings agree with manual ones, and observers with each other."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from parfocal.edge.cli.options import JsonOption
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.say import say
from parfocal.edge.slide.review.concordance import ConcordanceReport, Share
from parfocal.edge.slide.review.concordance import concordance as compared
from parfocal.edge.slide.review.draw import find_key
from parfocal.edge.slide.review.grades import WORDS
from parfocal.edge.slide.review.sheet import FilledSheet, Reading, read_readings, read_sheet, refused
from parfocal.edge.words import counted


def concordance(
    readings: Annotated[
        Path,
        typer.Argument(
            help="CSV of readings: slide, observer, method (one is `manual`), and a column a finding."
        ),
    ],
    sheet: Annotated[
        list[Path] | None,
        typer.Option(help="A sheet of a review that was filled in; may be given several times."),
    ] = None,
    slide: Annotated[
        list[Path] | None, typer.Option(help="A slide that a sheet may be of; may be given several times.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Compare readings of digital pictures with manual ones of the same slide and observer."""
    check_writable(json)
    console = console_for(json)
    all_readings = list(read_readings(readings))
    for path in sheet or []:
        filled = read_sheet(path)
        key = find_key(slide or [], filled.review)
        if filled.fields != len(key.tiles):
            raise refused(
                path, f"it has {counted(filled.fields, 'field')}, but the review has {len(key.tiles)}"
            )
        all_readings.append(
            Reading(key.slide, filled.observer, key.method, filled.findings, filled.looked_for)
        )
        say(console, _of_sheet(filled, key.slide))
    report = compared(all_readings)
    _show(console, report)
    write_json(json, report)


def _of_sheet(filled: FilledSheet, slide: str) -> str:
    grades = [
        f"{what} {grade} ({WORDS[grade]})"
        for what, grade in (("cells", filled.cells), ("bacteria", filled.bacteria))
        if grade is not None
    ]
    found = ", ".join(sorted(filled.findings)) or "nothing found"
    entered = "" if filled.entered == filled.fields else f" in {filled.entered} of {filled.fields} fields"
    return f"{filled.review} is {slide}, read by {filled.observer}{entered}: {'; '.join([found, *grades])}"


def _show(console: Console, report: ConcordanceReport) -> None:
    table = Table(title="Against the manual reading of the same observer", box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("observer", "method"):
        table.add_column(heading)
    for heading in ("concur", "do not", "surpassed", "% concur", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in report.methods:
        share, interval = _percent(line.concurrences)
        table.add_row(
            line.observer,
            line.method,
            str(line.concurrences.count),
            str(line.non_concurrences),
            str(line.surpassed),
            share,
            interval,
        )
    if report.methods:
        console.print(table)
    for pair in report.observers:
        share, interval = _percent(pair.agreeing)
        say(
            console,
            f"{pair.first} and {pair.second} agree by {pair.method} in {pair.agreeing.count} of {pair.agreeing.n} "
            f"slides: {share} % ({interval})",
        )
    if report.unmatched:
        slides = report.unmatched_slides
        names = ", ".join(slides[:5]) + (", ..." if len(slides) > 5 else "")
        say(
            console,
            f"left out: {counted(report.unmatched, 'reading')} without a manual one of the same slide and observer "
            f"(slide {names}). Both must be called as in the table of readings.",
        )


def _percent(share: Share) -> tuple[str, str]:
    return f"{100 * share.share:.2f}", f"{100 * share.low:.1f}..{100 * share.high:.1f}"
