"""`parfocal demo`: focus real tissue on a virtual microscope, through the USB protocol, and draw the result."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from parfocal.board.errors import BoardNotFound
from parfocal.edge.cli.focusing.focus import focus_fields
from parfocal.edge.cli.options import FieldsOption, SeedOption, with_port
from parfocal.edge.cli.showing.drawing import import_matplotlib
from parfocal.edge.cli.showing.output import GrowingResult, check_writable, growing_result, result_file
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_report
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import snake
from parfocal.edge.scan.report import RunReport, run_report

READY_LINE = "stub motor board at"
STUB_ENDS_S = 20.0
PICTURE_NAME, REPORT_NAME = "focus.png", "focus.json"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the picture and the report.")] = Path("build/demo"),
    fields: FieldsOption = 25,
    seed: SeedOption = 1,
    board: Annotated[
        Literal["stub", "firmware"],
        typer.Option(help="The stub's own board, or the board's firmware compiled here."),
    ] = "stub",
) -> None:
    """Focus real tissue on a virtual microscope with a stub motor board, and draw the result."""
    run_demo(out, fields, seed, Console(), board)


@contextlib.contextmanager
def stub_process(link: Path, board: str = "stub") -> Iterator[None]:
    """Run a stub motor board in a process of its own, on a pseudo-terminal linked at `link`.

    `board`: "firmware" for the firmware in place of the stub's own board.

    Raises BoardNotFound if it does not start.
    """
    firmware = ["--firmware"] if board == "firmware" else []
    command = [sys.executable, "-m", "parfocal", "stub", "--link", str(link), *firmware]
    # In a session of its own: Ctrl-C at the terminal must not end it before the board is closed.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.stdout, process.stderr
            if output is None or errors is None or not output.readline().startswith(READY_LINE):
                why = errors.read().strip() if errors else ""
                raise BoardNotFound(
                    f"the stub motor board did not start: {why}. Run `parfocal stub` by itself to see why."
                )
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STUB_ENDS_S)


def run_demo(out: Path, n_fields: int, seed: int, console: Console, board: str = "stub") -> None:
    """Focus `n_fields` of real tissue; print the table, and write picture and report to the folder `out`.

    Raises ConfigError if `out` is not writable or no field holds tissue; otherwise as `focus_fields` does.
    """
    import_matplotlib("the demo's picture")
    from parfocal.edge.cli.showing.demo_picture import FieldToDraw, draw

    picture, report_file = out / PICTURE_NAME, out / REPORT_NAME
    for path in (picture, report_file):
        check_writable(path, "--out")
    field_to_draw = FieldToDraw()
    with growing_result(report_file, partial(show_report, console), "--out") as result:
        with tempfile.TemporaryDirectory(prefix="parfocal-") as folder:
            link = Path(folder) / "board"
            config = _config_at(str(link))
            with stub_process(link, board):
                console.print(f"{board_name(board)} on a pseudo-terminal, simulated optics, real IHC tissue")
                report = _focused(config, n_fields, seed, console, field_to_draw.look, result)
        result.done(report)
    if field_to_draw.field is None:
        raise ConfigError(f"none of the {n_fields} fields holds tissue to draw. Give more --fields.")
    with result_file(picture, "--out") as file:
        draw(file, report, field_to_draw.field, config.focus)
    say(console, f"picture: {picture}")


def board_name(board: str) -> str:
    """What runs on the pseudo-terminal."""
    return "the firmware of the motor board" if board == "firmware" else "stub motor board"


def _config_at(port: str) -> Config:
    return with_port(Config(), port)


def _focused(
    config: Config,
    n_fields: int,
    seed: int,
    console: Console,
    seen: Callable[[FieldResult], None],
    result: GrowingResult[RunReport],
) -> RunReport:
    from parfocal.edge.simscope.bench import at_stub, sample_from

    sample, engine = sample_from(None, None, config, seed), checked_engine(config)
    say(console, f"engine: {engine.description}")
    plan = snake(n_fields, config)
    with at_stub(sample, config) as instrument:
        return run_report(
            *focus_fields(
                instrument,
                engine.predictor,
                config,
                plan,
                console,
                seen=seen,
                grown=result.grown,
                single=engine.single,
            )
        )
