"""`parfocal board`: is the firmware of a board what PROTOCOL.md says?"""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from parfocal.board.clock import MonotonicClock
from parfocal.board.conformance.report import CheckedPromise, PromiseBroken
from parfocal.board.conformance.run import Asked, run_conformance
from parfocal.board.open import open_port
from parfocal.edge.cli.options import ConfigOption, JsonOption, PortOption, configured
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.errors import ConfigError

app = typer.Typer(help="Try a motor board.", no_args_is_help=True)

_STYLES = {"kept": "green", "broken": "red bold", "skipped": "yellow"}
_WARNING = (
    "What follows moves the stage: a jog of Z downwards, the homing of every axis, and moves of each axis over a "
    "quarter of its travel, from its lower end. Take the slide away, make sure that nothing can touch the objective, "
    "and keep a hand at the power switch."
)


@app.callback()
def options_of_board() -> None:
    """Try a motor board."""


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


def _show(console: Console, checked: CheckedPromise) -> None:
    style = _STYLES[checked.outcome]
    why = f"\n        {escape(checked.why)}" if checked.why else ""
    console.print(
        f"[{style}]{checked.outcome:8}[/{style}]{escape(checked.promise)}{why}",
        highlight=False,
        soft_wrap=True,
    )
