"""Lamp and strobe: the requested light for the requested time, and an event for every frame."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from parfocal.board.errors import BoardError
from parfocal.board.link.counters import LinkCounters
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Kind, Opcode
from parfocal.board.wire.packet import Packet

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")


def test_a_lamp_with_an_on_time_goes_dark_by_itself(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        began_s = bench.clock.now_s()
        board.lamp(0.4, on_time_s=0.5)
        bench.clock.sleep_s(1.0)
        assert bench.lamp_duty(began_s + 0.45) == 0.4
        assert bench.lamp_duty(began_s + 0.55) == 0.0
        assert board.state().lamp_duty == 0.0
        for on_time_s in (0.0, 601.0):
            with pytest.raises(ValueError, match=r"it must be 0.001..600 s"):
                board.lamp(0.4, on_time_s)


def test_a_strobe_triggers_flashes_and_reports_every_frame(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        board.lamp(0.1)
        board.strobe(count=5, period_s=0.1, delay_s=0.01, width_s=0.002, duty=0.9)
        bench.clock.sleep_s(0.6)
        state = board.state()
        frames = board.take_triggered_frames()
        assert state.frames_done == 5
        assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
        assert board.take_triggered_frames() == ()
        for before, after in itertools.pairwise(frames):
            assert after.trigger_s - before.trigger_s == pytest.approx(0.1, abs=1e-5)
        for frame in frames:
            lit = [bench.lamp_duty(frame.trigger_s + after_s) for after_s in (0.005, 0.011, 0.013)]
            assert lit == [0.1, 0.9, 0.1]


def test_a_single_trigger_gives_one_frame_at_once_and_leaves_the_light_as_it_is(
    healthy_board: HealthyBoard,
) -> None:
    with healthy_board() as (bench, board):
        for duty in (0.3, 0.0):
            board.lamp(duty)
            bench.clock.sleep_s(0.05)
            began_s = bench.clock.now_s()
            board.trigger_camera()
            bench.clock.sleep_s(0.05)
            assert board.state().frames_done == 1
            (frame,) = board.take_triggered_frames()
            assert began_s - 1e-3 <= frame.trigger_s < began_s + 0.01
            assert {lit for _, lit in bench.light(began_s, bench.clock.now_s())} == {duty}


def test_a_lost_frame_event_is_still_counted_in_the_state(healthy_board: HealthyBoard) -> None:
    def lose_the_third(packet: Packet, data: bytes) -> bytes:
        is_third = packet.kind == Kind.EVENT and packet.opcode == Opcode.FRAME and packet.payload[-2] == 2
        return b"" if is_third else data

    with healthy_board(damage=lose_the_third) as (bench, board):
        board.strobe(count=4, period_s=0.02, delay_s=0.0, width_s=0.001, duty=0.5)
        bench.clock.sleep_s(0.2)
        assert board.state().frames_done == 4
        assert [frame.index for frame in board.take_triggered_frames()] == [0, 1, 3]


def test_a_strobe_ends_on_request_and_when_the_watchdog_expires(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        board.strobe(count=1000, period_s=0.1, delay_s=0.0, width_s=0.05, duty=0.5)
        bench.clock.sleep_s(1.02)
        board.strobe(count=0, period_s=0.0, delay_s=0.0, width_s=0.0, duty=0.0)
        assert bench.lamp_duty(bench.clock.now_s()) == 0.0
        assert board.state().frames_done == 0  # of the strobe that only ended the first
        board.strobe(count=1000, period_s=0.1, delay_s=0.0, width_s=0.05, duty=0.5)
        board._end_heartbeat()
        bench.clock.sleep_s(10.0)
        assert 20 <= board.state().frames_done <= 25  # two seconds of silence
        with pytest.raises(BoardError, match="watchdog has fired"):
            board.lamp(0.5)


def test_closing_ends_a_strobe(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        board.strobe(count=1000, period_s=0.1, delay_s=0.0, width_s=0.05, duty=0.5)
        bench.clock.sleep_s(1.02)
    done_s = bench.clock.now_s()
    bench.clock.sleep_s(1.0)
    assert [bench.lamp_duty(done_s + 0.01 * i) for i in range(100)] == [0.0] * 100


def test_opening_a_board_ends_the_motion_and_light_of_a_killed_host() -> None:
    bench = VirtualBench()
    killed = bench.open_board()
    killed.home()
    killed.lamp(0.7)
    killed.strobe(count=1000, period_s=0.1, delay_s=0.0, width_s=0.05, duty=0.5)
    move = messages.MoveAbs(50, AxisBit.Z, (0, 0, 15000), (0, 0, 3200), (0, 0, 80000))
    killed._link.request(move, messages.Ack)
    killed._end_heartbeat()
    bench.clock.sleep_s(0.13)
    bench.stub.advance(bench.clock.now_s())
    bench.stub.take_output()  # unread frames are lost with the port
    with bench.open_board() as board:
        assert board.state().moving == 0
        assert 100.0 < board.z.position_um < 200.0
        bench.clock.sleep_s(5.0)  # its heartbeat feeds the watchdog
        now_s = bench.clock.now_s()
        assert [bench.lamp_duty(now_s - 0.02 * i) for i in range(200)] == [0.0] * 200
        assert board.take_triggered_frames() == ()
        assert board.counters == LinkCounters()


@pytest.mark.parametrize(
    ("period_s", "delay_s", "width_s"), [(0.0005, 0.0, 0.0001), (0.1, 0.06, 0.05), (1.0, 0.0, 0.2)]
)
def test_a_strobe_that_the_board_cannot_do_is_refused_completely(
    healthy_board: HealthyBoard, period_s: float, delay_s: float, width_s: float
) -> None:
    with healthy_board() as (bench, board):
        with pytest.raises(
            BoardError, match="STROBE refused by the board: a value is more than .* Ask for less"
        ):
            board.strobe(3, period_s, delay_s, width_s, 0.5)
        bench.clock.sleep_s(1.0)
        assert board.state().frames_done == 0
        with pytest.raises(ValueError, match="nothing may be negative"):
            board.strobe(-1, 0.1, 0.0, 0.01, 0.5)
        with pytest.raises(ValueError, match=r"times up to 4294.0 s"):
            board.strobe(1, float("inf"), 0.0, 0.01, 0.5)
