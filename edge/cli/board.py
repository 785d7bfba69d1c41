"""`parfocal board`: put the firmware onto a board, and try whether a board does what PROTOCOL.md says."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.conformance.report import CheckedPromise, PromiseBroken
from parfocal.board.conformance.run import Asked, run_conformance
from parfocal.board.errors import FlashFailed
from parfocal.board.flash.drive import the_drive
from parfocal.board.flash.flash import Bench, flash
from parfocal.board.flash.image import MAX_SERIAL, SHIPPED, checked_uf2, serial_of, with_serial
from parfocal.board.link.ports import UsbPort, usb_ports
from parfocal.board.link.probe import Probed, probe
from parfocal.board.open import open_port
from parfocal.edge.cli.options import ConfigOption, JsonOption, PortOption, configured
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.say import say
from parfocal.edge.errors import ConfigError

app = typer.Typer(help="Flash and try a motor board.", no_args_is_help=True)

_STYLES = {"kept": "green", "broken": "red bold", "skipped": "yellow"}
_WARNING = (
    "What follows moves the stage: a jog of Z downwards, the homing of every axis, and moves of each axis over a "
    "quarter of its travel, from its lower end. Take the slide away, make sure that nothing can touch the objective, "
    "and keep a hand at the power switch."
)


@app.callback()
def options_of_board() -> None:
    """Flash and try a motor board."""


@app.command("test")
def board_test(
    yes: Annotated[bool, typer.Option("--yes", help="Move the stage without asking first.")] = False,
    still: Annotated[bool, typer.Option("--still", help="Only what moves nothing.")] = False,
    estop: Annotated[
        bool, typer.Option("--estop", help="Also send an emergency stop, and home again after it.")
    ] = False,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Check that a board keeps the promises of board/PROTOCOL.md, one by one, in a safe order.

    For our own protocol, whoever wrote the firmware. Asks before the first motion.
    """
    settings = configured(config, port)
    if settings.board.kind != "parfocal":
        raise ConfigError(
            f"board test tries boards of our own protocol, and board.kind is {settings.board.kind!r}. Leave it out."
        )
    if still and (yes or estop):
        raise ConfigError("--still moves nothing: leave out --yes and --estop.")
    check_writable(json)
    console = console_for(json)

    def may_move() -> bool:
        if still or yes:
            return yes
        console.print(_WARNING, highlight=False)
        return sys.stdin.isatty() and typer.confirm("Move the stage now?", err=True)

    report = run_conformance(
        lambda: open_port(settings.board),
        MonotonicClock(),
        Asked(may_move, estop),
        lambda checked: _show(console, checked),
    )
    write_json(json, report)
    n_tried = report.n_kept + len(report.broken)
    console.print(
        f"board {report.unit_serial}, firmware {report.firmware_version}: {report.n_kept} of {n_tried} promises kept, "
        f"{len(report.promises) - n_tried} skipped",
        highlight=False,
    )
    if report.broken:
        first = report.broken[0]
        raise PromiseBroken(
            f"{len(report.broken)} of {n_tried} promises broken, the first: {first.promise} {first.why}. "
            "See board/PROTOCOL.md."
        )


@app.command("flash")
def board_flash(
    file: Annotated[
        Path | None, typer.Option("--file", help="Another UF2 file. Default: the firmware of this version.")
    ] = None,
    drive: Annotated[
        Path | None,
        typer.Option("--drive", help="Where the board is mounted. Default: the only one in boot mode."),
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option("--serial", help="Serial number for the board. Default: that in the file, 1."),
    ] = None,
) -> None:
    """Put the firmware onto a Raspberry Pi Pico in boot mode, and ask it who it is. Nothing moves.

    Hold BOOTSEL while you plug in the Pico. It then is a drive with a file INFO_UF2.TXT; any other chip is refused.
    """
    if serial is not None and not 0 < serial <= MAX_SERIAL:
        raise ConfigError(f"--serial {serial}: a serial number is 1 to {MAX_SERIAL}. Give another one.")
    console = console_for(None)
    source = SHIPPED if file is None else file
    try:
        data = checked_uf2(source.read_bytes(), str(source))
    except OSError as error:
        raise FlashFailed(f"{source} was not read: {error.strerror}") from error
    if serial is not None:
        data = with_serial(data, serial)
    found = the_drive(drive)
    number = serial_of(data)
    named = "" if number is None else f", serial number {number}"
    say(console, f"found {found}")
    say(console, f"writing {source.name}{named}, {len(data):,} bytes")
    flashed = flash(found, data, Bench(MonotonicClock(), usb_ports, _asked))
    board = flashed.board
    say(console, f"board {board.unit_serial}, firmware {board.firmware_version} answers at {flashed.port}")
    say(console, f"next: parfocal board test --port {flashed.port.name}")


def _asked(port: UsbPort) -> Probed:
    return probe(open_port(BoardConfig(port=port.path)), MonotonicClock())


def _show(console: Console, checked: CheckedPromise) -> None:
    style = _STYLES[checked.outcome]
    why = f"\n        {escape(checked.why)}" if checked.why else ""
    console.print(
        f"[{style}]{checked.outcome:8}[/{style}]{escape(checked.promise)}{why}",
        highlight=False,
        soft_wrap=True,
    )
