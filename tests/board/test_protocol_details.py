"""The details of PROTOCOL.md that a firmware must decide: stub and reference firmware decide them alike."""

from __future__ import annotations

import pytest

from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, MoveResult, Opcode, Status
from parfocal.board.wire.packet import Packet
from tests.board.inside import faults
from tests.board.raw_wire import Wire, move, says

pytestmark = pytest.mark.usefixtures("far_side")


@pytest.fixture
def wire() -> Wire:
    opened = Wire()
    opened.hello()
    return opened


def homed(wire: Wire, *axes: AxisBit) -> int:
    """Home some axes; return the last move_id."""
    wire.ask(messages.Watchdog(60000, 60000))
    for n, axis in enumerate(axes):
        assert wire.ask(messages.Home(n + 1, axis, 3200, 160, 80000)).status == Status.OK
        wire.wait(30.0)
    assert wire.machine.state().homed == sum(axes)
    return len(axes)


def packet_of(wire: Wire, request: messages.MoveAbs) -> Packet:
    return Packet(Kind.REQUEST, Opcode.MOVE_ABS, 0, wire.seq + 1, wire.session, layout.pack(request))


def results(packets: list[Packet]) -> list[MoveResult]:
    return [MoveResult(packet.payload[-1]) for packet in packets if packet.opcode == Opcode.MOVE_DONE]


def test_a_start_leaves_counters_at_0_motors_on_the_lamp_dark_and_says_nothing() -> None:
    says("Counters read 0, motors are on, the lamp is dark, the lens has no current, no axis is homed,")
    says("A board sends nothing before its first HELLO.")
    wire = Wire()
    assert wire.wait(5.0) == []
    state = wire.machine.state()
    assert (state.pos_steps, state.motors, state.lamp_duty, state.homed) == ((0, 0, 0), 7, 0, 0)
    assert state.last_result == MoveResult.NONE


def test_a_hello_of_the_wrong_length_is_refused_in_its_own_session(wire: Wire) -> None:
    says("**HELLO** with a payload of the wrong length gets BAD_PAYLOAD, in the session that it named.")
    (refused,) = wire.say(Packet(Kind.REQUEST, Opcode.HELLO, 0, 9, 777, b"12"))
    assert (refused.status, refused.session) == (Status.BAD_PAYLOAD, 777)
    assert wire.ask(messages.Ping()).status == Status.OK


def test_a_hello_that_gets_no_session_leaves_the_open_one(wire: Wire) -> None:
    says("A HELLO that gets session 0 leaves the open session as it is.")
    assert wire.ask(messages.Hello(99, layout.schema_hash() ^ 1, 1, 1)).session == 0
    assert wire.ask(messages.Ping()).status == Status.OK


def test_stop_under_an_old_seq_acts_and_is_kept_and_leaves_the_base(wire: Wire) -> None:
    says("STOP and ESTOP act under an old seq too: their response is kept, and the base of seq stays.")
    wire.ask(move(1, target_steps=(0, 0, 600)))
    wire.wait(0.2)
    first = wire.ask(messages.Stop(), seq=0)
    assert first.status == Status.OK
    (done,) = wire.wait(2.0)
    assert results([done]) == [MoveResult.STOPPED]
    wire.ask(move(2, target_steps=(0, 0, 0)))
    wire.wait(0.05)
    assert wire.ask(messages.Stop(), seq=0) == first  # kept: it does not act again
    assert wire.machine.state().moving == AxisBit.Z


@pytest.mark.parametrize("opcode", [Opcode.STOP, Opcode.ESTOP])
@pytest.mark.parametrize("other", [0, 1])
def test_stop_with_a_payload_does_not_act(wire: Wire, opcode: Opcode, other: int) -> None:
    says("With a payload they get BAD_PAYLOAD and do not act.")
    wire.ask(move(1, target_steps=(0, 0, 600)))
    (refused,) = wire.say(Packet(Kind.REQUEST, opcode, 0, 50, wire.session ^ other, b"1"))
    assert refused.status == (Status.NO_SESSION if other else Status.BAD_PAYLOAD)
    assert wire.machine.state().moving == AxisBit.Z
    assert wire.machine.state().motors == 7


def test_no_session_and_stale_are_not_kept(wire: Wire) -> None:
    says("NO_SESSION, STALE and the answers to HELLO are not.")
    ping = Packet(Kind.REQUEST, Opcode.PING, 0, 60, wire.session)
    (first,) = wire.say(ping)
    for seq in range(20, 32):
        (stale,) = wire.say(Packet(Kind.REQUEST, Opcode.PING, 0, seq, wire.session))
        assert stale.status == Status.STALE
        wire.say(Packet(Kind.REQUEST, Opcode.PING, 0, 70 + seq, wire.session ^ 1))
    wire.bench.clock.sleep_s(0.01)
    assert wire.say(ping) == [first]


def test_a_move_to_where_it_stands_ends_at_once_after_its_response(wire: Wire) -> None:
    says("A MOVE_ABS whose axes stand at their targets is accepted and ends at once with DONE.")
    says("MOVE_DONE follows the response of the request that began or ended the motion.")
    said = [*wire.say(packet_of(wire, move(1, target_steps=(0, 0, 0)))), *wire.wait(0.001)]
    assert [(each.kind, each.opcode) for each in said] == [
        (Kind.RESPONSE, Opcode.MOVE_ABS),
        (Kind.EVENT, Opcode.MOVE_DONE),
    ]
    assert results(said) == [MoveResult.DONE]


def test_the_first_reason_to_break_off_decides_the_result(wire: Wire) -> None:
    says("The first of the two decides the result; a later one changes nothing.")
    last_id = homed(wire, AxisBit.Z)
    wire.ask(messages.Watchdog(100, 1000))
    slow = move(last_id + 1, target_steps=(0, 0, 9000), accel_steps_per_s2=(0, 0, 1000))
    wire.ask(slow)
    wire.wait(0.09)
    wire.ask(messages.Stop())
    done = wire.wait(5.0)
    assert results(done) == [MoveResult.STOPPED]
    assert faults(wire.bench.stub) in (Fault(0), Fault.WATCHDOG)  # it may still have been decelerating


def test_a_homing_that_is_broken_off_leaves_its_axis_not_homed(wire: Wire) -> None:
    says("A homing that is broken off leaves its axis not homed")
    last_id = homed(wire, AxisBit.Z)
    wire.ask(messages.Home(last_id + 1, AxisBit.Z, 1600, 160, 80000))
    wire.wait(0.5)
    wire.ask(messages.Stop())
    assert results(wire.wait(5.0)) == [MoveResult.STOPPED]
    state = wire.machine.state()
    assert (state.homed, state.motors, state.faults) == (0, 7, 0)


def test_an_axis_on_its_switch_decides_the_result_whatever_ends_the_others(wire: Wire) -> None:
    says("the result is LIMIT_SWITCH for all of them, whatever ends them later")
    last_id = homed(wire, AxisBit.Z, AxisBit.X)
    wire.machine.axes[2].lose_steps(1200)
    both = messages.MoveAbs(
        last_id + 1, AxisBit.X | AxisBit.Z, (30000, 0, 1200), (3000, 0, 3000), (50000, 0, 50000)
    )
    assert wire.ask(both).status == Status.OK
    wire.wait(0.6)
    back = wire.ask(messages.Stop())
    assert back.status == Status.OK
    wire.wait(1.0)
    down = messages.MoveAbs(last_id + 2, AxisBit.X | AxisBit.Z, (0, 0, 0), (2000, 0, 3000), (50000, 0, 50000))
    # z now lies 1200 lost steps lower than it believes: on its way to 0 it meets the lower switch.
    assert wire.ask(down).status == Status.OK
    wire.wait(0.55)
    assert wire.machine.state().moving == AxisBit.X | AxisBit.Z
    wire.ask(messages.Stop())
    assert results(wire.wait(2.0)) == [MoveResult.LIMIT_SWITCH]
    state = wire.machine.state()
    assert (state.homed, state.faults) == (0, Fault.LIMIT_SWITCH)


def test_a_move_towards_a_pressed_switch_makes_no_step(wire: Wire) -> None:
    says("A move towards a switch that is pressed already makes no step.")
    wire.ask(messages.Watchdog(60000, 60000))
    wire.ask(messages.Home(1, AxisBit.Z, 3200, 160, 80000))
    for _ in range(40):  # until it stands on its switch
        wire.wait(0.2)
        if wire.machine.state().switches:
            break
    wire.ask(messages.Stop())
    wire.wait(1.0)
    assert wire.machine.state().switches
    at = wire.machine.state().pos_steps
    down = move(2, target_steps=(0, 0, at[2] - 50))
    assert results([*wire.say(packet_of(wire, down)), *wire.wait(1.0)]) == [MoveResult.LIMIT_SWITCH]
    assert wire.machine.state().pos_steps == at


def test_a_lamp_set_during_a_flash_waits_for_its_end(wire: Wire) -> None:
    says("LAMP during a flash takes effect when the flash ends.")
    wire.ask(messages.Strobe(1, 1, 100_000, 0, 50_000, 9000))
    wire.wait(0.02)
    wire.ask(messages.Lamp(200))
    assert wire.machine.state().lamp_duty == 9000
    wire.wait(0.05)
    assert wire.machine.state().lamp_duty == 200


def test_the_watchdog_fires_once(wire: Wire) -> None:
    says("**The watchdog** fires once; after that, feeding it changes nothing until WATCHDOG.")
    wire.ask(messages.Lamp(200))
    wire.wait(1.5)
    assert faults(wire.bench.stub) == Fault.WATCHDOG
    wire.ask(messages.Ping())
    assert wire.ask(messages.Lamp(200)).status == Status.WATCHDOG
    assert wire.ask(messages.Clear(0xFFFF)).status == Status.OK
    assert faults(wire.bench.stub) == Fault.WATCHDOG
