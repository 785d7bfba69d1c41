"""The command line. Errors become one line and an exit code."""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from parfocal.board.board import Board
from parfocal.board.clock import MonotonicClock
from parfocal.board.guarded import open_guarded
from parfocal.edge.cli import engine as cli_engine
from parfocal.edge.cli.doctor import doctor
from parfocal.edge.cli.ending.end import run_to_exit_code
from parfocal.edge.cli.evaluate import evaluate
from parfocal.edge.cli.focus import focus_fields
from parfocal.edge.cli.options import (
    ConfigOption,
    FieldsOption,
    JsonOption,
    PortOption,
    SeedOption,
    SimOption,
    SlideOption,
    UmPerPxOption,
    ZPlayOption,
    check_simulated,
    configured,
    finite,
    opened_instrument,
)
from parfocal.edge.cli.output import check_writable, console_for, growing_result, write_json
from parfocal.edge.cli.record import record
from parfocal.edge.cli.status import shown_um, status_lines
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.plan import snake
from parfocal.edge.scan.report import RunReport, fields_table, run_report, summary_lines

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="Edge software of a low-cost digital microscope: it finds the focus, and keeps it.",
)
app.add_typer(cli_engine.app, name="engine")
app.command()(record)
app.command()(evaluate)
app.command()(doctor)

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|-inf|-nan", re.IGNORECASE)


@contextlib.contextmanager
def opened_board(config: Config) -> Iterator[Board]:
    """The board at the configured port, on the wall clock."""
    with open_guarded(config.board, MonotonicClock()) as board:
        yield board


@app.command()
def focus(
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    fields: FieldsOption = 25,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Focus a number of fields along a snake and report each."""
    settings = configured(config, port)
    check_simulated(sim, slide, um_per_px, z_play_um)
    plan = snake(fields, settings)
    check_writable(json)
    console = console_for(json)
    # Before the board is opened: a wrong model is told at once, and loading it does not starve the heartbeat.
    engine = checked_engine(settings)
    console.print(f"engine: {engine.description}", highlight=False, soft_wrap=True)

    def show(report: RunReport) -> None:
        console.print(fields_table(report))
        for line in summary_lines(report.summary):
            console.print(line)

    with growing_result(json, show) as result:
        with opened_instrument(
            sim, slide, um_per_px, seed, z_play_um, settings, virtual=port is None
        ) as instrument:
            done = focus_fields(instrument, engine.runner, settings, plan, console, grown=result.grown)
        result.done(run_report(*done))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the report.")] = Path("build/demo"),
    fields: FieldsOption = 25,
    seed: SeedOption = 1,
) -> None:
    """Focus real tissue on a virtual microscope, through a stub motor board on a pseudo-terminal."""
    from parfocal.edge.cli.demo import run_demo

    run_demo(out, fields, seed, Console())


@app.command()
def stub(
    link: Annotated[Path, typer.Option(help="Where to link the pseudo-terminal.")] = Path("stub-board"),
    speed: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1000.0,
            callback=finite,
            help="Seconds of the board per second of the wall clock.",
        ),
    ] = 1.0,
    faults: Annotated[Path | None, typer.Option(help="TOML file with what is to go wrong.")] = None,
) -> None:
    """Run a stub motor board on a pseudo-terminal until Ctrl-C."""
    from parfocal.board.stub.config import StubConfig
    from parfocal.board.stub.faults import load_faults
    from parfocal.board.stub.process import run_stub

    try:
        run_stub(str(link), StubConfig(), speed, None if faults is None else load_faults(faults))
    except (FileExistsError, ValueError) as error:
        raise ConfigError(str(error)) from error


@app.command()
def home(
    clear_faults: Annotated[
        bool, typer.Option("--clear-faults", help="First clear an emergency stop, or a switch that stuck.")
    ] = False,
    config: ConfigOption = None,
    port: PortOption = None,
) -> None:
    """Home all axes, Z first and away from the objective."""
    settings = configured(config, port)
    with opened_board(settings) as board:
        if clear_faults:
            board.clear_faults()
        board.home()
        at = ", ".join(f"{axis.name}={shown_um(axis.position_um)}" for axis in (board.x, board.y, board.z))
    Console().print(f"homed: {at}", highlight=False)


class NumbersAreArguments(TyperCommand):
    """A command that takes -5 for a number, where others take it for an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's, or typer's own of it
        """Put negative numbers behind `--`, where they are what they are: no option of the command takes one."""
        numbers = [arg for arg in args if _NEGATIVE.fullmatch(arg)]
        if numbers and "--" not in args:
            args = [*(arg for arg in args if arg not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


@app.command(cls=NumbersAreArguments)
def move(
    axis: Annotated[str, typer.Argument(help="x, y or z")],
    to_um: Annotated[float, typer.Argument(callback=finite, help="Position in um, approached from below.")],
    config: ConfigOption = None,
    port: PortOption = None,
) -> None:
    """Move one axis to a position, approached from below."""
    if axis not in ("x", "y", "z"):
        raise ConfigError(f"axis {axis!r} asked for: there are x, y and z")
    settings = configured(config, port)
    with opened_board(settings) as board:
        chosen = {"x": board.x, "y": board.y, "z": board.z}[axis]
        chosen.approach_up(to_um)
        reached_um = chosen.position_um
    Console().print(f"{axis}={shown_um(reached_um)}", highlight=False)


@app.command()
def status(config: ConfigOption = None, port: PortOption = None, json: JsonOption = None) -> None:
    """What the board says of itself."""
    settings = configured(config, port)
    check_writable(json)
    with opened_board(settings) as board:
        found = board.status()
    for line in status_lines(found):
        console_for(json).print(line, highlight=False, soft_wrap=True)
    write_json(json, found)


def main() -> None:
    """Entry point: whatever happens, at most one line on stderr and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be text
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    command = typer.main.get_command(app)
    sys.exit(
        run_to_exit_code(
            lambda: command.main(arguments or ["--help"], prog_name="parfocal", standalone_mode=False),
            arguments,
        )
    )
