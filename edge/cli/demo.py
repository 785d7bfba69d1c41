"""`parfocal demo`: the whole way once, from a picture of tissue to focused fields, and one picture to look at."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from parfocal.board.errors import BoardNotFound
from parfocal.edge.cli.focus import focus_fields
from parfocal.edge.cli.output import GrowingResult, check_writable, growing_result, not_written
from parfocal.edge.config import Config
from parfocal.edge.engine import checked_engine
from parfocal.edge.errors import ConfigError
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.plan import snake
from parfocal.edge.scan.report import FieldReport, RunReport, fields_table, run_report, summary_lines
from parfocal.edge.simscope.bench import at_stub, sample_from
from parfocal.edge.whole_file import whole_file

READY_LINE = "stub motor board at"
STUB_ENDS_S = 20.0
PICTURE_NAME, REPORT_NAME = "focus.png", "focus.json"


class BeforeAfter(msgspec.Struct, frozen=True):
    """One field as the stage came to it and as it was left; RGB uint8 (h, w, 3)."""

    report: FieldReport
    before: UInt8Array
    after: UInt8Array


@contextlib.contextmanager
def stub_process(link: Path) -> Iterator[None]:
    """A stub motor board in a process of its own, at the pseudo-terminal linked at ``link``.

    Raises BoardNotFound where it does not start.
    """
    command = [sys.executable, "-m", "parfocal", "stub", "--link", str(link)]
    # In a session of its own: Ctrl-C at the terminal must not end it before the board is closed.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.stdout, process.stderr
            if output is None or errors is None or not output.readline().startswith(READY_LINE):
                why = errors.read().strip() if errors else ""
                raise BoardNotFound(
                    f"the stub motor board did not start: {why}. Try `parfocal stub` by itself."
                )
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STUB_ENDS_S)


def run_demo(out: Path, n_fields: int, seed: int, console: Console) -> None:
    """Focus ``n_fields`` of real tissue through the USB protocol; print the table, write picture and report.

    Raises ConfigError where ``out`` takes no files, or no field holds tissue; else as `focus_fields` does.
    """
    try:
        from parfocal.edge.cli.demo_picture import draw
    except ImportError as error:
        raise ConfigError(f"the demo's picture needs {error.name}: `pip install 'parfocal[demo]'`") from error
    picture, report_file = out / PICTURE_NAME, out / REPORT_NAME
    for path in (picture, report_file):
        check_writable(path, "--out")
    farthest = _Farthest()
    with growing_result(report_file, partial(_show, console)) as result:
        with tempfile.TemporaryDirectory(prefix="parfocal-") as folder:
            link = Path(folder) / "board"
            config = _config_at(str(link))
            with stub_process(link):
                console.print("stub motor board on a pseudo-terminal, simulated optics, real IHC tissue")
                report = _focused(config, n_fields, seed, console, farthest, result)
        result.done(report)
    if farthest.field is None:
        raise ConfigError(f"no field of {n_fields} holds tissue to draw. Give more --fields.")
    try:
        with whole_file(picture) as file:
            draw(file, report, farthest.field, config.focus)
    except OSError as error:
        raise not_written(picture, error, "--out") from error
    console.print(f"picture: {picture}", highlight=False, soft_wrap=True)


class _Farthest:
    """Keeps the field that was farthest out of focus, as the stage came to it and as it was left."""

    def __init__(self) -> None:
        self.field: BeforeAfter | None = None
        self._began_um = 0.0

    def look(self, done: FieldResult) -> None:
        """Keep `done` if its stage came from farther away than any before."""
        began_um = abs(done.report.began_error_um or 0.0)
        if done.report.outcome == "blank" or done.start is None or done.end is None:
            return
        if self.field is None or began_um > self._began_um:
            self._began_um = began_um
            self.field = BeforeAfter(done.report, done.start.pixels, done.end.pixels)


def _show(console: Console, report: RunReport) -> None:
    console.print(fields_table(report))
    for line in summary_lines(report.summary):
        console.print(line)


def _config_at(port: str) -> Config:
    config = Config()
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, port=port))


def _focused(
    config: Config,
    n_fields: int,
    seed: int,
    console: Console,
    farthest: _Farthest,
    result: GrowingResult[RunReport],
) -> RunReport:
    sample, engine = sample_from(None, None, config, seed), checked_engine(config)
    console.print(f"engine: {engine.description}", highlight=False, soft_wrap=True)
    plan = snake(n_fields, config)
    with at_stub(sample, config) as instrument:
        return run_report(
            *focus_fields(
                instrument, engine.runner, config, plan, console, seen=farthest.look, grown=result.grown
            )
        )
