"""Refusals and wrong answers of the board, and what they mean for the caller."""

from __future__ import annotations

from typing import TypeVar

from parfocal.board.errors import BoardError, MoveStopped, PositionLost, ProtocolMismatch
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Message, Opcode, Status
from parfocal.board.wire.packet import Packet

R = TypeVar("R", bound=Message)

_WHY: dict[int, str] = {
    Status.LIMIT: "the target is outside the board's own travel limits; nothing moved. Lower the target.",
    Status.NOT_HOMED: "the axis is not homed; nothing moved. Run `parfocal home`.",
    Status.BUSY: "another motion is under way; nothing new moved. Wait for it, or stop it.",
    Status.WATCHDOG: "its watchdog has fired because the host was silent; nothing was done. Open the board again.",
    Status.ESTOP: "its emergency stop is latched; nothing was done. Release the button, then `parfocal home "
    "--clear-faults`.",
    Status.PULL_OUT: "its motor cannot follow that speed and acceleration together; nothing moved. Lower one of "
    "them in the configuration.",
    Status.WAY_POINTS: "it has dropped the way points of the sweep; nothing moved. Check the cable, then try again.",
    Status.MOTOR_OFF: "its motor is switched off; nothing moved. Home the axis.",
}


class Refusal(BoardError):
    """The board answered with a status other than OK. Callers translate it."""

    def __init__(self, opcode: Opcode, status: int) -> None:
        self.status = status
        self.why = _WHY.get(status, f"status {status}; nothing was done. Flash the firmware of this release.")
        if status == Status.BAD_VALUE:
            is_motion = opcode in (Opcode.MOVE_ABS, Opcode.WAY_POINT, Opcode.SWEEP, Opcode.HOME)
            remedy = "Lower speed or acceleration in the configuration" if is_motion else "Ask for less"
            self.why = f"a value is more than the board allows; nothing was done. {remedy}."
        super().__init__(f"{opcode.name} refused by the board: {self.why}")


def decoded(packet: Packet, expected: type[R]) -> R:
    """Message of a packet. Raises ProtocolMismatch when it is another one than expected."""
    try:
        message = layout.unpack(packet.kind, packet.opcode, packet.payload)
    except (KeyError, ValueError) as error:
        raise mismatch(expected.__name__, f"a payload of {len(packet.payload)} bytes") from error
    if not isinstance(message, expected):
        raise mismatch(expected.__name__, type(message).__name__)
    return message


def unit_of(hello: messages.HelloReply) -> tuple[int, int]:
    """Identifies one start of one board."""
    return hello.unit_serial, hello.boot_id


def rebooted() -> PositionLost:
    """The error when the board does not know the session."""
    return PositionLost("the board has rebooted and stands still; its position is lost. Home the axes.")


def mismatch(expected: str, found: str) -> ProtocolMismatch:
    """The error when the board speaks another protocol than this host."""
    return ProtocolMismatch(
        f"{expected} expected from the board, {found} found; nothing moved. "
        "Flash the firmware of this release: `parfocal board flash`."
    )


def stopped() -> MoveStopped:
    """The error of a motion that a STOP has overtaken."""
    return MoveStopped("move given up: STOP was requested. Read the position, then decide again.")
