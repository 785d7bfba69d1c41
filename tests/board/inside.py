"""Looks into a board and sets what is inside, whether it is the stub or the firmware."""

from __future__ import annotations

import msgspec

from parfocal.board.stub.firmware.firmware_board import FirmwareBoard, Inside
from parfocal.board.stub.motion import MotionUnderWay
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.wired_board import WiredBoard
from parfocal.board.wire.messages import AxisBit, Fault, MoveResult


def faults(board: WiredBoard) -> Fault:
    """The sticky faults, without a request."""
    return Fault(board.machine.state().faults)


def add_faults(board: WiredBoard, added: Fault) -> None:
    if isinstance(board, StubBoard):
        board.machine._faults |= added
    else:
        _set(board, Inside.FAULTS, faults(board) | added)


def set_motors(board: WiredBoard, motors: AxisBit) -> None:
    if isinstance(board, StubBoard):
        board.machine._motors = motors
    else:
        _set(board, Inside.MOTORS, motors)


def set_homed(board: WiredBoard, homed: AxisBit) -> None:
    if isinstance(board, StubBoard):
        board.machine._homed = homed
    else:
        _set(board, Inside.HOMED, homed)


def set_busy(board: WiredBoard) -> None:
    """A motion of x that never ends."""
    if isinstance(board, StubBoard):
        board.machine._motion = MotionUnderWay(0, AxisBit.X, MoveResult.DONE)
        board.machine._motion_end_s = float("inf")
    else:
        _set(board, Inside.IS_MOVING, 1)


def set_session(board: WiredBoard, session: int) -> None:
    if isinstance(board, StubBoard):
        board._session = session
    else:
        _set(board, Inside.SESSION, session)


class WatchdogTimes(msgspec.Struct, frozen=True):
    motion_s: float
    idle_s: float


def watchdog_times(board: WiredBoard) -> WatchdogTimes:
    if isinstance(board, StubBoard):
        return WatchdogTimes(board.machine.watchdog.motion_limit_s, board.machine.watchdog.idle_limit_s)
    machine = _firmware(board).machine
    limits_ms = machine.inside(Inside.MOTION_LIMIT_MS), machine.inside(Inside.IDLE_LIMIT_MS)
    return WatchdogTimes(limits_ms[0] / 1000.0, limits_ms[1] / 1000.0)


def _set(board: WiredBoard, what: Inside, value: int) -> None:
    _firmware(board).machine.set_inside(what, value)


def _firmware(board: WiredBoard) -> FirmwareBoard:
    assert isinstance(board, FirmwareBoard)
    return board
