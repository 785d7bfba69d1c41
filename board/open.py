"""Opens the board that a configuration names. The only module that looks at the kind of a board."""

from __future__ import annotations

import zlib

from parfocal.board.capabilities import Capabilities
from parfocal.board.clock import PacedClock
from parfocal.board.config import BoardConfig, unknown_kind
from parfocal.board.foreign.board import ForeignBoard
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.foreign.grbl import Grbl
from parfocal.board.foreign.lines import Lines
from parfocal.board.foreign.memory import FileMemory, Memory
from parfocal.board.foreign.micromanager import MicroManager
from parfocal.board.foreign.sangaboard import Sangaboard
from parfocal.board.link.ports import port_path
from parfocal.board.link.probe import Probed, probe
from parfocal.board.link.serial_transport import SerialTransport
from parfocal.board.link.transport import Transport
from parfocal.board.motor_board import MotorBoard
from parfocal.board.own.board import Board


def open_board(config: BoardConfig, clock: PacedClock) -> MotorBoard:
    """Open the configured board; nothing moves. What an earlier host left running ends.

    Raises BadPort, BoardNotFound, ProtocolMismatch, BadSettings, LinkTimeout.
    """
    if config.kind == "parfocal":
        return open_link(config, clock)
    if config.kind == "micromanager":
        return open_micromanager(clock, config, FileMemory(config.micromanager))
    return open_foreign(open_port(config), clock, config, FileMemory(config.port))


def open_link(config: BoardConfig, clock: PacedClock) -> Board:
    """Open a board of our own protocol, as `Board.open` does."""
    return Board.open(open_port(config), clock, config, lambda: open_port(config))


def open_foreign(
    transport: Transport,
    clock: PacedClock,
    config: BoardConfig,
    memory: Memory,
    unit_serial: int | None = None,
) -> ForeignBoard:
    """Open a board that does not speak our protocol, over `transport`. Raises as `open_board`.

    `memory`: where the stage stood at the last close, for a board without switches. `unit_serial`: None for that of
    its port.
    """
    serial = foreign_serial(config) if unit_serial is None else unit_serial
    match config.kind:
        case "grbl":
            grbl = Grbl.open(Lines(transport, clock), config)
            capabilities = _foreign_capabilities(config.spindle_lamp, has_homing=True)
            return ForeignBoard(grbl, config, capabilities, serial)
        case "sangaboard":
            sangaboard = Sangaboard.open(Lines(transport, clock), config, memory)
            capabilities = _foreign_capabilities(sangaboard.has_lamp, has_homing=False)
            return ForeignBoard(sangaboard, config, capabilities, serial)
        case unknown:
            raise unknown_kind(unknown)


def open_micromanager(clock: PacedClock, config: BoardConfig, memory: Memory) -> ForeignBoard:
    """Open the stages of a Micro-Manager configuration. Raises BoardNotFound, BadSettings, LinkTimeout."""
    stages = MicroManager.open(clock, config, memory)
    capabilities = _foreign_capabilities(has_lamp=False, has_homing=False)
    return ForeignBoard(stages, config, capabilities, foreign_serial(config))


def probe_board(config: BoardConfig, clock: PacedClock) -> Probed | Recognised:
    """Ask the configured board who it is, and nothing else. Raises as `open_board`."""
    if config.kind == "parfocal":
        return probe(open_port(config), clock)
    if config.kind == "micromanager":
        return MicroManager.recognise(clock, config, FileMemory(config.micromanager))
    return probe_foreign(open_port(config), clock, config, FileMemory(config.port))


def probe_foreign(transport: Transport, clock: PacedClock, config: BoardConfig, memory: Memory) -> Recognised:
    """Ask a board that does not speak our protocol who it is, and nothing else. Closes `transport`."""
    match config.kind:
        case "grbl":
            return Grbl.recognise(Lines(transport, clock), config)
        case "sangaboard":
            return Sangaboard.recognise(Lines(transport, clock), config, memory)
        case unknown:
            raise unknown_kind(unknown)


def foreign_serial(config: BoardConfig) -> int:
    """A number for a board that has no serial number: its calibration belongs to its kind and address."""
    return zlib.crc32(f"{config.kind} {config.address}".encode())


def _foreign_capabilities(has_lamp: bool, has_homing: bool) -> Capabilities:
    """A foreign board never has a strobe, a watchdog, a checksum, or moves with a number."""
    return Capabilities(
        has_lamp=has_lamp,
        has_strobe=False,
        has_homing=has_homing,
        has_watchdog=False,
        has_idempotent_moves=False,
        has_checksum=False,
    )


def open_port(config: BoardConfig) -> SerialTransport:
    """Open the configured port and send nothing. Raises BadPort, BoardNotFound, PortInUse."""
    # A board with a serial adapter restarts when DTR rises, and would lose its position at every command.
    return SerialTransport(port_path(config.port), config.baud, keeps_dtr=config.kind != "parfocal")
