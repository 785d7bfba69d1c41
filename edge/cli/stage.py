"""`parfocal home`, `move` and `status`: the stage by hand."""

import contextlib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from parfocal.board.clock import MonotonicClock
from parfocal.board.guarded import open_guarded
from parfocal.board.motor_board import MotorBoard
from parfocal.edge.cli.options import ConfigOption, JsonOption, PortOption, configured, finite
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.status import shown_um, status_lines
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.measured.calibration import use_calibration

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|-inf|-nan", re.IGNORECASE)


@contextlib.contextmanager
def opened_board(config: Config) -> Iterator[MotorBoard]:
    """The board at the configured port, on the wall clock. Raises BoardError."""
    with open_guarded(config.board, MonotonicClock()) as board:
        yield board


def home(
    clear_faults: Annotated[
        bool, typer.Option("--clear-faults", help="First clear a latched emergency stop or stuck switch.")
    ] = False,
    here: Annotated[
        str | None,
        typer.Option("--here", help="For a board without switches: where the stage stands now, X,Y,Z in um."),
    ] = None,
    config: ConfigOption = None,
    port: PortOption = None,
) -> None:
    """Home all axes, Z first, away from the objective."""
    settings = configured(config, port)
    declared_um = None if here is None else _position_from(here)
    with opened_board(settings) as board:
        if clear_faults:
            board.clear_faults()
        if declared_um is None:
            board.home()
        else:
            try:
                board.declare(*declared_um)
            except ValueError as error:
                raise ConfigError(f"--here {here}: {error}") from error
            Console().print(
                f"declared: x={declared_um[0]} y={declared_um[1]} z={declared_um[2]} um", highlight=False
            )
            return
        at = ", ".join(f"{axis.name}={shown_um(axis.position_um)}" for axis in (board.x, board.y, board.z))
    Console().print(f"homed: {at}", highlight=False)


def _position_from(text: str) -> tuple[float, float, float]:
    """X, Y and Z of `--here`, um. Raises ConfigError."""
    try:
        x_um, y_um, z_um = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--here {text}: give three numbers in um, such as 20000,10000,2500") from error
    return x_um, y_um, z_um


class NumbersAreArguments(TyperCommand):
    """A command that reads -5 as a number, not as an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's, or typer's own copy
        """Move negative numbers behind `--`; no option of the command takes one."""
        numbers = [arg for arg in args if _NEGATIVE.fullmatch(arg)]
        if numbers and "--" not in args:
            args = [*(arg for arg in args if arg not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


def move(
    axis: Annotated[str, typer.Argument(help="x, y or z.")],
    to_um: Annotated[float, typer.Argument(callback=finite, help="Position in um.")],
    config: ConfigOption = None,
    port: PortOption = None,
) -> None:
    """Move one axis to a position, approached from below."""
    if axis not in ("x", "y", "z"):
        raise ConfigError(f"no axis {axis!r}: give x, y or z")
    settings = configured(config, port)
    with opened_board(settings) as board:
        use_calibration(board, settings, without_damaged=True)  # nothing is focused
        chosen = board.axes[axis]
        chosen.approach_up(to_um)
        reached_um = chosen.position_um
    Console().print(f"{axis}={shown_um(reached_um)}", highlight=False)


def status(config: ConfigOption = None, port: PortOption = None, json: JsonOption = None) -> None:
    """Show positions, limits, lamp and faults. Moves nothing."""
    settings = configured(config, port)
    check_writable(json)
    with opened_board(settings) as board:
        found, has_homing = board.status(), board.capabilities.has_homing
    for line in status_lines(found, has_homing):
        console_for(json).print(line, highlight=False, soft_wrap=True)
    write_json(json, found)
