"""The messages on the wire, field by field, with units, and their codes. `table` lists them.

Codec and schema hash (`layout`), stub and documentation are made from these classes. Nothing else knows a layout. A
field is `Annotated[python type, Wire(wire type, unit, meaning)]`. A tuple of three is one value per axis in the order
x, y, z. Responses with a status other than OK carry no payload.
"""

from __future__ import annotations

import enum
from typing import Annotated, NamedTuple

import msgspec

PROTOCOL_VERSION = 1
MAX_PAYLOAD_BYTES = 49  # 64 on the wire: two delimiters, one COBS code byte, header 8, CRC 4

Triple = tuple[int, int, int]


class Kind(enum.IntEnum):
    """Direction and role of a packet."""

    REQUEST = 1
    RESPONSE = 2
    EVENT = 3


class Opcode(enum.IntEnum):
    """What a packet is about."""

    HELLO = 0x01
    PING = 0x02
    STATE = 0x03
    WATCHDOG = 0x04
    LIMITS = 0x05
    CLEAR = 0x06
    PULL_OUT = 0x07
    MOVE_ABS = 0x10
    HOME = 0x11
    STOP = 0x12
    MOVE_DONE = 0x13
    ESTOP = 0x14
    MOTORS = 0x15
    WAY_POINT = 0x16
    SWEEP = 0x17
    LAMP = 0x20
    STROBE = 0x21
    FRAME = 0x22
    POSITION_TRIGGER = 0x23
    LENS = 0x24
    SET_CURRENT = 0x25


class Status(enum.IntEnum):
    """Outcome of a request, in the header of its response."""

    OK = 0
    NO_SESSION = 1  # no HELLO yet, or the board has rebooted since
    STALE = 2  # older than the last request and not in the reply cache: not carried out
    UNKNOWN_OPCODE = 3
    BAD_PAYLOAD = 4  # length does not fit the table
    BAD_VALUE = 5  # a field is outside what the board can do
    LIMIT = 6  # the target is outside the board's travel limits
    NOT_HOMED = 7
    BUSY = 8  # a motion is under way
    DUPLICATE = 9  # this move_id or strobe_id was already accepted, under another seq
    WATCHDOG = 10  # the watchdog has fired; WATCHDOG rearms it
    ESTOP = 11  # the emergency stop is latched; CLEAR releases it
    MOTOR_OFF = 12  # the motor of this axis is off; HOME or MOTORS switches it on
    PULL_OUT = 13  # the motor cannot follow this speed and acceleration together
    WAY_POINTS = 14  # SWEEP names another number of way points than the board keeps


class MoveResult(enum.IntEnum):
    """How the last move ended."""

    NONE = 0
    RUNNING = 1
    DONE = 2
    STOPPED = 3
    WATCHDOG = 4
    LIMIT_SWITCH = 5
    HOME_FAILED = 6
    ESTOP = 7


class Fault(enum.IntFlag):
    """Sticky faults in STATE. WATCHDOG clears the first, CLEAR the others."""

    WATCHDOG = 1
    ESTOP = 2  # latched
    STUCK_SWITCH = 4  # a homing could not move off its switch
    LIMIT_SWITCH = 8  # a move ran onto a switch inside the travel


class AxisBit(enum.IntFlag):
    """Axis masks."""

    X = 1
    Y = 2
    Z = 4


class Switch(enum.IntFlag):
    """Limit switches in STATE, set while pressed."""

    X_LOWER = 1
    X_UPPER = 2
    Y_LOWER = 4
    Y_UPPER = 8
    Z_LOWER = 16
    Z_UPPER = 32


class Feature(enum.IntFlag):
    """What this board has besides the axes."""

    LAMP = 1
    LIMIT_SWITCHES = 2
    ESTOP = 4
    STROBE = 8  # triggers by time and by position
    LENS = 16


class Wire(NamedTuple):
    """Wire type, unit and meaning of one field."""

    type: str
    unit: str
    meaning: str


class Message(msgspec.Struct, frozen=True):
    """Base of every payload."""


class Hello(Message, frozen=True):
    """Open a session. The same nonce gets the same session, so a resent HELLO opens only one.

    Accepted with any version, session and seq. The first two fields have the same place in every version.
    """

    nonce: Annotated[int, Wire("u32", "1", "random, chosen by the host")]
    schema_hash: Annotated[int, Wire("u32", "1", "CRC-32 of the host's message table")]
    version_min: Annotated[int, Wire("u8", "1", "oldest protocol version the host speaks")]
    version_max: Annotated[int, Wire("u8", "1", "newest protocol version the host speaks")]


class HelloReply(Message, frozen=True):
    """The session is in the header. Session 0 means that none was granted.

    The first two fields have the same place in every version.
    """

    nonce: Annotated[int, Wire("u32", "1", "as in the request")]
    schema_hash: Annotated[int, Wire("u32", "1", "CRC-32 of the board's message table")]
    boot_id: Annotated[int, Wire("u32", "1", "random, new at every start of the board")]
    unit_serial: Annotated[int, Wire("u32", "1", "serial number of the board")]
    min_steps: Annotated[Triple, Wire("i32", "steps", "lower travel limits")]
    max_steps: Annotated[Triple, Wire("i32", "steps", "upper travel limits")]
    firmware_version: Annotated[int, Wire("u16", "1", "version of the firmware")]
    features: Annotated[int, Wire("u16", "Feature", "what the board has")]
    axes: Annotated[int, Wire("u8", "AxisBit", "axes that are fitted")]
    max_frame: Annotated[int, Wire("u8", "bytes", "longest frame the board accepts, delimiters included")]
    reset_cause: Annotated[int, Wire("u8", "1", "0 power on, 1 processor watchdog, 2 reset line")]


class Ping(Message, frozen=True):
    """Feed the watchdog and ask for the board's time."""


class Pong(Message, frozen=True):
    """The board's time."""

    board_time_us: Annotated[int, Wire("u64", "us", "since the board started")]


class StateRequest(Message, frozen=True):
    """Ask for everything that changes."""


class State(Message, frozen=True):
    """Everything that changes. It also holds what a lost MOVE_DONE said."""

    board_time_us: Annotated[int, Wire("u64", "us", "since the board started")]
    pos_steps: Annotated[Triple, Wire("i32", "steps", "step counters")]
    last_move_id: Annotated[int, Wire("u32", "1", "last accepted MOVE_ABS, SWEEP or HOME, 0 for none")]
    lamp_duty: Annotated[int, Wire("u16", "1/10000", "duty of the lamp")]
    faults: Annotated[int, Wire("u16", "Fault", "sticky faults")]
    last_strobe_id: Annotated[int, Wire("u32", "1", "last accepted STROBE, 0 for none")]
    frames_done: Annotated[int, Wire("u16", "1", "triggers given so far")]
    last_result: Annotated[int, Wire("u8", "MoveResult", "how it ended, or RUNNING")]
    moving: Annotated[int, Wire("u8", "AxisBit", "axes in motion")]
    homed: Annotated[int, Wire("u8", "AxisBit", "axes whose counter is tied to the stage")]
    motors: Annotated[int, Wire("u8", "AxisBit", "motors that are switched on")]
    switches: Annotated[int, Wire("u8", "Switch", "switches pressed")]
    lens_ua: Annotated[int, Wire("i32", "uA", "current through the tunable lens")]


class Watchdog(Message, frozen=True):
    """Set and arm the watchdog and clear its fault. Every valid frame of the session feeds it.

    On expiry motion is decelerated AND lamp and lens current are turned off. The fault stays until this message.
    """

    motion_ms: Annotated[int, Wire("u32", "ms", "longest silence while an axis moves, at least 100")]
    idle_ms: Annotated[
        int, Wire("u32", "ms", "longest silence while only lamp or lens is on, motion_ms to 60000")
    ]


class LimitsRequest(Message, frozen=True):
    """Ask for what the board allows. Its travel is in HELLO."""


class Limits(Message, frozen=True):
    """Caps of the board. A move beyond the first two is refused."""

    max_speed_steps_per_s: Annotated[Triple, Wire("u32", "steps/s", "highest speeds")]
    max_accel_steps_per_s2: Annotated[Triple, Wire("u32", "steps/s2", "highest accelerations")]
    jog_steps: Annotated[Triple, Wire("u32", "steps", "longest move before homing")]
    jog_steps_per_s: Annotated[Triple, Wire("u32", "steps/s", "highest speed before homing")]


class PullOutRequest(Message, frozen=True):
    """Ask which speed and acceleration the motors can follow together."""


class PullOut(Message, frozen=True):
    """The pull-out line of each motor, less a reserve. A move beyond it is refused.

    A motor follows speed v and acceleration a while v / no_torque + a / from_rest is at most 1.
    """

    no_torque_steps_per_s: Annotated[Triple, Wire("u32", "steps/s", "speed at which no torque is left")]
    from_rest_steps_per_s2: Annotated[Triple, Wire("u32", "steps/s2", "highest acceleration from rest")]


class Clear(Message, frozen=True):
    """Clear sticky faults. Clearing ESTOP is refused, with status ESTOP, while its input is pressed.

    It does not clear WATCHDOG and switches no motor on.
    """

    faults: Annotated[int, Wire("u16", "Fault", "faults to clear")]


class MoveAbs(Message, frozen=True):
    """Move to absolute targets. There is no relative move on the wire.

    Before homing an axis accepts only short slow moves, within LIMITS.jog_*.
    """

    move_id: Annotated[int, Wire("u32", "1", "larger than every id before it")]
    axes: Annotated[int, Wire("u8", "AxisBit", "axes to move")]
    target_steps: Annotated[Triple, Wire("i32", "steps", "targets; ignored for axes not in the mask")]
    speed_steps_per_s: Annotated[Triple, Wire("u32", "steps/s", "top speeds")]
    accel_steps_per_s2: Annotated[Triple, Wire("u32", "steps/s2", "accelerations")]


class WayPoint(Message, frozen=True):
    """Keep one leg of Z for the SWEEP that comes next: it begins where the sweep reaches `at_steps`.

    STOP, ESTOP, the watchdog, another session, and whatever moves or homes an axis or switches a motor off drop what
    is kept.
    """

    index: Annotated[
        int, Wire("u8", "1", "0: the first, and what was kept is dropped; else how many are kept")
    ]
    at_steps: Annotated[int, Wire("i32", "steps", "counter of the axis that the sweep goes along")]
    z_steps: Annotated[int, Wire("i32", "steps", "target of Z")]
    z_speed_steps_per_s: Annotated[int, Wire("u32", "steps/s", "top speed of Z")]
    z_accel_steps_per_s2: Annotated[int, Wire("u32", "steps/s2", "acceleration of Z")]


class Sweep(Message, frozen=True):
    """Move X, or Y, to an absolute target without a stop, and Z along the way points that are kept.

    A leg of Z begins once the axis has reached its position and the leg before it has ended.
    """

    move_id: Annotated[int, Wire("u32", "1", "as in MOVE_ABS")]
    axes: Annotated[int, Wire("u8", "AxisBit", "X or Y, homed like Z")]
    target_steps: Annotated[int, Wire("i32", "steps", "target of this axis")]
    speed_steps_per_s: Annotated[int, Wire("u32", "steps/s", "top speed")]
    accel_steps_per_s2: Annotated[int, Wire("u32", "steps/s2", "acceleration")]
    count: Annotated[
        int, Wire("u8", "1", "way points kept, in their order along the way, none beyond the target")
    ]


class Home(Message, frozen=True):
    """Switch the motor of one axis on, find its lower switch, tie the counter to it, end at 0 upwards.

    Off the switch if it is pressed, down fast onto it, up slowly off it, and the last two once more slowly.
    The counter is tied to the edge found upwards, so the play of the gear is not in it.
    """

    move_id: Annotated[int, Wire("u32", "1", "as in MOVE_ABS")]
    axes: Annotated[int, Wire("u8", "AxisBit", "exactly one axis")]
    fast_steps_per_s: Annotated[int, Wire("u32", "steps/s", "speed of the seek")]
    slow_steps_per_s: Annotated[int, Wire("u32", "steps/s", "speed at the edge, within the start-stop range")]
    accel_steps_per_s2: Annotated[int, Wire("u32", "steps/s2", "acceleration of the fast legs")]


class Stop(Message, frozen=True):
    """Decelerate every axis. Always accepted, ahead of any queue; idempotent."""


class Estop(Message, frozen=True):
    """Emergency stop: no more steps; motors, light and lens off; homing forgotten. Always accepted; it latches.

    After CLEAR, HOME switches the motors on again.
    """


class Motors(Message, frozen=True):
    """Switch the motors of the axes in the mask on, all others off. An axis switched off is not homed."""

    axes: Annotated[int, Wire("u8", "AxisBit", "motors to switch on")]


class MoveDone(Message, frozen=True):
    """A MOVE_ABS, SWEEP or HOME has ended. STATE also has the result."""

    board_time_us: Annotated[int, Wire("u64", "us", "time of the last step")]
    move_id: Annotated[int, Wire("u32", "1", "as in the request")]
    pos_steps: Annotated[Triple, Wire("i32", "steps", "step counters")]
    spread_steps: Annotated[int, Wire("u16", "steps", "HOME: difference of the two edges found; otherwise 0")]
    result: Annotated[int, Wire("u8", "MoveResult", "how it ended")]


class Lamp(Message, frozen=True):
    """Set the lamp. It also goes dark when the watchdog expires and at an emergency stop."""

    duty: Annotated[int, Wire("u16", "1/10000", "0 dark, 10000 full")]
    on_time_ms: Annotated[int, Wire("u32", "ms", "dark again after this time, at most 600000; 0: never")] = 0


class Strobe(Message, frozen=True):
    """Trigger the camera and flash the lamp, `count` times. A strobe under way ends; count 0 only ends it."""

    strobe_id: Annotated[int, Wire("u32", "1", "larger than every id before it")]
    count: Annotated[int, Wire("u16", "1", "triggers")]
    period_us: Annotated[
        int, Wire("u32", "us", "from trigger to trigger, at least 1000 and delay_us + width_us")
    ]
    delay_us: Annotated[int, Wire("u32", "us", "from the trigger to the flash")]
    width_us: Annotated[int, Wire("u32", "us", "of the flash, at most 100000")]
    duty: Annotated[int, Wire("u16", "1/10000", "of the lamp during the flash")]


class PositionTrigger(Message, frozen=True):
    """Trigger the camera and flash the lamp where one axis passes `count` positions, spaced evenly.

    A position counts when a step in the direction of `spacing_steps` reaches it, each once. A strobe or position
    trigger under way ends; count 0 only ends it.
    """

    strobe_id: Annotated[int, Wire("u32", "1", "larger than every id before it, of STROBE too")]
    axes: Annotated[int, Wire("u8", "AxisBit", "exactly one axis, at rest and homed")]
    first_steps: Annotated[int, Wire("i32", "steps", "counter at the first trigger")]
    spacing_steps: Annotated[int, Wire("i32", "steps", "to the next trigger; negative: going down; not 0")]
    count: Annotated[int, Wire("u16", "1", "positions, all within the travel")]
    delay_us: Annotated[int, Wire("u32", "us", "from the trigger to the flash, at most 100000")]
    width_us: Annotated[int, Wire("u32", "us", "of the flash, at most 100000")]
    duty: Annotated[int, Wire("u16", "1/10000", "of the lamp during the flash")]


class Frame(Message, frozen=True):
    """A strobe or position trigger has given one trigger. STATE counts them."""

    board_time_us: Annotated[int, Wire("u64", "us", "time of the trigger")]
    strobe_id: Annotated[int, Wire("u32", "1", "as in the request")]
    index: Annotated[int, Wire("u16", "1", "0 for the first trigger; of its position in POSITION_TRIGGER")]


class LensRequest(Message, frozen=True):
    """Ask which currents the lens driver gives."""


class Lens(Message, frozen=True):
    """The range of the lens current, 0 included. Both ends are 0 on a board without a lens."""

    min_ua: Annotated[int, Wire("i32", "uA", "lowest current, 0 or negative")]
    max_ua: Annotated[int, Wire("i32", "uA", "highest current, 0 or positive")]


class SetCurrent(Message, frozen=True):
    """Set the current of the tunable lens. It goes to 0 when the watchdog expires and at an emergency stop."""

    current_ua: Annotated[int, Wire("i32", "uA", "within LENS; 0 turns it off")]


class Ack(Message, frozen=True):
    """No fields; the header has the status."""
