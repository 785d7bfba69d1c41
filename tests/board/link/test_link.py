"""The link: a lost request is sent again and never acts twice, and STOP overtakes everything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import (
    BoardError,
    LinkTimeout,
    MoveRefused,
    MoveStopped,
    PositionLost,
    ProtocolMismatch,
)
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.link import Link
from parfocal.board.link.outbox import ATTEMPTS
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Fault, Kind, MoveResult, Opcode, Status
from parfocal.board.wire.packet import Packet, StreamDecoder, encode

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")


class Losing:
    """Drops or spoils the next `n` frames of one kind and opcode, once `n` is set."""

    def __init__(self, kind: Kind, opcode: Opcode, spoil: bool = False) -> None:
        self._what = (kind, opcode)
        self._spoil = spoil
        self.n = 0

    def __call__(self, packet: Packet, data: bytes) -> bytes:
        if (packet.kind, packet.opcode) != self._what or self.n == 0:
            return data
        self.n -= 1
        return data[:-3] + bytes([data[-3] ^ 0x40 or 1]) + data[-2:] if self._spoil else b""


@pytest.mark.parametrize(
    ("damage", "counters"),
    [
        pytest.param(Losing(Kind.REQUEST, Opcode.MOVE_ABS), LinkCounters(resends=2), id="request_lost"),
        pytest.param(Losing(Kind.RESPONSE, Opcode.MOVE_ABS), LinkCounters(resends=2), id="reply_lost"),
        pytest.param(
            Losing(Kind.REQUEST, Opcode.MOVE_ABS, spoil=True), LinkCounters(resends=2), id="request_spoiled"
        ),
        pytest.param(
            Losing(Kind.RESPONSE, Opcode.MOVE_ABS, spoil=True),
            LinkCounters(resends=2, crc_errors=2),
            id="reply_spoiled",
        ),
        pytest.param(Losing(Kind.EVENT, Opcode.MOVE_DONE), LinkCounters(), id="event_lost"),
    ],
)
def test_a_move_is_made_once_whatever_is_lost(
    healthy_board: HealthyBoard, damage: Losing, counters: LinkCounters
) -> None:
    with healthy_board(damage=damage, counters=counters) as (bench, board):
        board.z.approach_up(100.0)
        before = board.state()
        damage.n = 2
        board.z.approach_up(150.0)
        after = board.state()
        assert after.last_move_id == before.last_move_id + 1
        assert after.pos_steps[2] - before.pos_steps[2] == 160
        bench.clock.sleep_s(0.1)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(150.0, abs=0.01)


def test_a_resend_is_answered_from_the_cache_and_an_older_seq_is_stale() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.home()
        decoder = StreamDecoder()
        session = bench.stub.session
        move = layout.pack(messages.MoveAbs(77, AxisBit.Z, (0, 0, 160), (0, 0, 3200), (0, 0, 80000)))
        frame = encode(Packet(Kind.REQUEST, Opcode.MOVE_ABS, 0, 30000, session, move))
        replies = []
        for data in (frame, frame, encode(Packet(Kind.REQUEST, Opcode.MOVE_ABS, 0, 29000, session, move))):
            bench.stub.receive(data, bench.clock.now_s())
            replies += [packet for _, out in bench.stub.take_output() for packet in decoder.feed(out)]
        assert [packet.status for packet in replies] == [Status.OK, Status.OK, Status.STALE]
        assert replies[0] == replies[1]
        board._link._outbox._seq = 30000  # the frames above bypassed the link
        bench.clock.sleep_s(1.0)
        bench.stub.advance(bench.clock.now_s())
        assert bench.stub.machine.state().pos_steps[2] == 160
        assert bench.stub.decoder.errors.crc_errors == 0


def test_a_packet_of_another_version_moves_nothing(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        move = layout.pack(messages.MoveAbs(77, AxisBit.Z, (0, 0, 160), (0, 0, 3200), (0, 0, 80000)))
        begun = bench.stub.machine.motions_begun
        packet = Packet(Kind.REQUEST, Opcode.MOVE_ABS, 0, 30000, bench.stub.session, move, version=2)
        bench.stub.receive(encode(packet), bench.clock.now_s())
        ((_, reply),) = bench.stub.take_output()
        assert [answer.status for answer in StreamDecoder().feed(reply)] == [Status.NO_SESSION]
        assert bench.stub.machine.motions_begun == begun
        board.z.approach_up(10.0 + board.z.overshoot_um)


def test_a_board_that_never_answers_is_a_link_timeout() -> None:
    bench = VirtualBench()

    class Dead:
        def write(self, data: bytes) -> None: ...

        def read(self, timeout_s: float) -> bytes:
            bench.clock.sleep_s(timeout_s)
            return b""

        def close(self) -> None: ...

    link = Link(Dead(), bench.clock)
    with pytest.raises(
        LinkTimeout, match=r"the board did not answer HELLO in 5 s: heard nothing. Check its cable"
    ):
        link.open_session()
    assert link.counters == LinkCounters(resends=ATTEMPTS)


def test_a_board_with_another_message_table_is_refused_before_anything_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = VirtualBench()
    link = Link(bench.transport, bench.clock)
    true_hash = layout.schema_hash()
    hashes = iter([true_hash ^ 1])  # for the host, once; the board keeps the true one
    monkeypatch.setattr(layout, "schema_hash", lambda: next(hashes, true_hash))
    with pytest.raises(ProtocolMismatch, match=r"nothing moved. "):
        link.open_session()
    assert bench.stub.machine.state().last_move_id == 0
    assert link.counters == LinkCounters()


def test_nothing_is_done_without_a_session() -> None:
    bench = VirtualBench()
    link = Link(bench.transport, bench.clock)
    with pytest.raises(PositionLost, match="rebooted"):
        link.request(messages.Lamp(100), messages.Ack)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0
    assert link.counters == LinkCounters()


def test_the_board_refuses_requests_that_the_host_should_not_send(healthy_board: HealthyBoard) -> None:
    speed, accel = (8000, 8000, 3200), (60000, 60000, 80000)
    cases = [
        (messages.MoveAbs(100, AxisBit.Z, (0, 0, 16001), speed, accel), "travel limits; nothing moved"),
        (messages.MoveAbs(100, AxisBit.Z, (0, 0, -1), speed, accel), "travel limits; nothing moved"),
        (messages.MoveAbs(100, 0, (0, 0, 1), speed, accel), "more than the board allows"),
        (messages.MoveAbs(100, AxisBit.Z, (0, 0, 1), (0, 0, 10**6), accel), "more than the board allows"),
        (messages.MoveAbs(1, AxisBit.Z, (0, 0, 1), speed, accel), "status 9"),
        (messages.Home(100, 3, 100, 10, 1000), "more than the board allows"),
        (messages.Lamp(10001), "more than the board allows"),
        (messages.Watchdog(1, 1), "more than the board allows"),
    ]
    with healthy_board() as (bench, board):
        before = bench.stub.machine.state()
        for request, wording in cases:
            with pytest.raises(BoardError, match=wording):
                board._link.request(request, messages.Ack)
        after = bench.stub.machine.state()
        assert (after.pos_steps, after.last_move_id) == (before.pos_steps, before.last_move_id)


def test_stop_ends_a_move_at_once_and_keeps_the_position_known(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        stop_s = bench.clock.now_s() + 1.0
        bench.clock.call_at(stop_s, board.stop)
        with pytest.raises(MoveStopped, match="STOP|stopped"):
            board.z.move_to(4990.0)
        assert bench.clock.now_s() - stop_s < 0.06  # 40 ms of deceleration from 1000 um/s, and the link
        assert board.state().last_result is MoveResult.STOPPED
        bench.clock.sleep_s(1.0)
        true_um = bench.true_um(bench.clock.now_s())[2]
        assert board.z.position_um == pytest.approx(true_um, abs=1e-3)
        board.z.approach_up(100.0)
        assert board.z.position_um == 100.0


def test_stop_between_the_two_legs_of_an_approach_keeps_the_second_from_starting(
    healthy_board: HealthyBoard,
) -> None:
    armed = False

    def stop_before_the_second_leg(packet: Packet, data: bytes) -> bytes:
        nonlocal armed
        if armed and packet.kind == Kind.EVENT:
            armed = False
            board.stop()
        return data

    with healthy_board(damage=stop_before_the_second_leg) as (_, board):
        board.z.approach_up(1000.0)
        armed = True
        with pytest.raises(MoveStopped, match="STOP was requested"):
            board.z.approach_up(900.0)
        assert board.z.position_um == pytest.approx(900.0 - board.z.overshoot_um, abs=0.2)


def test_stop_between_two_homings_keeps_the_next_from_starting(healthy_board: HealthyBoard) -> None:
    def stop_as_the_first_ends(packet: Packet, data: bytes) -> bytes:
        if packet.kind == Kind.EVENT and bench.stub.machine.motions_begun == 1:
            board.stop()
        return data

    with healthy_board(damage=stop_as_the_first_ends, homed=False) as (bench, board):
        with pytest.raises(MoveStopped, match="STOP was requested"):
            board.home(("z", "x", "y"))
        assert bench.stub.machine.motions_begun == 1
        assert [axis.is_homed for axis in (board.x, board.y, board.z)] == [False, False, True]
        board.home(("x",))  # requested after the STOP
        assert board.x.is_homed


def test_a_move_whose_request_was_lost_is_not_sent_again_after_a_stop(healthy_board: HealthyBoard) -> None:
    lost_move = Losing(Kind.REQUEST, Opcode.MOVE_ABS)
    with healthy_board(damage=lost_move) as (bench, board):
        before = board.state()
        lost_move.n = 1
        bench.clock.call_at(bench.clock.now_s() + 0.01, board.stop)
        with pytest.raises(MoveStopped):
            board.z.approach_up(100.0)
        assert board.state().last_move_id == before.last_move_id
        assert board.z.position_um == 0.0


def test_threads_that_share_a_link_get_their_own_answers() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        wrong: list[object] = []

        def ask(duty: float) -> None:
            for _ in range(50):
                board.lamp(duty)
                state = board.state()
                if state.lamp_duty not in (0.25, 0.5, 0.75):
                    wrong.append(state)

        threads = [threading.Thread(target=ask, args=(duty,)) for duty in (0.25, 0.5, 0.75)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20.0)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []
        assert board.counters == LinkCounters()


def test_the_heartbeat_keeps_the_lamp_lit_while_the_host_is_busy(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        board.lamp(0.6)
        bench.clock.sleep_s(30.0)
        assert bench.lamp_duty(bench.clock.now_s()) == 0.6
        assert board.state().faults == Fault(0)


def test_without_a_heartbeat_motion_stops_and_the_lamp_goes_dark(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        board.lamp(0.6)
        board._end_heartbeat()
        with pytest.raises(MoveStopped, match="watchdog"):
            board.z.move_to(4990.0)
        state = board.state()
        assert state.last_result is MoveResult.WATCHDOG
        assert state.faults == Fault.WATCHDOG
        assert state.lamp_duty == 0.0
        assert state.pos_steps[2] * 0.3125 < 250.0 + 25.0  # 0.25 s at 1000 um/s and the deceleration
        with pytest.raises(MoveRefused, match="watchdog has fired .* Open the board again"):
            board.z.move_to(100.0)


def test_closing_stops_the_stage_and_darkens_the_lamp() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.lamp(1.0)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0
    assert board.counters == LinkCounters()
    with bench.open_board() as again:
        assert again.state().lamp_duty == 0.0
        assert again.counters == LinkCounters()


def test_a_board_opened_again_keeps_its_position_but_not_its_flank() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        board.home()
        board.z.approach_up(300.0)
    with bench.open_board() as again:
        assert again.z.is_homed
        assert again.z.position_um == 300.0
        assert again.z.engagement.value == "unknown"
        again.z.approach_up(310.0)
        assert again.counters == LinkCounters()


def test_a_lamp_duty_out_of_range_is_refused_before_it_is_sent(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (_, board):
        with pytest.raises(ValueError, match=r"lamp duty 1.5 is invalid: it must be 0..1"):
            board.lamp(1.5)
        with pytest.raises(ValueError, match="the axes are x, y, z"):
            board.home(("q",))
        with pytest.raises(ValueError, match="motors on q refused: the axes are x, y, z"):
            board.motors_on(("q",))


def test_an_invalid_configuration_names_its_field() -> None:
    with pytest.raises(ValueError, match="watchdog_s"):
        BoardConfig(watchdog_s=0.0)


@pytest.mark.parametrize("opcode", [Opcode.STOP, Opcode.ESTOP])
def test_stop_acts_even_in_an_unknown_session_and_is_answered_no_session(
    healthy_board: HealthyBoard, opcode: Opcode
) -> None:
    with healthy_board() as (bench, board):
        stray = encode(Packet(Kind.REQUEST, opcode, 0, 1, bench.stub.session ^ 0x5555))
        answers: list[Packet] = []

        def send() -> None:
            bench.stub.receive(stray, bench.clock.now_s())
            answers.extend(StreamDecoder().feed(bench.stub.take_output()[0][1]))

        bench.clock.call_at(bench.clock.now_s() + 0.5, send)
        with pytest.raises((MoveStopped, PositionLost)):
            board.z.move_to(4990.0)
        assert [(packet.opcode, packet.status) for packet in answers] == [(opcode, Status.NO_SESSION)]
        assert board.state().pos_steps[2] * 0.3125 < 600.0
