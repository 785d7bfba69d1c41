"""The state of a board for people and programs: micrometres and names instead of steps and bits."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec

from parfocal.board.axis import Axis, um_from_steps
from parfocal.board.capabilities import Capabilities
from parfocal.board.config import AXIS_NAMES
from parfocal.board.wire.messages import AxisBit, Fault, MoveResult, Switch


class BoardState(msgspec.Struct, frozen=True):
    """The state as the board reports it. `board_time_s` is its own clock."""

    board_time_s: float
    pos_steps: tuple[int, int, int]
    homed: AxisBit
    moving: AxisBit
    switches: Switch
    faults: Fault
    last_move_id: int
    last_result: MoveResult
    lamp_duty: float
    motors: AxisBit
    frames_done: int
    lens_ma: float


class AxisStatus(msgspec.Struct, frozen=True):
    """One axis. `position_um` is None before homing, when nobody knows where the stage stands.

    `limits_um`: lowest and highest position that may be commanded. `switches`: those that are pressed, "lower" or
    "upper", or "limit" where the board does not say which.
    """

    position_um: float | None
    limits_um: tuple[float, float]
    is_homed: bool
    is_moving: bool
    is_motor_on: bool
    switches: tuple[str, ...]


class BoardStatus(msgspec.Struct, frozen=True):
    """The state of a board in um and names. `lamp_duty` is 0..1; `last_result`: how the last motion ended, or "none".

    `board_time_s`: None where the board has no clock. `cannot`: what this board cannot promise, a sentence each.
    `lens_ma`: current of the tunable lens, 0 without one.
    """

    x: AxisStatus
    y: AxisStatus
    z: AxisStatus
    lamp_duty: float
    faults: tuple[str, ...]
    last_result: str
    board_time_s: float | None
    frames_done: int
    cannot: tuple[str, ...] = ()
    lens_ma: float = 0.0


def names_of(flags: enum.IntFlag) -> tuple[str, ...]:
    """Names of the set bits in lower case, lowest bit first. A bit without a name appears as its value in hex."""
    named = {int(bit): str(bit.name).lower() for bit in type(flags)}
    bits = (1 << i for i in range(int(flags).bit_length()))
    return tuple(named.get(bit, hex(bit)) for bit in bits if bit & int(flags))


def cannot_promise(capabilities: Capabilities) -> tuple[str, ...]:
    """What a board with these capabilities cannot promise, a sentence each."""
    told = (
        (capabilities.has_lamp, "it has no lamp; turn the light on by hand"),
        (
            capabilities.has_watchdog,
            "it has no watchdog; if this program is killed, a move runs to its end and the light stays on",
        ),
        (
            capabilities.has_checksum and capabilities.has_idempotent_moves,
            "its lines have no checksum; a damaged one may send the stage elsewhere, which is noticed afterwards",
        ),
    )
    return tuple(sentence for is_promised, sentence in told if not is_promised)


def status_of(state: BoardState, axes: Mapping[str, Axis]) -> BoardStatus:
    """`state` in um and names; `axes`: the axes of its board, by name."""
    x, y, z = (_axis_status(i, state, axes[name]) for i, name in enumerate(AXIS_NAMES))
    return BoardStatus(
        x=x,
        y=y,
        z=z,
        lamp_duty=state.lamp_duty,
        faults=names_of(state.faults),
        last_result=state.last_result.name.lower(),
        board_time_s=state.board_time_s,
        frames_done=state.frames_done,
        lens_ma=state.lens_ma,
    )


def _axis_status(i: int, state: BoardState, axis: Axis) -> AxisStatus:
    own = f"{AXIS_NAMES[i]}_"
    is_homed = bool(state.homed >> i & 1)
    return AxisStatus(
        position_um=um_from_steps(state.pos_steps[i], axis.config.um_per_step) if is_homed else None,
        limits_um=axis.limits_um,
        is_homed=is_homed,
        is_moving=bool(state.moving >> i & 1),
        is_motor_on=bool(state.motors >> i & 1),
        switches=tuple(name.removeprefix(own) for name in names_of(state.switches) if name.startswith(own)),
    )
