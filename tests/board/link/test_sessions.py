"""Frames of another session are ignored, and what a session keeps is restored in the next one."""

from __future__ import annotations

import msgspec
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import PositionLost
from parfocal.board.link.transport import Transport
from parfocal.board.own.board import Board
from parfocal.board.stub.faults import Faults, Reboot, Unplug
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, MoveResult, Opcode
from parfocal.board.wire.packet import StreamDecoder, encode
from tests.board.inside import WatchdogTimes, set_session, watchdog_times

pytestmark = pytest.mark.usefixtures("far_side")


class LateOfAnother:
    """A cable in which a frame of another session with the same seq arrives ahead of each matching frame."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._coming: list[bytes] = []
        self.opcode: Opcode | None = None
        self.payload = b""

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        if self._coming:
            return self._coming.pop(0)
        data = self._inner.read(timeout_s)
        for packet in StreamDecoder().feed(data):
            if packet.opcode == self.opcode:
                other = msgspec.structs.replace(packet, session=packet.session ^ 1, payload=self.payload)
                self._coming.append(data)
                return encode(other)
        return data

    def close(self) -> None:
        self._inner.close()


def test_a_reply_of_another_session_with_the_same_seq_is_ignored() -> None:
    bench = VirtualBench()
    cable = LateOfAnother(bench.transport)
    with Board.open(cable, bench.clock, BoardConfig()) as board:
        board.home(("z",))
        true = board.state()
        wrong = messages.State(1, (7, 7, 7), 99, 10000, 0, 0, 0, MoveResult.DONE, 0, 7, 7, 0, 0)
        cable.opcode, cable.payload = Opcode.STATE, layout.pack(wrong)
        found = board.state()
        assert (found.pos_steps, found.homed) == (true.pos_steps, true.homed)
        assert (found.lamp_duty, found.last_move_id) == (0.0, true.last_move_id)
        cable.opcode = None
        assert board.counters.unknown == 1


def test_a_motion_does_not_end_with_the_event_of_another_session() -> None:
    bench = VirtualBench()
    cable = LateOfAnother(bench.transport)
    with Board.open(cable, bench.clock, BoardConfig()) as board:
        board.home(("z",))
        next_id = board.state().last_move_id + 1
        wrong = messages.MoveDone(1, next_id, (0, 0, 0), 0, MoveResult.STOPPED)
        cable.opcode, cable.payload = Opcode.MOVE_DONE, layout.pack(wrong)
        board.z.approach_up(500.0)  # not MoveStopped
        assert board.z.position_um == 500.0
        assert board.counters.unknown == 1


@pytest.mark.parametrize("is_rebooted", [True, False])
def test_watchdog_and_lamp_are_restored_first_in_a_new_session(
    is_rebooted: bool,
) -> None:
    bench = VirtualBench(
        faults=Faults(incidents=(Reboot(on_motion=1000),))
    )  # so that this test checks the counters itself
    with bench.open_board(BoardConfig(watchdog_s=0.3, lamp_watchdog_s=1.5)) as board:
        board.lamp(0.4)
        machine = bench.stub.machine
        if is_rebooted:
            bench.stub.reboot()
        else:
            set_session(
                bench.stub, bench.stub.session ^ 1
            )  # the board keeps running, taken over by a host that has gone
        began_s = bench.clock.now_s()
        if is_rebooted:
            with pytest.raises(PositionLost):
                board.state()
        else:
            board.state()
        assert bench.clock.now_s() - began_s < 0.01  # not by the heartbeat, which comes later
        assert machine.state().lamp_duty == 4000
        assert watchdog_times(bench.stub) == WatchdogTimes(0.3, 1.5)
        assert board.counters.reconnects == 1


def test_watchdog_and_lamp_are_restored_when_the_cable_is_back() -> None:
    pulled = Unplug(on_motion=1, after_s=0.05, gone_s=0.4, reboots=True)
    bench = VirtualBench(faults=Faults(incidents=(pulled,)))
    asked: list[Opcode] = []
    receive = bench.stub.receive

    def listen(data: bytes, time_s: float) -> None:
        asked.extend(
            Opcode(packet.opcode) for packet in StreamDecoder().feed(data) if packet.kind == Kind.REQUEST
        )
        receive(data, time_s)

    with bench.open_board() as board:
        board.lamp(0.4)
        bench.stub.receive = listen  # type: ignore[method-assign]
        with pytest.raises(PositionLost):
            board.home(("z",))
        hello = len(asked) - 1 - asked[::-1].index(Opcode.HELLO)
        assert asked[hello : hello + 3] == [Opcode.HELLO, Opcode.WATCHDOG, Opcode.LAMP]
        assert bench.stub.machine.state().lamp_duty == 4000
