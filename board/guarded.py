"""The board with what guards it beside USB: the GPIO lines, where the configuration names their pins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from parfocal.board.board import Board
from parfocal.board.clock import PacedClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, BoardNotFound, EstopPressed, LinkTimeout
from parfocal.board.gpio import GpioConfig, GpioFailed, Lines
from parfocal.board.open import open_board

_LOOK_WALL_S = 0.02  # how late a press may be seen; a hand on a button takes longer
_REOPEN_WALL_S = 0.05  # how often a board that was reset is looked for


@contextlib.contextmanager
def open_guarded(config: BoardConfig, clock: PacedClock) -> Iterator[Board]:
    """The board at the configured port, and its GPIO lines.

    While the emergency stop is pressed the board is not opened; pressed later, it is latched in the board. A
    board that does not answer when it is opened is reset once, where it has a reset line.
    Raises GpioFailed and EstopPressed (nothing moved), else as `open_board` does.
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
        board = stack.enter_context(_opened(config, clock, lines))
        if is_watched:
            stack.callback(_watch_estop(lines, board, clock))
        yield board


def _watch_estop(lines: Lines, board: Board, clock: PacedClock) -> Callable[[], None]:
    """Latch the emergency stop in the board as long as it is pressed, until the returned function is called.

    It is sent at every look and not once, so that nobody clears it from under the hand that presses.
    """

    def look() -> None:
        if _reads_pressed(lines):
            with contextlib.suppress(BoardError):  # sent again at the next look
                board.estop()

    return clock.every(_LOOK_WALL_S, look)


def _reads_pressed(lines: Lines) -> bool:
    try:
        return lines.estop_pressed()
    except GpioFailed:
        return True  # as with a broken wire: what cannot be read must not run


def _opened(config: BoardConfig, clock: PacedClock, lines: Lines) -> Board:
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
        except BoardNotFound:  # it comes back as a new USB device, which takes a while
            if clock.now_s() >= end_s:
                raise
        clock.sleep_s(_REOPEN_WALL_S * clock.speed)
