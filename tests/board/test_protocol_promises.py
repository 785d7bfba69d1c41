"""The stub does what the prose of PROTOCOL.md says, which is all that the author of a firmware has."""

from __future__ import annotations

import re

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import PositionLost
from parfocal.board.link.outbox import ATTEMPTS, OPENING_WALLS_S, REPLY_WALL_S
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, Message, Opcode, Status
from parfocal.board.wire.packet import Packet, encode
from tests.board.conftest import DamagedCable
from tests.board.inside import add_faults, faults, set_session
from tests.board.raw_wire import PROSE, Wire, move, says
from tests.board.test_protocol_document import SECTION, decoded, golden

pytestmark = pytest.mark.usefixtures("far_side")


@pytest.fixture
def wire() -> Wire:
    opened = Wire()
    opened.hello()
    return opened


# --- seq, session, version


def test_every_example_of_a_response_has_the_seq_and_the_session_of_its_request() -> None:
    says("**Every response carries the seq and the opcode of its request**, and its session too")
    packets = {heading: decoded(frame) for heading, frame in golden().items()}
    events = []
    for heading, packet in packets.items():
        match = SECTION.match("### " + heading)
        if match is not None and match["kind"] == "response":
            request = packets[
                next(other for other in packets if other.startswith(f"{match['opcode']} request"))
            ]
            assert packet.seq == request.seq, heading
            assert packet.session == request.session or match["opcode"] == "HELLO", heading
        elif match is not None and match["kind"] == "event":
            events.append(packet.seq)
    asked = packets["MOVE_ABS request (0x10)"]
    refused = packets["A refusal"]
    assert (refused.seq, refused.session) == (asked.seq, asked.session)
    assert events == list(range(1, len(events) + 1))
    requests = [packet.seq for packet in packets.values() if packet.kind == Kind.REQUEST]
    assert requests == list(range(0x100, 0x100 + len(requests)))


@pytest.mark.parametrize("session", [0, 77])
@pytest.mark.parametrize("version", [1, 2])
def test_no_session_is_answered_in_the_session_that_the_request_named(session: int, version: int) -> None:
    says("session that the request named: the board echoes it")
    says("The version of a response is the board's.")
    refused = Wire().ask(messages.Ping(), session=session, version=version)
    assert (refused.status, refused.session, refused.version) == (Status.NO_SESSION, session, 1)
    assert refused.payload == b""


@pytest.mark.parametrize("is_echoed", [True, False])
def test_a_host_understands_no_session_in_its_own_session_and_in_session_0(is_echoed: bool) -> None:
    says("(A host also accepts session 0 here.)")
    bench = VirtualBench()

    def answered(packet: Packet, data: bytes) -> bytes:
        if is_echoed or packet.status != Status.NO_SESSION:
            return data
        return encode(Packet(packet.kind, packet.opcode, packet.status, packet.seq, 0))

    with Board.open(DamagedCable(bench.transport, answered), bench.clock, BoardConfig()) as board:
        bench.stub.reboot()
        began_s = bench.clock.now_s()
        with pytest.raises(PositionLost, match="rebooted"):
            board.state()
        assert bench.clock.now_s() - began_s < 0.05
        assert (board.counters.resends, board.counters.unknown) == (0, 0)


def test_hello_is_never_stale_and_sets_the_base_of_seq(wire: Wire) -> None:
    says("HELLO is accepted with any version, session and seq in its header, and is **never STALE**.")
    says("**sets the base of seq**: the requests that follow it count on from its seq")
    wire.seq = 30000
    assert wire.ask(messages.Ping()).status == Status.OK
    before = wire.session
    wire.seq = 5
    assert wire.hello(nonce=2, version=9, session=12345).status == Status.OK
    assert wire.session not in (0, before)
    assert wire.ask(messages.Ping()).status == Status.OK  # seq 7: older than 30001, newer than HELLO's
    assert wire.ask(messages.Lamp(0), seq=6).status == Status.STALE
    assert wire.ask(messages.Ping(), session=before).status == Status.NO_SESSION


def test_a_resent_hello_changes_nothing(wire: Wire) -> None:
    says("A resent HELLO does none of this.")
    session = wire.session
    lamp = messages.Lamp(100)
    first = wire.ask(lamp, seq=50)
    assert wire.hello(nonce=1, seq=3).session == session
    assert wire.ask(lamp, seq=50) == first  # still in the reply cache
    assert wire.ask(messages.Lamp(200), seq=40).status == Status.STALE
    assert wire.machine.state().lamp_duty == 100


def test_the_beginning_of_hello_is_the_same_in_every_version() -> None:
    says("and schema hash at the beginning of HELLO and of its response, are the same in every version")
    for message in (messages.Hello, messages.HelloReply):
        first, second, *_ = layout.fields_of(message)
        assert [(first.name, first.wire.type), (second.name, second.wire.type)] == [
            ("nonce", "u32"),
            ("schema_hash", "u32"),
        ]


def test_hello_and_other_requests_are_resent_as_often_as_the_document_says() -> None:
    says("HELLO four times at 60 ms and twenty times at 240 ms, five seconds in all")
    assert pytest.approx([0.06] * 4 + [0.24] * 20) == OPENING_WALLS_S
    assert sum(OPENING_WALLS_S) == pytest.approx(5.0, abs=0.1)
    says("every 60 ms, under the same seq, up to 24 times")
    assert (REPLY_WALL_S, ATTEMPTS) == (0.06, 24)


def test_events_have_their_own_count_and_the_open_session() -> None:
    says("the board counts its events, from 1 at its start and on through all sessions")
    says("Their session is the one that is open when they are sent, whichever session requested the motion")
    wire = Wire()
    wire.hello()
    first = wire.session
    assert wire.ask(move(1)).status == Status.OK
    (done,) = wire.wait(1.0)
    assert (done.kind, done.opcode, done.seq, done.session) == (Kind.EVENT, Opcode.MOVE_DONE, 1, first)
    assert wire.ask(move(2, target_steps=(0, 0, 0))).status == Status.OK
    wire.hello(nonce=2)
    (done,) = wire.wait(1.0)
    assert (done.seq, done.session) == (2, wire.session)
    assert wire.session != first
    says("and 0 while there is none")
    wire.ask(move(3))
    set_session(wire.bench.stub, 0)
    (done,) = wire.wait(1.0)
    assert (done.seq, done.session) == (3, 0)


def test_frames_other_than_requests_are_not_answered(wire: Wire) -> None:
    says("So is a frame whose kind is not that of a request.")
    for kind in (Kind.RESPONSE, Kind.EVENT, 0, 9):
        assert wire.say(Packet(kind, Opcode.PING, 0, 99, wire.session)) == []


# --- watchdog, motors


def silence_until_the_watchdog_s(wire: Wire, is_moving: bool) -> float:
    """Length of a silence after which the watchdog fires during light or motion, s."""
    request: Message = messages.Lamp(100)
    if is_moving:
        request = move(1, target_steps=(0, 0, 640), speed_steps_per_s=(0, 0, 64))
    assert wire.ask(request).status == Status.OK
    began_s = wire.bench.clock.now_s()
    while not faults(wire.bench.stub) & Fault.WATCHDOG:
        wire.wait(0.01)
        assert wire.bench.clock.now_s() - began_s < 70.0
    return wire.bench.clock.now_s() - began_s


@pytest.mark.parametrize("is_moving", [True, False])
def test_the_watchdog_starts_with_the_times_of_the_document(wire: Wire, is_moving: bool) -> None:
    stated = re.search(r"Until the first WATCHDOG after a start both are (\d+) ms", PROSE)
    assert stated is not None
    assert silence_until_the_watchdog_s(wire, is_moving) == pytest.approx(int(stated[1]) / 1000.0, abs=0.02)


def test_watchdog_takes_the_times_of_the_document_and_no_others(wire: Wire) -> None:
    stated = re.search(r"takes (\d+) ms <= motion_ms <= idle_ms <= (\d+) ms", PROSE)
    assert stated is not None
    low, high = int(stated[1]), int(stated[2])
    for motion_ms, idle_ms, status in (
        (low, low, Status.OK),
        (high, high, Status.OK),
        (low, high, Status.OK),
        (low - 1, high, Status.BAD_VALUE),
        (low, high + 1, Status.BAD_VALUE),
        (low + 1, low, Status.BAD_VALUE),
        (0, 0, Status.BAD_VALUE),
    ):
        assert wire.ask(messages.Watchdog(motion_ms, idle_ms)).status == status
    wire.ask(messages.Watchdog(low, 3 * low))
    assert silence_until_the_watchdog_s(wire, is_moving=True) == pytest.approx(low / 1000.0, abs=0.02)


def test_only_frames_of_the_session_feed_the_watchdog(wire: Wire) -> None:
    says("Every valid frame of the session feeds the watchdog, even a STALE one.")
    says("A frame refused with NO_SESSION does not feed the watchdog.")
    wire.ask(messages.Lamp(100))
    for _ in range(30):
        wire.wait(0.1)
        assert wire.ask(messages.Lamp(200), seq=0).status == Status.STALE
    assert not faults(wire.bench.stub)
    for _ in range(30):
        wire.wait(0.1)
        wire.ask(messages.Ping(), session=wire.session ^ 1)
    assert faults(wire.bench.stub) == Fault.WATCHDOG
    assert wire.machine.state().lamp_duty == 0


def test_clear_and_home_are_enough_after_an_estop(wire: Wire) -> None:
    says("HOME switches on the motor of its axis, so no MOTORS is needed before it")
    says("CLEAR turns on neither light, lens nor motor")
    wire.ask(messages.Estop())
    assert wire.machine.state().motors == 0
    assert wire.ask(messages.Clear(Fault.ESTOP)).status == Status.OK
    assert wire.machine.state().motors == 0
    assert wire.ask(move(1)).status == Status.MOTOR_OFF
    home = messages.Home(1, AxisBit.Z, 1600, 160, 80000)
    assert wire.ask(home).status == Status.OK
    assert (wire.machine.state().motors, wire.machine.state().homed) == (AxisBit.Z, 0)
    for _ in range(100):
        wire.wait(0.2)
        wire.ask(messages.Ping())
    assert wire.machine.state().homed == AxisBit.Z


def test_clear_keeps_the_fault_of_the_watchdog(wire: Wire) -> None:
    add_faults(wire.bench.stub, Fault.WATCHDOG | Fault.STUCK_SWITCH)
    assert wire.ask(messages.Clear(0xFFFF)).status == Status.OK
    assert faults(wire.bench.stub) == Fault.WATCHDOG


def test_move_ids_count_from_the_start_of_the_board_through_all_sessions(wire: Wire) -> None:
    says("larger than every id accepted since the board's start")
    assert wire.ask(move(5)).status == Status.OK
    wire.wait(1.0)
    wire.hello(nonce=2)
    assert wire.ask(move(5)).status == Status.DUPLICATE
    wire.bench.stub.reboot()
    wire.hello(nonce=3)
    assert wire.ask(move(5)).status == Status.OK
