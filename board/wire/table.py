"""The message table: which message every opcode carries in each direction, and all codes."""

from __future__ import annotations

import enum
from typing import NamedTuple

from parfocal.board.wire.messages import (
    Ack,
    AxisBit,
    Clear,
    Estop,
    Fault,
    Feature,
    Frame,
    Hello,
    HelloReply,
    Home,
    Kind,
    Lamp,
    Lens,
    LensRequest,
    Limits,
    LimitsRequest,
    Message,
    Motors,
    MoveAbs,
    MoveDone,
    MoveResult,
    Opcode,
    Ping,
    Pong,
    PositionTrigger,
    PullOut,
    PullOutRequest,
    SetCurrent,
    State,
    StateRequest,
    Status,
    Stop,
    Strobe,
    Sweep,
    Switch,
    Watchdog,
    WayPoint,
)


class Entry(NamedTuple):
    """One row of the table."""

    opcode: Opcode
    kind: Kind
    message: type[Message]


TABLE: tuple[Entry, ...] = (
    Entry(Opcode.HELLO, Kind.REQUEST, Hello),
    Entry(Opcode.HELLO, Kind.RESPONSE, HelloReply),
    Entry(Opcode.PING, Kind.REQUEST, Ping),
    Entry(Opcode.PING, Kind.RESPONSE, Pong),
    Entry(Opcode.STATE, Kind.REQUEST, StateRequest),
    Entry(Opcode.STATE, Kind.RESPONSE, State),
    Entry(Opcode.WATCHDOG, Kind.REQUEST, Watchdog),
    Entry(Opcode.WATCHDOG, Kind.RESPONSE, Ack),
    Entry(Opcode.LIMITS, Kind.REQUEST, LimitsRequest),
    Entry(Opcode.LIMITS, Kind.RESPONSE, Limits),
    Entry(Opcode.CLEAR, Kind.REQUEST, Clear),
    Entry(Opcode.CLEAR, Kind.RESPONSE, Ack),
    Entry(Opcode.PULL_OUT, Kind.REQUEST, PullOutRequest),
    Entry(Opcode.PULL_OUT, Kind.RESPONSE, PullOut),
    Entry(Opcode.MOVE_ABS, Kind.REQUEST, MoveAbs),
    Entry(Opcode.MOVE_ABS, Kind.RESPONSE, Ack),
    Entry(Opcode.HOME, Kind.REQUEST, Home),
    Entry(Opcode.HOME, Kind.RESPONSE, Ack),
    Entry(Opcode.STOP, Kind.REQUEST, Stop),
    Entry(Opcode.STOP, Kind.RESPONSE, Ack),
    Entry(Opcode.MOVE_DONE, Kind.EVENT, MoveDone),
    Entry(Opcode.ESTOP, Kind.REQUEST, Estop),
    Entry(Opcode.ESTOP, Kind.RESPONSE, Ack),
    Entry(Opcode.MOTORS, Kind.REQUEST, Motors),
    Entry(Opcode.MOTORS, Kind.RESPONSE, Ack),
    Entry(Opcode.WAY_POINT, Kind.REQUEST, WayPoint),
    Entry(Opcode.WAY_POINT, Kind.RESPONSE, Ack),
    Entry(Opcode.SWEEP, Kind.REQUEST, Sweep),
    Entry(Opcode.SWEEP, Kind.RESPONSE, Ack),
    Entry(Opcode.LAMP, Kind.REQUEST, Lamp),
    Entry(Opcode.LAMP, Kind.RESPONSE, Ack),
    Entry(Opcode.STROBE, Kind.REQUEST, Strobe),
    Entry(Opcode.STROBE, Kind.RESPONSE, Ack),
    Entry(Opcode.FRAME, Kind.EVENT, Frame),
    Entry(Opcode.POSITION_TRIGGER, Kind.REQUEST, PositionTrigger),
    Entry(Opcode.POSITION_TRIGGER, Kind.RESPONSE, Ack),
    Entry(Opcode.LENS, Kind.REQUEST, LensRequest),
    Entry(Opcode.LENS, Kind.RESPONSE, Lens),
    Entry(Opcode.SET_CURRENT, Kind.REQUEST, SetCurrent),
    Entry(Opcode.SET_CURRENT, Kind.RESPONSE, Ack),
)

CODES: tuple[type[enum.IntEnum | enum.IntFlag], ...] = (Status, MoveResult, Fault, AxisBit, Switch, Feature)
