"""The board together with the GPIO lines that guard it: an e-stop input and a reset output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from parfocal.board.clock import PacedClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, BoardNotFound, EstopPressed, LinkTimeout
from parfocal.board.gpio import GpioConfig, GpioFailed, Lines
from parfocal.board.motor_board import MotorBoard
from parfocal.board.open import open_board

_LOOK_WALL_S = 0.02  # how late a press may be seen; a hand holds a button longer
_REOPEN_WALL_S = 0.05  # how often to look for a board that was reset


@contextlib.contextmanager
def open_guarded(config: BoardConfig, clock: PacedClock) -> Iterator[MotorBoard]:
    """Open the configured board and its GPIO lines.

    While the emergency stop is pressed, the board is not opened. When it is pressed later, the board latches it.
    A board that does not answer is reset once, if it has a reset line.
    Raises GpioFailed and EstopPressed (nothing moved), otherwise as `open_board`.
    """
    if config.gpio == GpioConfig():
        with open_board(config, clock) as board:
            yield board
        return
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(Lines(config.gpio, clock))
        is_watched = config.gpio.estop_pin is not None
        if is_watched and lines.estop_pressed():
            raise EstopPressed(
                f"board at {config.port} not opened: its emergency stop is pressed, or the wire to GPIO pin "
                f"{config.gpio.estop_pin} is broken; nothing moved. Release it, then `parfocal home --clear-faults`."
            )
        board = stack.enter_context(_open_or_reset(config, clock, lines))
        if is_watched:
            stack.callback(_watch_estop(lines, board, clock))
        yield board


def _watch_estop(lines: Lines, board: MotorBoard, clock: PacedClock) -> Callable[[], None]:
    """Latch the emergency stop in the board while it is pressed, until the returned function is called.

    It is sent again at every look, so that it cannot be cleared while the button is pressed.
    """

    def look() -> None:
        if _reads_pressed(lines):
            with contextlib.suppress(BoardError):  # the next look sends it again
                board.estop()

    return clock.every(_LOOK_WALL_S, look)


def _reads_pressed(lines: Lines) -> bool:
    try:
        return lines.estop_pressed()
    except GpioFailed:
        return True  # as with a broken wire: without a readable e-stop nothing may run


def _open_or_reset(config: BoardConfig, clock: PacedClock, lines: Lines) -> MotorBoard:
    """Open the board. If it does not answer, reset it and open it when it is back. Raises as `open_board`."""
    try:
        return open_board(config, clock)
    except LinkTimeout:
        if config.gpio.reset_pin is None:
            raise
    lines.reset_board()
    end_s = clock.now_s() + config.reconnect_s * clock.speed
    while True:
        try:
            return open_board(config, clock)
        except BoardNotFound:  # it returns as a new USB device, which takes a while
            if clock.now_s() >= end_s:
                raise
        clock.sleep_s(_REOPEN_WALL_S * clock.speed)
