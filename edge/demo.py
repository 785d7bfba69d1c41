"""`parfocal demo`: the whole way once, from a picture of tissue to focused fields, and one picture to look at."""

import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from parfocal.board.errors import BoardNotFound
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.plan import snake
from parfocal.edge.report import FieldReport, RunReport, fields_table, run_report, summary_lines
from parfocal.edge.run import checked_engine, focus_fields
from parfocal.edge.session import FieldDone
from parfocal.edge.simscope.bench import at_stub, sample_from

UInt8Array = NDArray[np.uint8]

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
    command = [sys.executable, "-m", "parfocal.edge", "stub", "--link", str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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
    """Focus ``n_fields`` of real tissue through the USB protocol; print the table, write picture and report."""
    try:
        from parfocal.edge.demo_picture import draw
    except ImportError as error:
        raise ConfigError(f"the demo's picture needs {error.name}: `pip install 'parfocal[demo]'`") from error
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="parfocal-") as folder, stub_process(Path(folder) / "board"):
        config = _config_at(str(Path(folder) / "board"))
        console.print("stub motor board on a pseudo-terminal, simulated optics, real IHC tissue")
        report, pair = _focused(config, n_fields, seed, console)
    console.print(fields_table(report))
    for line in summary_lines(report.summary):
        console.print(line)
    (out / REPORT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    draw(out / PICTURE_NAME, report, pair, config.focus)
    console.print(f"picture: {out / PICTURE_NAME}")


def _config_at(port: str) -> Config:
    config = Config()
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, port=port))


def _focused(config: Config, n_fields: int, seed: int, console: Console) -> tuple[RunReport, BeforeAfter]:
    pairs: list[BeforeAfter] = []

    def look(done: FieldDone) -> None:
        """Keep the field that had gone farthest out of focus, as it was and as it became."""
        began_um = abs(done.report.began_error_um or 0.0)
        best_um = abs(pairs[-1].report.began_error_um or 0.0) if pairs else 0.0
        if (
            done.report.outcome != "blank"
            and done.start is not None
            and done.pixels is not None
            and began_um > best_um
        ):
            pairs.append(BeforeAfter(done.report, done.start, done.pixels))

    sample, engine = sample_from(None, None, config, seed), checked_engine(config)
    console.print(f"engine: {engine.description}", highlight=False)
    with at_stub(sample, config) as instrument:
        report = run_report(
            *focus_fields(instrument, engine.runner, config, snake(n_fields, config), console, look)
        )
    if not pairs:
        raise ConfigError("the demo needs a field with tissue: give --fields 5 or more")
    return report, pairs[-1]
