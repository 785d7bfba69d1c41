"""Opens the board that a configuration names. The only module that looks at the kind of a board."""

from __future__ import annotations

from parfocal.board.board import Board
from parfocal.board.clock import PacedClock
from parfocal.board.config import BoardConfig, unknown_kind
from parfocal.board.link.ports import port_path
from parfocal.board.link.probe import Probed, probe
from parfocal.board.link.serial_transport import SerialTransport


def open_board(config: BoardConfig, clock: PacedClock) -> Board:
    """Open the configured board, as `Board.open` does.

    Raises BadPort, BoardNotFound, ProtocolMismatch, LinkTimeout.
    """
    match config.kind:
        case "parfocal":
            return Board.open(_open_port(config), clock, config, lambda: _open_port(config))
        case unknown:
            raise unknown_kind(unknown)


def probe_board(config: BoardConfig, clock: PacedClock) -> Probed:
    """Ask the configured board who it is, and nothing else. Raises BadPort, otherwise as `probe`."""
    match config.kind:
        case "parfocal":
            return probe(_open_port(config), clock)
        case unknown:
            raise unknown_kind(unknown)


def _open_port(config: BoardConfig) -> SerialTransport:
    return SerialTransport(port_path(config.port), config.baud)
