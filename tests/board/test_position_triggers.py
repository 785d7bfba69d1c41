"""Triggers by position, and the current of the lens: where they should, once, and off when nobody asks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from parfocal.board.errors import BoardError
from parfocal.board.link.counters import LinkCounters
from parfocal.board.own.board import Board
from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.board.stub.faults import Faults, HostStall
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Kind, MoveResult, Opcode, Status
from parfocal.board.wire.packet import Packet
from tests.board.inside import set_homed
from tests.board.raw_wire import Wire, says

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")
SHORT = Flash(delay_s=0.0, width_s=0.0005, duty=0.9)


@pytest.fixture
def wire() -> Wire:
    opened = Wire()
    opened.hello()
    opened.ask(messages.Watchdog(60000, 60000))
    set_homed(opened.bench.stub, AxisBit.Z)
    return opened


def at_positions(strobe_id: int = 1, **changes: int) -> messages.PositionTrigger:
    fields = {
        "axes": AxisBit.Z, "first_steps": 100, "spacing_steps": 50, "count": 4, "delay_us": 0, "width_us": 100,
        "duty": 9000, **changes,
    }  # fmt: skip
    return messages.PositionTrigger(strobe_id, **fields)


def z_to(move_id: int, target: int, speed: int = 2000) -> messages.MoveAbs:
    return messages.MoveAbs(move_id, AxisBit.Z, (0, 0, target), (0, 0, speed), (0, 0, 80000))


def indices(said: list[Packet]) -> list[int]:
    events = [layout.unpack(p.kind, p.opcode, p.payload) for p in said if p.kind == Kind.EVENT]
    return [event.index for event in events if isinstance(event, messages.Frame)]


def test_a_sweep_triggers_and_flashes_at_every_position(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        board.z.move_to(100.0)
        at_um = board.trigger_at("z", TriggerPositions(110.0, 5.1, 20), SHORT)
        assert at_um[:2] == (110.0, 115.0)  # 5.1 um are 16 steps of 0.3125 um
        began_s = bench.clock.now_s()
        board.z.move_to(250.0)
        frames = board.take_triggered_frames()
        assert [frame.index for frame in frames] == list(range(20))
        times_s = bench.triggers_s(began_s)
        assert [frame.trigger_s for frame in frames] == pytest.approx(times_s, abs=3e-4)  # half a round trip
        for time_s, expected_um in zip(times_s, at_um, strict=True):
            assert bench.true_um(time_s + 1e-6)[2] == pytest.approx(expected_um, abs=0.8)
            lit = [bench.lamp_duty(time_s + after_s) for after_s in (-1e-4, 2e-4, 7e-4)]
            assert lit == [0.0, 0.9, 0.0]
        assert board.state().frames_done == 20


def test_positions_downwards_trigger_on_the_way_down(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        board.z.move_to(300.0)
        board.trigger_at("z", TriggerPositions(250.0, -10.0, 5), SHORT)
        board.z.move_to(400.0)
        assert board.take_triggered_frames() == ()
        board.z.move_to(100.0)
        assert [frame.index for frame in board.take_triggered_frames()] == [0, 1, 2, 3, 4]


def test_a_position_triggers_once_and_only_in_its_direction(wire: Wire) -> None:
    says("Steps the other way give none.")
    says("The order is kept: a position waits until those before it have been passed.")
    wire.ask(z_to(1, 240))
    wire.wait(1.0)
    assert wire.ask(at_positions()).status == Status.OK
    found = []
    for move_id, target in enumerate((20, 160, 20, 220, 400, 0), start=2):
        wire.ask(z_to(move_id, target))
        found.append(indices(wire.wait(1.0)))
    assert found == [[], [0, 1], [], [2], [3], []]
    assert wire.machine.state().frames_done == 4


def test_a_position_too_soon_for_the_flash_is_left_out_and_its_index_missing(wire: Wire) -> None:
    says("gives no trigger: its index is missing, and `frames_done` stays below `count`.")
    wire.ask(at_positions(spacing_steps=4, count=6, width_us=3000))  # 2 ms from one to the next
    wire.ask(z_to(1, 300))
    assert indices(wire.wait(1.0)) == [0, 2, 4]
    wire.ask(z_to(2, 0))
    wire.ask(messages.Ping())
    wire.wait(1.0)
    wire.ask(at_positions(2, spacing_steps=1, count=5, width_us=0))  # 0.5 ms from one to the next
    wire.ask(z_to(3, 300))
    assert indices(wire.wait(1.0)) == [0, 2, 4]
    assert wire.machine.state().frames_done == 3
    assert wire.machine.state().lamp_duty == 0


def test_the_light_between_flashes_is_that_of_the_lamp(wire: Wire) -> None:
    wire.ask(messages.Lamp(300))
    wire.ask(at_positions(delay_us=1000, width_us=2000))
    wire.ask(z_to(1, 300))
    said = wire.wait(1.0)
    times_us = [e.board_time_us for e in events_of(said) if isinstance(e, messages.Frame)]
    start_s = wire.machine.now_s - wire.machine.state().board_time_us / 1e6
    for time_us in times_us:
        at_s = start_s + time_us / 1e6
        found = [wire.bench.lamp_duty(at_s + after_s) for after_s in (0.0005, 0.002, 0.0035)]
        assert found == [0.03, 0.9, 0.03]
    for before, after in itertools.pairwise(times_us):
        assert after - before == pytest.approx(50 / 2000 * 1e6, abs=20)


def events_of(said: list[Packet]) -> list[messages.Message]:
    return [layout.unpack(p.kind, p.opcode, p.payload) for p in said if p.kind == Kind.EVENT]


def test_the_last_position_is_told_before_the_end_of_its_motion(wire: Wire) -> None:
    says("FRAME of the last step of a motion comes before its MOVE_DONE.")
    wire.ask(at_positions(count=1))
    wire.ask(z_to(1, 100))
    events = events_of(wire.wait(1.0))
    assert [type(event) for event in events] == [messages.Frame, messages.MoveDone]
    frame, done = events
    assert isinstance(frame, messages.Frame)
    assert isinstance(done, messages.MoveDone)
    assert abs(frame.board_time_us - done.board_time_us) <= 1


@pytest.mark.parametrize("ends_it", ["home", "motors off", "estop", "another", "none", "watchdog"])
def test_nothing_triggers_any_more_once_it_has_ended(wire: Wire, ends_it: str) -> None:
    says("A position trigger ends after its last position, and at once when its axis is no longer homed")
    wire.ask(at_positions())
    assert wire.machine.next_due_s() < float("inf")  # the watchdog guards it
    requests: dict[str, list[messages.Message]] = {
        "home": [messages.Home(1, AxisBit.Z, 1600, 160, 80000)],
        "motors off": [messages.Motors(3), messages.Motors(7)],
        "estop": [messages.Estop(), messages.Clear(0xFFFF), messages.Motors(7)],
        "another": [messages.Strobe(2, 0, 0, 0, 0, 0)],
        "none": [at_positions(2, count=0)],
        "watchdog": [messages.Watchdog(100, 100)],
    }
    for request in requests[ends_it]:
        assert wire.ask(request).status == Status.OK
    wire.wait(10.0)
    wire.ask(messages.Watchdog(60000, 60000))
    assert wire.machine.next_due_s() == float("inf")  # nothing left to guard
    set_homed(wire.bench.stub, AxisBit.Z)
    wire.ask(z_to(9, 400))
    said = wire.wait(1.0)
    assert indices(said) == []
    assert [e.result for e in events_of(said) if isinstance(e, messages.MoveDone)] == [MoveResult.DONE]


def test_a_move_onto_a_switch_ends_it(wire: Wire) -> None:
    wire.ask(at_positions(first_steps=15000, count=3))
    wire.machine.axes[2].lose_steps(0)
    wire.ask(z_to(1, 16000, 6000))
    wire.wait(10.0)  # it started 700 um up and was not homed: it runs onto its upper switch first
    state = wire.machine.state()
    assert (state.last_result, state.homed, state.frames_done) == (MoveResult.LIMIT_SWITCH, 0, 0)
    assert wire.machine.next_due_s() == float("inf")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"axes": 0}, Status.BAD_VALUE),
        ({"axes": 5}, Status.BAD_VALUE),
        ({"duty": 10001}, Status.BAD_VALUE),
        ({"width_us": 100_001}, Status.BAD_VALUE),
        ({"delay_us": 100_001}, Status.BAD_VALUE),
        ({"first_steps": -1}, Status.LIMIT),
        ({"spacing_steps": -34}, Status.LIMIT),
        ({"spacing_steps": 2**31 - 1}, Status.LIMIT),
        ({"spacing_steps": -(2**31), "count": 65535}, Status.LIMIT),
        ({"first_steps": 16000, "count": 1, "spacing_steps": 2**31 - 1}, Status.OK),
        ({"spacing_steps": 5300}, Status.OK),
        ({"spacing_steps": 5301}, Status.LIMIT),
    ],
)
def test_positions_that_the_board_cannot_reach_are_refused(
    wire: Wire, change: dict[str, int], status: Status
) -> None:
    assert wire.ask(at_positions(**change)).status == status
    assert wire.machine.state().last_strobe_id == (1 if status is Status.OK else 0)


def test_a_resent_request_arms_once(wire: Wire) -> None:
    first = wire.ask(at_positions(), seq=50)
    wire.ask(z_to(1, 400), seq=51)
    wire.wait(1.0)
    assert wire.ask(at_positions(), seq=50) == first
    assert wire.ask(at_positions(), seq=53).status == Status.DUPLICATE
    wire.ask(z_to(2, 0), seq=54)
    wire.wait(1.0)
    wire.ask(z_to(3, 400), seq=55)
    assert indices(wire.wait(1.0)) == []


def test_a_lost_answer_arms_once(healthy_board: HealthyBoard) -> None:
    lost: list[Packet] = []

    def lose_the_first(packet: Packet, data: bytes) -> bytes:
        if packet.kind == Kind.RESPONSE and packet.opcode == Opcode.POSITION_TRIGGER and not lost:
            lost.append(packet)
            return b""
        return data

    with healthy_board(damage=lose_the_first, counters=LinkCounters(resends=1)) as (_, board):
        board.trigger_at("z", TriggerPositions(50.0, 10.0, 3), SHORT)
        board.z.move_to(200.0)
        assert [frame.index for frame in board.take_triggered_frames()] == [0, 1, 2]


def test_invalid_positions_are_refused_before_a_byte_is_sent(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        for positions in (TriggerPositions(0.0, 0.1, 3), TriggerPositions(0.0, 5.0, 0)):
            with pytest.raises(ValueError, match=r"count must be 1..65535, spacing_um one step of 0.3125 um"):
                board.trigger_at("z", positions, SHORT)
        with pytest.raises(ValueError, match=r"duty must be 0..1"):
            board.trigger_at("z", TriggerPositions(0.0, 5.0, 2), Flash(0.0, 0.001, 1.1))
        with pytest.raises(BoardError, match="POSITION_TRIGGER refused by the board"):
            board.trigger_at("z", TriggerPositions(0.0, 5000.0, 3), SHORT)


# --- the lens


def test_the_lens_gets_its_current_and_loses_it_with_the_board(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        assert board.capabilities.has_lens
        assert board.lens.range_ma == (-250.0, 250.0)
        board.lens(-80.5)
        assert bench.stub.machine.lens_ua == -80_500
        assert board.status().lens_ma == -80.5
        with pytest.raises(ValueError, match=r"lens current 251 mA is invalid: it must be -250..250 mA"):
            board.lens(251.0)
    assert bench.stub.machine.lens_ua == 0


def test_the_lens_is_off_after_silence_and_after_an_emergency_stop(wire: Wire) -> None:
    wire.ask(messages.Watchdog(100, 400))
    assert wire.ask(messages.SetCurrent(50_000)).status == Status.OK
    wire.wait(0.39)
    assert wire.machine.lens_ua == 50_000
    wire.wait(0.02)
    assert wire.machine.lens_ua == 0
    assert wire.ask(messages.SetCurrent(1)).status == Status.WATCHDOG
    wire.ask(messages.Watchdog(100, 400))
    assert wire.ask(messages.SetCurrent(-250_000)).status == Status.OK
    wire.ask(messages.Estop())
    assert (wire.machine.lens_ua, wire.machine.state().lens_ua) == (0, 0)
    wire.ask(messages.Clear(0xFFFF))
    assert wire.ask(messages.SetCurrent(-250_001)).status == Status.BAD_VALUE
    assert wire.machine.lens_ua == 0


def test_an_emergency_stop_forgets_the_lens_and_a_rearmed_watchdog_does_not() -> None:
    bench = VirtualBench(faults=Faults(incidents=(HostStall(on_motion=2, after_s=1.0, stall_s=3.0),)))
    with bench.open_board() as board:
        board.home(("z",))
        board.lens(40.0)
        board.z.move_to(50.0)
        assert _after_a_beat(bench, board) == 40_000
        assert board.counters.silences >= 1
        board.estop()
        board.clear_faults()
        assert _after_a_beat(bench, board) == 0


def _after_a_beat(bench: VirtualBench, board: Board) -> int:
    bench.clock.sleep_s(3.0)
    board.state()
    return bench.stub.machine.lens_ua


def test_a_board_without_a_lens_says_so(monkeypatch: pytest.MonkeyPatch, far_side: str) -> None:
    if far_side == "firmware":
        pytest.skip("the same code of the host")
    monkeypatch.setattr("parfocal.board.stub.stub_board.LENS", messages.Lens(0, 0))
    with VirtualBench().open_board() as board, pytest.raises(ValueError, match="this board drives no lens"):
        board.lens(1.0)
