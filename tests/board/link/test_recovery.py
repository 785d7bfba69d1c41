"""After the link was gone: a board that kept running continues, one that restarted must be homed."""

from __future__ import annotations

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound, LinkTimeout, MoveRefused, PositionLost
from parfocal.board.link.clock_map import ClockMap
from parfocal.board.link.counters import LinkCounters
from parfocal.board.own.board import Board
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.faults import (
    AnyIncident,
    BoardStall,
    Faults,
    HostStall,
    Noise,
    Reboot,
    Unplug,
)
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire.messages import Fault

pytestmark = pytest.mark.usefixtures("far_side")


def bench_with(*incidents: AnyIncident) -> VirtualBench:
    return VirtualBench(StubConfig(), Faults(incidents=incidents))


def homed(bench: VirtualBench, config: BoardConfig | None = None) -> Board:
    board = bench.open_board(config)
    board.home()
    board.lamp(0.5)
    return board


@pytest.mark.parametrize("after_s", [0.0, 0.004, 0.3, 1.0])
def test_a_move_reaches_its_target_when_the_cable_is_pulled_and_put_back(after_s: float) -> None:
    bench = bench_with(Unplug(on_motion=4, after_s=after_s, gone_s=0.8))
    with homed(bench) as board:
        board.z.approach_up(1000.0)
        bench.clock.sleep_s(0.2)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(1000.0, abs=0.01)
        assert board.counters.reconnects == 1
        assert board.state().lamp_duty == 0.5  # lit again after the watchdog had turned it off
        assert all(axis.is_homed for axis in (board.x, board.y, board.z))


def test_a_reboot_during_a_move_loses_every_position() -> None:
    bench = bench_with(Reboot(on_motion=4, after_s=0.3))
    with homed(bench) as board:
        with pytest.raises(PositionLost, match="rebooted.* Home the axes"):
            board.z.approach_up(1000.0)
        assert not any(axis.is_homed for axis in (board.x, board.y, board.z))
        with pytest.raises(MoveRefused, match="the axis is not homed; nothing moved"):
            board.x.approach_up(100.0)
        board.home()
        board.z.approach_up(1000.0)
        bench.clock.sleep_s(0.2)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(1000.0, abs=0.01)


def test_a_reboot_between_two_commands_is_noticed_by_the_next_request() -> None:
    bench = bench_with()
    with homed(bench) as board:
        bench.stub.reboot()
        with pytest.raises(PositionLost):
            board.state()
        assert not board.z.is_homed
        assert board.state().homed == 0
        assert board.counters.reconnects == 1


def test_a_cable_that_stays_unplugged_is_board_not_found_after_the_configured_time() -> None:
    bench = bench_with(Unplug(on_motion=4, after_s=0.1, gone_s=60.0))
    with homed(bench, BoardConfig(reconnect_s=2.0)) as board:
        began_s = bench.clock.now_s()
        with pytest.raises(BoardNotFound):
            board.z.approach_up(1000.0)
        assert 2.0 <= bench.clock.now_s() - began_s < 2.5
        bench.clock.sleep_s(60.0)
        board.z.approach_up(1000.0)
        bench.clock.sleep_s(0.2)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(1000.0, abs=0.01)


@pytest.mark.parametrize("stall_s", [0.1, 0.26, 1.0, 3.0])
@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.99])
def test_a_move_reaches_its_target_when_the_host_stalls(stall_s: float, after_s: float) -> None:
    bench = bench_with(HostStall(on_motion=4, after_s=after_s, stall_s=stall_s))
    with homed(bench) as board:
        board.z.approach_up(1000.0)
        bench.clock.sleep_s(0.2)
        assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(1000.0, abs=0.01)
        assert board.state().lamp_duty == 0.5
        assert board.counters.reconnects == 0
        assert board.counters.crc_errors == 0


def test_a_board_that_stalls_for_half_a_second_costs_only_resends() -> None:
    bench = bench_with(BoardStall(on_motion=4, after_s=0.1, stall_s=0.5))
    with homed(bench) as board:
        board.z.approach_up(1000.0)
        assert board.z.position_um == 1000.0
        assert board.counters.reconnects == 0


def test_a_lamp_turned_off_while_the_cable_is_unplugged_is_dark_when_it_is_back() -> None:
    bench = bench_with(Unplug(on_motion=4, after_s=0.1, gone_s=60.0))
    with homed(bench, BoardConfig(reconnect_s=2.0)) as board:
        with pytest.raises(BoardNotFound):
            board.z.approach_up(1000.0)
        with pytest.raises(BoardNotFound):
            board.lamp(0.0)
        bench.clock.sleep_s(60.0)
        assert board.state().lamp_duty == 0.0
        assert board.counters.reconnects == 1


def test_closing_a_board_that_has_rebooted_leaves_it_dark() -> None:
    bench = bench_with()
    with homed(bench):
        bench.stub.reboot()
    bench.clock.sleep_s(0.1)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0


def test_a_jog_after_an_unanswered_move_keeps_the_limits_of_the_host() -> None:
    bench = bench_with(BoardStall(on_motion=4, after_s=4.9, stall_s=30.0))
    with homed(bench) as board:
        with pytest.raises(LinkTimeout):
            board.z.move_to(4990.0)
        bench.clock.sleep_s(30.0)
        at_um = board.state().pos_steps[2] * board.z.config.um_per_step
        assert at_um > 4850.0
        with pytest.raises(MoveRefused, match="limit is 0.0..4995.1875 um; nothing moved"):
            board.z.jog(4999.8 - at_um)  # the board itself would allow 5000
        assert board.z.position_um == at_um


def test_a_silent_board_is_a_link_timeout_not_a_hang() -> None:
    bench = bench_with(BoardStall(on_motion=4, after_s=0.0, stall_s=30.0))
    board = homed(bench)
    began_s = bench.clock.now_s()
    with pytest.raises(LinkTimeout):
        board.z.approach_up(1000.0)
    assert bench.clock.now_s() - began_s < 10.0
    bench.clock.sleep_s(30.0)
    board.z.approach_up(1000.0)
    assert board.z.position_um == 1000.0
    board.close()


def test_noise_during_a_move_is_counted_and_does_no_harm() -> None:
    bench = bench_with(Noise(on_motion=4, after_s=0.1, n_bytes=100_000))
    with homed(bench) as board:
        board.z.approach_up(1000.0)
        assert board.z.position_um == 1000.0
        assert board.counters.resends == 0
        assert board.counters.framing_errors > 0


def test_the_lamp_is_lit_again_after_a_stall_while_nothing_moves() -> None:
    bench = bench_with(HostStall(on_motion=4, after_s=1.0, stall_s=3.0))
    with homed(bench) as board:
        board.z.approach_up(10.0 + board.z.overshoot_um)
        bench.clock.sleep_s(1.5)  # the stall comes at the next exchange, the heartbeat's
        bench.clock.sleep_s(1.5)
        assert bench.lamp_duty(bench.clock.now_s()) == 0.5
        assert board.counters.silences >= 1


def test_the_lamp_is_lit_again_after_a_watchdog_that_the_host_did_not_notice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_with()
    with homed(bench) as board:
        # A cable that loses everything to the board. The host hears other things meanwhile: it notices no silence.
        inbox = board._link._inbox
        with monkeypatch.context() as cable:
            cable.setattr(inbox, "note_silence", lambda: None)
            cable.setattr(inbox.transport, "write", lambda _data: None)
            bench.clock.sleep_s(3.0)
        assert bench.lamp_duty(bench.clock.now_s()) == 0.0
        assert board.counters.silences == 0
        assert board.state().faults == Fault.WATCHDOG
        bench.clock.sleep_s(0.3)
        state = board.state()
        assert (state.lamp_duty, state.faults) == (0.5, Fault(0))


def test_the_end_of_a_move_is_known_more_exactly_than_the_arrival_of_its_event() -> None:
    bench = bench_with()
    with bench.open_board() as board:
        board.home(("z",))
        settled_s = board.z.approach_up(500.0)
        last_edge_s = bench.stub.machine.axes[2].end_s
        assert settled_s - board.z.config.settle_s == pytest.approx(last_edge_s, abs=0.0006)
        assert settled_s - board.z.config.settle_s >= last_edge_s
        assert board.counters == LinkCounters()


def test_the_board_clock_is_mapped_by_the_ping_with_the_smallest_round_trip() -> None:
    clock = ClockMap()
    assert (clock.host_s(1.0), clock.latest_host_s(1.0)) == (None, None)
    clock.note(sent_s=100.0, received_s=100.5, board_time_s=0.4)
    clock.note(sent_s=101.0, received_s=101.002, board_time_s=1.001)
    clock.note(sent_s=102.0, received_s=102.3, board_time_s=2.0)
    assert clock.host_s(5.0) == pytest.approx(105.0)
    assert clock.latest_host_s(5.0) == pytest.approx(105.001)
    for i in range(200):  # the best one is now too old
        clock.note(sent_s=200.0 + i, received_s=200.01 + i, board_time_s=100.105 + i)
    assert clock.host_s(100.0) == pytest.approx(199.9)
    assert clock.latest_host_s(100.0) == pytest.approx(199.905)
    clock.forget()
    assert clock.host_s(1.0) is None
