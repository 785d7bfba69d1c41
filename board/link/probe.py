"""Asks a board who it is and how it is, and changes nothing."""

from __future__ import annotations

import msgspec

from parfocal.board.clock import PacedClock
from parfocal.board.link.link import Link
from parfocal.board.link.transport import Transport
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Fault, Triple


class Probed(msgspec.Struct, frozen=True):
    """Who answered, and its state. `max_steps`: the board's upper travel limits."""

    protocol_version: int
    firmware_version: int
    unit_serial: int
    fitted: AxisBit
    homed: AxisBit
    faults: Fault
    max_steps: Triple = (0, 0, 0)


def probe(transport: Transport, clock: PacedClock) -> Probed:
    """Send HELLO and STATE only: nothing moves or stops, no light changes, no fault is cleared.

    Closes `transport`. Raises ProtocolMismatch, LinkTimeout, BoardNotFound.
    """
    link = Link(transport, clock)
    try:
        hello = link.open_session()
        state = link.request(messages.StateRequest(), messages.State)
    finally:
        link.close()
    return Probed(
        protocol_version=messages.PROTOCOL_VERSION,  # any other version is a ProtocolMismatch
        firmware_version=hello.firmware_version,
        unit_serial=hello.unit_serial,
        fitted=AxisBit(hello.axes),
        homed=AxisBit(state.homed),
        faults=Fault(state.faults),
        max_steps=hello.max_steps,
    )
