"""The order of refusals in PROTOCOL.md is the order in which the stub refuses."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, Message, Opcode, Status
from parfocal.board.wire.packet import Packet
from parfocal.board.wire.table import TABLE
from tests.board.inside import add_faults, set_busy, set_homed, set_motors, set_session
from tests.board.raw_wire import PROSE, Wire, move, says
from tools.firmware.protocol_reference import DOCUMENT

pytestmark = pytest.mark.usefixtures("far_side")

REFUSALS = re.compile(
    r"^\| (?P<request>[A-Z_]+) \| (?P<statuses>[A-Z_]+(?: \([a-z ]+\))?(?:, .*)?) \|$", re.M
)


@pytest.fixture
def wire() -> Wire:
    opened = Wire()
    opened.hello()
    return opened


def refusals() -> dict[str, list[str]]:
    """The table of the document: the statuses in their order, with the words in brackets."""
    section = DOCUMENT.read_text().partition("## The order of refusals")[2].partition("\n## ")[0]
    return {match["request"]: match["statuses"].split(", ") for match in REFUSALS.finditer(section)}


def busy(wire: Wire) -> None:
    set_busy(wire.bench.stub)


def faulty(fault: Fault) -> Callable[[Wire], None]:
    def set_it(wire: Wire) -> None:
        add_faults(wire.bench.stub, fault)

    return set_it


def motor_off(wire: Wire) -> None:
    set_motors(wire.bench.stub, AxisBit.X | AxisBit.Y)


def motor_off_y(wire: Wire) -> None:
    set_motors(wire.bench.stub, AxisBit.X | AxisBit.Z)


def homed(wire: Wire) -> None:
    set_homed(wire.bench.stub, AxisBit.Y | AxisBit.Z)


def not_homed(wire: Wire) -> None:
    set_homed(wire.bench.stub, AxisBit(0))


def two_way_points(wire: Wire) -> None:
    """Kept for a sweep, of homed axes."""
    homed(wire)
    for index, at_steps in enumerate((50, 80)):
        asked = wire.ask(messages.WayPoint(index, at_steps, 10 * index, 640, 80000))
        assert asked.status == Status.OK


def pressed(wire: Wire) -> None:
    wire.machine.press_estop(pressed=True)


class Reason:
    """A reason to refuse a request with one status: a state of the board, or a field."""

    def __init__(self, state: Callable[[Wire], None] | None = None, **fields: object) -> None:
        self.state, self.fields = state, fields


ESTOP, WATCHDOG = Reason(faulty(Fault.ESTOP)), Reason(faulty(Fault.WATCHDOG))
FINE: dict[str, tuple[type[Message], dict[str, object]]] = {
    "WATCHDOG": (messages.Watchdog, {"motion_ms": 250, "idle_ms": 2000}),
    "CLEAR": (messages.Clear, {"faults": Fault.ESTOP}),
    "MOVE_ABS": (
        messages.MoveAbs,
        {
            "move_id": 9,
            "axes": AxisBit.Z,
            "target_steps": (0, 0, 100),
            "speed_steps_per_s": (0, 0, 640),
            "accel_steps_per_s2": (0, 0, 80000),
        },
    ),
    "WAY_POINT": (
        messages.WayPoint,
        {
            "index": 2,
            "at_steps": 90,
            "z_steps": 100,
            "z_speed_steps_per_s": 640,
            "z_accel_steps_per_s2": 80000,
        },
    ),
    "SWEEP": (
        messages.Sweep,
        {
            "move_id": 9,
            "axes": AxisBit.Y,
            "target_steps": 100,
            "speed_steps_per_s": 640,
            "accel_steps_per_s2": 80000,
            "count": 2,
        },
    ),
    "HOME": (
        messages.Home,
        {
            "move_id": 9,
            "axes": AxisBit.Z,
            "fast_steps_per_s": 1600,
            "slow_steps_per_s": 160,
            "accel_steps_per_s2": 80000,
        },
    ),
    "MOTORS": (messages.Motors, {"axes": 7}),
    "LAMP": (messages.Lamp, {"duty": 100, "on_time_ms": 0}),
    "STROBE": (
        messages.Strobe,
        {"strobe_id": 1, "count": 1, "period_us": 10**5, "delay_us": 0, "width_us": 100, "duty": 1},
    ),
    "POSITION_TRIGGER": (
        messages.PositionTrigger,
        {
            "strobe_id": 1,
            "axes": AxisBit.Z,
            "first_steps": 100,
            "spacing_steps": 50,
            "count": 3,
            "delay_us": 0,
            "width_us": 100,
            "duty": 1,
        },
    ),
    "SET_CURRENT": (messages.SetCurrent, {"current_ua": 1}),
}
REASONS: dict[str, dict[str, Reason]] = {
    "WATCHDOG": {"BAD_VALUE": Reason(motion_ms=99)},
    "CLEAR": {"ESTOP": Reason(pressed)},
    "MOVE_ABS": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "DUPLICATE": Reason(move_id=0),
        "BUSY": Reason(busy),
        "BAD_VALUE (axes)": Reason(axes=8 | AxisBit.Z),
        "MOTOR_OFF": Reason(motor_off),
        "BAD_VALUE (speed or acceleration)": Reason(speed_steps_per_s=(0, 0, 6401)),
        "PULL_OUT": Reason(speed_steps_per_s=(0, 0, 6400), accel_steps_per_s2=(0, 0, 160001)),
        "LIMIT": Reason(homed, target_steps=(0, 0, 16001)),
        "NOT_HOMED": Reason(target_steps=(0, 0, 16001)),
    },
    "WAY_POINT": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "BUSY": Reason(busy),
        "BAD_VALUE (index)": Reason(index=3),
        "MOTOR_OFF": Reason(motor_off),
        "BAD_VALUE (speed or acceleration)": Reason(z_speed_steps_per_s=6401),
        "PULL_OUT": Reason(z_speed_steps_per_s=6400, z_accel_steps_per_s2=160001),
        "LIMIT": Reason(homed, z_steps=16001),
        "NOT_HOMED": Reason(not_homed),
    },
    "SWEEP": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "DUPLICATE": Reason(move_id=0),
        "BUSY": Reason(busy),
        "BAD_VALUE (axes)": Reason(axes=AxisBit.Z),
        "MOTOR_OFF": Reason(motor_off_y),
        "BAD_VALUE (speed or acceleration)": Reason(speed_steps_per_s=0),
        "PULL_OUT": Reason(speed_steps_per_s=16000, accel_steps_per_s2=160000),
        "LIMIT": Reason(homed, target_steps=20001),
        "NOT_HOMED": Reason(not_homed),
        "WAY_POINTS": Reason(count=3),
        "BAD_VALUE (order)": Reason(target_steps=79),
    },
    "HOME": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "DUPLICATE": Reason(move_id=0),
        "BUSY": Reason(busy),
        "BAD_VALUE (axes or speeds)": Reason(axes=AxisBit.X | AxisBit.Z, slow_steps_per_s=0),
        "PULL_OUT": Reason(fast_steps_per_s=6400, accel_steps_per_s2=160001),
    },
    "MOTORS": {"ESTOP": ESTOP, "BAD_VALUE": Reason(axes=8), "BUSY": Reason(busy)},
    "LAMP": {"ESTOP": ESTOP, "WATCHDOG": WATCHDOG, "BAD_VALUE": Reason(duty=10001)},
    "STROBE": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "DUPLICATE": Reason(strobe_id=0),
        "BAD_VALUE": Reason(period_us=999),
    },
    "POSITION_TRIGGER": {
        "ESTOP": ESTOP,
        "WATCHDOG": WATCHDOG,
        "DUPLICATE": Reason(strobe_id=0),
        "BUSY": Reason(busy),
        "BAD_VALUE": Reason(spacing_steps=0),
        "NOT_HOMED": Reason(axes=AxisBit.X),
        "LIMIT": Reason(first_steps=15901),
    },
    "SET_CURRENT": {"ESTOP": ESTOP, "WATCHDOG": WATCHDOG, "BAD_VALUE": Reason(current_ua=250_001)},
}


def test_every_command_is_in_the_table_of_refusals() -> None:
    documented = refusals()
    assert set(documented) == set(FINE)
    for request, statuses in documented.items():
        assert statuses == list(REASONS[request]), request
    says(
        "PING, STATE, LIMITS, PULL_OUT, LENS, STOP and ESTOP are never refused for the reasons in this table."
    )
    others = {entry.opcode.name for entry in TABLE if entry.kind is Kind.REQUEST} - set(documented)
    assert others == {"HELLO", "PING", "STATE", "LIMITS", "PULL_OUT", "LENS", "STOP", "ESTOP"}


@pytest.mark.parametrize(
    ("request_name", "first"),
    [(name, i) for name, reasons in REASONS.items() for i in range(len(reasons) + 1)],
)
def test_a_request_is_refused_for_the_first_reason_in_the_documented_order(
    wire: Wire, request_name: str, first: int
) -> None:
    message, fields = FINE[request_name]
    if request_name == "POSITION_TRIGGER":
        homed(wire)
    if request_name in ("WAY_POINT", "SWEEP"):
        two_way_points(wire)
    reasons = [REASONS[request_name][status] for status in refusals()[request_name][first:]]
    for reason in reversed(reasons):  # if two set the same field, the first reason wins
        fields = {**fields, **reason.fields}
        if reason.state is not None:
            reason.state(wire)
    expected = refusals()[request_name][first].split(" ")[0] if reasons else "OK"
    begun = wire.machine.motions_begun
    assert wire.ask(message(**fields)).status == Status[expected]
    assert (wire.machine.motions_begun > begun) is (
        expected == "OK" and request_name in ("MOVE_ABS", "SWEEP", "HOME")
    )


def test_the_axes_of_a_move_are_checked_in_the_order_x_y_z(wire: Wire) -> None:
    says("in the order x, y, z, each of them completely")
    request = move(
        1,
        axes=7,
        target_steps=(10**6, 0, 0),
        speed_steps_per_s=(100, 10**6, 640),
        accel_steps_per_s2=(1000,) * 3,
    )
    motor_off(wire)
    assert wire.ask(request).status == Status.NOT_HOMED  # x, although y is too fast and the motor of z is off


def test_the_checks_before_a_request_is_read_are_in_the_documented_order(wire: Wire) -> None:
    steps = re.findall(r"(?<= )\d\. ([A-Z_]{4,}|a seq and opcode among)", PROSE)
    assert steps == ["NO_SESSION", "a seq and opcode among", "STALE", "UNKNOWN_OPCODE", "BAD_PAYLOAD"]
    busy(wire)

    def status(session: int, seq: int, opcode: int, payload: bytes) -> int:
        (said,) = wire.say(Packet(Kind.REQUEST, opcode, 0, seq, session, payload))
        return said.status

    assert status(wire.session, 100, 0x3F, b"12") == Status.UNKNOWN_OPCODE
    assert status(wire.session, 100, 0x3F, b"") == Status.UNKNOWN_OPCODE  # again, from the reply cache
    assert status(wire.session ^ 1, 100, 0x3F, b"12") == Status.NO_SESSION
    assert status(wire.session, 90, 0x3F, b"12") == Status.STALE
    assert status(wire.session, 101, Opcode.MOVE_ABS, b"12") == Status.BAD_PAYLOAD
    assert status(wire.session, 101, Opcode.MOVE_ABS, layout.pack(move(1))) == Status.BAD_PAYLOAD
    says("A request refused at step 4 or later has used up its seq")
    assert status(wire.session, 101, Opcode.PING, b"") == Status.STALE


def test_light_can_always_be_turned_off(wire: Wire) -> None:
    says(
        "A LAMP of duty 0 and a STROBE of count 0 turn light off and are not refused with ESTOP or WATCHDOG;"
    )
    add_faults(wire.bench.stub, Fault.ESTOP | Fault.WATCHDOG)
    assert wire.ask(messages.Lamp(0)).status == Status.OK
    assert wire.ask(messages.Strobe(1, 0, 0, 0, 0, 0)).status == Status.OK
    assert wire.ask(messages.PositionTrigger(2, 0, 0, 0, 0, 0, 0, 0)).status == Status.OK
    assert wire.ask(messages.SetCurrent(0)).status == Status.OK


STATES: dict[str, Callable[[Wire], None]] = {
    "no session": lambda wire: set_session(wire.bench.stub, 0),
    "ESTOP latched": faulty(Fault.ESTOP),
    "WATCHDOG set": faulty(Fault.WATCHDOG),
    "moving": busy,
    "motor off": lambda wire: set_motors(wire.bench.stub, AxisBit.Y),
    "not homed": lambda _: None,
}
ROW = re.compile(
    r"^\| ([A-Z_]+) \| ([A-Z_]+) \| ([A-Z_]+) \| ([A-Z_]+) \| ([A-Z_]+) \| ([A-Z_]+) \| ([A-Z_]+) \|$", re.M
)
ROWS = {row[0]: row[1:] for row in ROW.findall(DOCUMENT.read_text())}


def test_every_request_has_a_row_in_the_table_of_states() -> None:
    says("| request | no session | ESTOP latched | WATCHDOG set | moving | motor off | not homed |")
    assert set(ROWS) == {entry.opcode.name for entry in TABLE if entry.kind is Kind.REQUEST}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("request_name", ROWS)
def test_every_state_gives_the_status_of_the_table(wire: Wire, request_name: str, state: str) -> None:
    message, fields = FINE.get(request_name, (None, {}))
    if request_name == "MOVE_ABS" and state == "not homed":
        fields = {**fields, "target_steps": (0, 0, 16000)}  # longer than a jog
    if request_name == "WAY_POINT":
        fields = {**fields, "index": 0}
    if request_name == "SWEEP" and state == "motor off":
        fields = {**fields, "axes": AxisBit.X}
    if message is None:
        message = next(entry.message for entry in TABLE if entry.opcode.name == request_name)
        if request_name == "HELLO":
            fields = {"nonce": 1, "schema_hash": layout.schema_hash(), "version_min": 1, "version_max": 1}
    STATES[state](wire)
    expected = ROWS[request_name][list(STATES).index(state)]
    assert wire.ask(message(**fields)).status == Status[expected]
    if request_name == "ESTOP":
        assert wire.machine.state().motors == 0  # it has acted, without a session too
