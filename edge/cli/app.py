"""The command line: the Typer app and the entry point. Each command has a file of its own."""

import functools
import io
import sys
from typing import Annotated, Any

import typer

from parfocal.edge.cli import board, engine
from parfocal.edge.cli.calibrating import verbs as calibrate
from parfocal.edge.cli.calibrating.all_parts import all_parts
from parfocal.edge.cli.calibrating.focus_verb import loop
from parfocal.edge.cli.calibrating.int8_verb import int8
from parfocal.edge.cli.calibrating.lens_verb import lens
from parfocal.edge.cli.calibrating.optics_verb import optics
from parfocal.edge.cli.calibrating.trigger_verb import trigger
from parfocal.edge.cli.doctor import doctor
from parfocal.edge.cli.ending.end import run_to_exit_code
from parfocal.edge.cli.evaluate import evaluate
from parfocal.edge.cli.focusing.demo import demo
from parfocal.edge.cli.focusing.focus import focus
from parfocal.edge.cli.record import record
from parfocal.edge.cli.setting_up.init import init
from parfocal.edge.cli.slides.concordance import concordance
from parfocal.edge.cli.slides.export import export
from parfocal.edge.cli.slides.overview import overview
from parfocal.edge.cli.slides.report import report
from parfocal.edge.cli.slides.review import review
from parfocal.edge.cli.slides.scan import scan
from parfocal.edge.cli.slides.stitch import stitch
from parfocal.edge.cli.slides.survey import survey
from parfocal.edge.cli.stage import NumbersAreArguments, home, move, status
from parfocal.edge.cli.stub import stub

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Predictive autofocus for a low-cost digital microscope.",
)


def _print_version(asked: bool) -> None:
    if asked:
        from parfocal import __version__

        sys.stdout.write(f"parfocal {__version__}\n")
        raise typer.Exit


@app.callback()
def options_of_parfocal(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


# In this order in the help.
app.command()(demo)
app.command()(init)
app.command()(doctor)
calibrate.app.command("optics")(optics)
calibrate.app.command("focus")(loop)
calibrate.app.command("int8")(int8)
calibrate.app.command("lens")(lens)
calibrate.app.command("trigger")(trigger)
calibrate.app.command("all")(all_parts)
app.add_typer(calibrate.app, name="calibrate")
app.command()(focus)
app.command()(overview)
app.command()(survey)
app.command()(stitch)
app.command()(export)
app.command()(report)
app.command()(review)
app.command()(concordance)
app.command()(scan)
app.command()(record)
app.command()(evaluate)
app.add_typer(engine.app, name="engine")
app.add_typer(board.app, name="board")
app.command()(home)
app.command(cls=NumbersAreArguments)(move)
app.command()(status)
app.command()(stub)


@functools.cache
def _command() -> Any:  # noqa: ANN401  # click's, or typer's own copy
    return typer.main.get_command(app)


def main() -> None:
    """Run the command in `sys.argv`. Prints at most one line to stderr, never a traceback, and exits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names are not always valid text
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    command = _command()
    sys.exit(
        run_to_exit_code(
            lambda: command.main(arguments or ["--help"], prog_name="parfocal", standalone_mode=False),
            arguments,
        )
    )
