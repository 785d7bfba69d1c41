"""Opens the lens that a configuration names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from parfocal.board.clock import PacedClock
from parfocal.board.config import LensConfig
from parfocal.board.errors import BoardNotFound
from parfocal.board.lens import Lens
from parfocal.board.link.ports import port_path
from parfocal.board.link.serial_transport import SerialTransport
from parfocal.board.link.transport import Transport
from parfocal.board.motor_board import MotorBoard
from parfocal.board.own.board import Board
from parfocal.board.tunable.driver4 import BAUD, LensDriver4


@contextlib.contextmanager
def opened_lens(
    config: LensConfig, board: MotorBoard, clock: PacedClock, transport: Transport | None = None
) -> Iterator[Lens | None]:
    """The configured lens without current, None if there is none; its current is off again at the end.

    `transport`: what the driver is talked to over, None for the configured port.
    Raises BoardNotFound for a board that drives no lens; BadPort, BoardNotFound, LinkTimeout, BoardError.
    """
    if config.kind == "none":
        yield None
    elif config.kind == "board":
        if not isinstance(board, Board) or not board.capabilities.has_lens:
            raise BoardNotFound(
                "lens.kind = 'board', but this board drives no lens. Set lens.kind to 'optotune' or 'none'."
            )
        board.lens(0.0)
        try:
            yield board.lens
        finally:
            board.lens.release()
    else:
        opened = SerialTransport(port_path(config.port), BAUD) if transport is None else transport
        with contextlib.closing(LensDriver4(opened, clock)) as driver:
            yield driver
