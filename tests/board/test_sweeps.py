"""Sweeps: X, or Y, without a stop, and Z along straight parts, in either engagement of both gears."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused, MoveStopped
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.motor import Leg, Rates
from parfocal.board.own.board import Board
from parfocal.board.own.sweeping import Along, Knot, StepKnot, SweepBegin, legs_of_z
from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.board.stub.faults import Faults, HostStall
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, Opcode
from parfocal.board.wire.packet import Packet, encode
from tests.board.conftest import DamagedCable

SPEED_UM_PER_S = 6000.0


def to_z(z_um: float) -> list[Knot]:
    """Z goes there at once, from where it stands."""
    return [Knot(20_000.0, 2500.0), Knot(20_500.0, z_um)]


@pytest.fixture
def bench() -> VirtualBench:
    return VirtualBench()


@pytest.fixture
def board(bench: VirtualBench) -> Board:
    opened = bench.open_board(BoardConfig())
    opened.home()
    return opened


@pytest.mark.parametrize(("along", "way"), [("x", 1.0), ("x", -1.0), ("y", 1.0), ("y", -1.0)])
@pytest.mark.parametrize("z_way", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("from_um", [(25_000.0, 2500.5), (15_000.0, 2600.0)])
def test_the_stage_is_on_the_line_at_every_moment_whichever_way_the_gears_are_engaged(
    bench: VirtualBench, board: Board, along: Along, way: float, z_way: float, from_um: tuple[float, float]
) -> None:
    start_um, k = {"x": 20_000.0, "y": 10_000.0}, "xy".index(along)
    across = "y" if along == "x" else "x"
    board.arrive(x_um=from_um[0], y_um=9_000.0, z_um=from_um[1])
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, way < 0.0, z_way < 0.0, along))
    bench.clock.sleep_s(0.2)
    assert bench.true_um(bench.clock.now_s()) == pytest.approx((20_000.0, 10_000.0, 2500.0), abs=0.1)
    # Flat, and two slopes, without a stop.
    places_um = start_um[along] + way * np.array([1000.0, 3000.0, 8000.0])
    heights_um = board.z.stage_um + z_way * np.array([0.0, 8.125, 10.625])
    knots = [Knot(at, z) for at, z in zip(places_um, heights_um, strict=True)]
    began_s = bench.clock.now_s()
    board.sweep(start_um[along] + way * 9000.0, knots, SPEED_UM_PER_S, along)
    ended_s = bench.clock.now_s()
    assert ended_s - began_s < 9000.0 / SPEED_UM_PER_S + 0.12
    seen_um = np.array([bench.true_um(time_s) for time_s in np.linspace(began_s, ended_s, 200)])
    on_line_um = np.interp(way * seen_um[:, k], way * places_um, heights_um)
    assert np.abs(seen_um[:, 2] - on_line_um).max() < 0.45  # a step, and the rounding of the speed
    assert np.abs(seen_um[:, 1 - k] - start_um[across]).max() < 0.1
    bench.clock.sleep_s(0.2)
    end_um = bench.true_um(bench.clock.now_s())
    assert (board.axes[along].stage_um, board.z.stage_um) == pytest.approx((end_um[k], end_um[2]), abs=0.1)


@pytest.mark.parametrize("length_um", [325.0, 450.0])
def test_z_is_on_its_line_too_where_the_stage_speeds_up_and_slows_down(
    bench: VirtualBench, board: Board, length_um: float
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    bench.clock.sleep_s(0.2)
    began_s = bench.clock.now_s()
    knots = [Knot(20_000.0, 2500.0), Knot(20_000.0 + length_um, 2506.25)]
    board.sweep(20_000.0 + length_um, knots, SPEED_UM_PER_S)
    for time_s in np.linspace(began_s, bench.clock.now_s(), 40):
        x_um, _, z_um = bench.true_um(time_s)
        assert z_um == pytest.approx(2500.0 + 6.25 * (x_um - 20_000.0) / length_um, abs=0.75)


def test_z_comes_late_and_arrives_where_its_motor_is_too_slow_for_a_step(
    bench: VirtualBench, board: Board
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    knots = [Knot(21_000.0, 2500.0), Knot(21_010.0, 2520.0), Knot(23_000.0, 2520.0), Knot(23_990.0, 2530.0)]
    board.sweep(24_000.0, knots, SPEED_UM_PER_S)
    bench.clock.sleep_s(0.2)
    assert bench.true_um(bench.clock.now_s())[2] == pytest.approx(2530.0, abs=0.1)
    assert board.z.stage_um == pytest.approx(2530.0, abs=0.2)


def test_a_sweep_whose_z_stays_or_whose_axis_stays_is_a_move(bench: VirtualBench, board: Board) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    board.sweep(22_000.0, [Knot(20_100.0, 2500.0), Knot(21_900.0, 2500.1)], SPEED_UM_PER_S)
    board.sweep(22_000.0, [Knot(22_000.0, 2500.0), Knot(22_000.0, 2503.125)], SPEED_UM_PER_S)
    bench.clock.sleep_s(0.2)
    assert bench.true_um(bench.clock.now_s()) == pytest.approx((22_000.0, 10_000.0, 2503.125), abs=0.1)


knots_on_the_way = st.lists(st.tuples(st.integers(600, 11400), st.integers(0, 60)), min_size=2, max_size=8)


@given(
    knots_on_the_way, st.sampled_from([1, -1]), st.sampled_from([1, -1]), st.sampled_from([1500, 4880, 8000])
)
def test_the_legs_of_z_keep_it_on_its_line(
    drawn: list[tuple[int, int]], way: int, z_way: int, speed: int
) -> None:
    """By the times of the steps of both axes, at full speed. Z is as fast as it must be."""
    places, heights = sorted({at for at, _ in drawn}), sorted(z for _, z in drawn)
    heights = [z - heights[0] for z in heights]
    # No steeper than 12 um from tile to tile.
    assume(
        all(
            z1 - z0 <= 0.1 * (b - a)
            for (a, b), (z0, z1) in zip(pairwise(places), pairwise(heights), strict=False)
        )
    )
    knots = [StepKnot(50_000 + way * at, 8000 + z_way * z) for at, z in zip(places, heights, strict=False)]
    lead = Leg(50_000 + way * 12000, way * 12000, Rates(speed, 60000))
    fast = Rates(1e6, 1e9)
    legs = legs_of_z(lead, knots, fast)
    profile = Trapezoid(12000, speed, 60000)
    reached_s = np.concatenate([[0.0], profile.edge_times_s()])
    z_times_s, ended_s, z_steps = list[float](), 0.0, 8000
    for index, point in enumerate(legs.points):
        assert point.index == index
        assert (point.z_steps - z_steps) * z_way > 0
        began_s = max(ended_s, reached_s[way * (point.at_steps - 50_000)])
        leg = Trapezoid(abs(point.z_steps - z_steps), point.z_speed_steps_per_s, point.z_accel_steps_per_s2)
        z_times_s += (began_s + leg.edge_times_s()).tolist()
        ended_s, z_steps = began_s + leg.duration_s, point.z_steps
    assert z_steps == knots[-1].z_steps
    assert legs.lasts_s == pytest.approx(max(profile.duration_s, ended_s), abs=1e-3)
    line = np.interp(
        np.arange(12001),
        [way * (knot.at_steps - 50_000) for knot in knots],
        [z_way * (knot.z_steps - 8000) for knot in knots],
    )
    done = np.searchsorted(np.array(z_times_s), reached_s, side="right")
    assert np.abs(done - line).max() <= 2.5  # the step to come, and the rounding of knots and speeds


def test_positions_armed_before_a_sweep_trigger_in_every_part_of_it(
    bench: VirtualBench, board: Board
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=True, z_down=False))
    off_um = board.x.stage_um - board.x.position_um
    board.trigger_at("x", TriggerPositions(19_500.0 - off_um, -390.0, 8), Flash(1e-4, 14e-6, 1.0))
    board.sweep(18_000.0, [Knot(19_900.0, 2500.0), Knot(18_000.0, 2504.0)], SPEED_UM_PER_S)
    board.sweep(16_000.0, [Knot(18_000.0, 2504.0), Knot(16_500.0, 2505.0)], SPEED_UM_PER_S)
    frames = board.take_triggered_frames()
    assert [frame.index for frame in frames] == list(range(8))
    seen_um = [bench.true_um(frame.trigger_s)[0] for frame in frames]
    assert seen_um == pytest.approx([19_500.0 - 390.0 * k for k in range(8)], abs=2.0)


def test_a_sweep_against_the_gear_or_beyond_a_limit_moves_nothing(bench: VirtualBench, board: Board) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    before_um = bench.true_um(bench.clock.now_s())
    with pytest.raises(ValueError, match="z cannot sweep to 2499.00 um: its gear is engaged up"):
        board.sweep(21_000.0, to_z(2499.0), SPEED_UM_PER_S)
    with pytest.raises(ValueError, match="x cannot sweep"):
        board.sweep(19_000.0, to_z(2501.0), SPEED_UM_PER_S)
    with pytest.raises(MoveRefused, match="limit is"):
        board.sweep(80_000.0, to_z(2501.0), SPEED_UM_PER_S)
    with pytest.raises(ValueError, match="Z would turn round"):
        board.sweep(21_000.0, [*to_z(2501.0), Knot(20_900.0, 2500.5)], SPEED_UM_PER_S)
    with pytest.raises(MoveRefused, match="limit is"):
        board.ready(SweepBegin(20_000.0, 10_000.0, 5.0, is_down=False, z_down=True))
    assert bench.true_um(bench.clock.now_s())[:2] == pytest.approx(before_um[:2], abs=0.1)


def test_work_is_done_while_the_stage_moves_and_delays_the_next_part_by_one_piece_at_most(
    bench: VirtualBench, board: Board
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    began_s, at_um = bench.clock.now_s(), list[float]()

    def work() -> bool:
        at_um.append(bench.true_um(bench.clock.now_s())[0])
        bench.clock.sleep_s(0.05)
        return False

    with board.meanwhile(work):
        board.sweep(23_000.0, to_z(2504.0), SPEED_UM_PER_S)
        board.sweep(26_000.0, to_z(2506.0), SPEED_UM_PER_S)
    lasted_s = bench.clock.now_s() - began_s
    assert len(at_um) > 10
    assert at_um == sorted(at_um)
    assert 20_000.0 <= at_um[0] < 20_500.0
    assert at_um[-1] > 25_000.0
    n_done = len(at_um)
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    began_s = bench.clock.now_s()
    board.sweep(23_000.0, to_z(2504.0), SPEED_UM_PER_S)
    board.sweep(26_000.0, to_z(2506.0), SPEED_UM_PER_S)
    assert len(at_um) == n_done  # not beyond the block
    assert lasted_s <= bench.clock.now_s() - began_s + 2 * 0.05 + 0.01


def test_a_stop_ends_a_sweep_during_whose_work_it_comes(bench: VirtualBench, board: Board) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    stops = [board.stop]

    def work() -> bool:
        if stops and bench.true_um(bench.clock.now_s())[0] > 22_000.0:
            stops.pop()()
        return False

    with board.meanwhile(work), pytest.raises(MoveStopped):
        board.sweep(26_000.0, to_z(2506.0), SPEED_UM_PER_S)
    assert 22_000.0 < bench.true_um(bench.clock.now_s())[0] < 25_000.0


def test_a_slow_leg_of_z_is_divided_since_its_speed_is_whole_steps_a_second() -> None:
    """11 steps in 4.5 s at 3 steps/s would be a ramp of nearly a second at either end."""
    lead, n_steps = Leg(12_000, 12_000, Rates(1500, 60000)), 6800
    legs = legs_of_z(lead, [StepKnot(1000, 0), StepKnot(1000 + n_steps, 11)], Rates(3200, 80000))
    reached_s = Trapezoid(12_000, 1500, 60000).edge_times_s()
    times_s = [
        reached_s[point.at_steps - 1] + each_s
        for point, before in zip(legs.points, [0, *(p.z_steps for p in legs.points)], strict=False)
        for each_s in Trapezoid(
            point.z_steps - before, point.z_speed_steps_per_s, point.z_accel_steps_per_s2
        ).edge_times_s()
    ]
    expected_s = reached_s[1000 + np.arange(1, 12) * n_steps // 11 - 1]
    assert np.abs(np.array(times_s) - expected_s).max() < 0.6 * 4.5 / 11  # of the time of a step


def test_a_sweep_lasts_as_long_as_a_z_that_comes_late() -> None:
    knots = [StepKnot(1000, 0), StepKnot(1400, 600), StepKnot(11_000, 700)]
    legs = legs_of_z(Leg(12_000, 12_000, Rates(4000, 60000)), knots, Rates(100, 80000))
    assert legs.lasts_s == pytest.approx(1000 / 4000 + 600 / 100 + 9600 / 4000, abs=0.1)
    assert Trapezoid(12_000, 4000, 60000).duration_s < 3.1


ALONG_A_SLOPE = [Knot(20_500.0, 2500.0), Knot(25_000.0, 2505.0), Knot(29_000.0, 2507.5)]


@pytest.mark.parametrize("after_s", [0.3, 0.9, 1.4])
def test_a_sweep_that_the_watchdog_ended_during_a_silence_is_asked_for_again_with_all_its_legs(
    after_s: float,
) -> None:
    bench = VirtualBench(faults=Faults(incidents=(HostStall(on_motion=5, after_s=after_s, stall_s=2.0),)))
    with bench.open_board(BoardConfig()) as board:
        board.home()
        board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
        begun = bench.stub.machine.motions_begun
        assert begun == 4, "the stall is set for the next motion"
        board.sweep(29_500.0, ALONG_A_SLOPE, SPEED_UM_PER_S)
        assert bench.stub.machine.motions_begun == begun + 2
        assert board.counters.silences >= 1
        bench.clock.sleep_s(0.2)
        assert bench.true_um(bench.clock.now_s()) == pytest.approx((29_500.0, 10_000.0, 2507.5), abs=0.1)
        assert board.z.stage_um == pytest.approx(2507.5, abs=0.1)


@pytest.mark.parametrize("on", [Opcode.SWEEP, Opcode.WAY_POINT])
@pytest.mark.parametrize("is_answer", [False, True])
def test_way_points_that_are_lost_with_their_session_are_sent_again_and_the_sweep_moves_once(
    on: Opcode, is_answer: bool
) -> None:
    """Another host opens a session just before the request, or before its answer is read."""
    bench = VirtualBench()
    seen = list[Opcode]()

    def interrupted(packet: Packet, data: bytes) -> bytes:
        kind = Kind.RESPONSE if is_answer else Kind.REQUEST
        if packet.opcode == on and packet.kind == kind:
            seen.append(on)
            if len(seen) == 2:  # of the way points, the second
                hello = messages.Hello(99, layout.schema_hash(), 1, 1)
                other = Packet(Kind.REQUEST, Opcode.HELLO, 0, 7, 0, layout.pack(hello))
                bench.stub.receive(encode(other), bench.clock.now_s())
                bench.stub.take_output()
                return b"" if is_answer else data
        return data

    with Board.open(DamagedCable(bench.transport, interrupted), bench.clock, BoardConfig()) as board:
        board.home()
        for x_um, down in ((20_000.0, False), (20_000.0, False)):
            board.ready(SweepBegin(x_um, 10_000.0, 2500.0, is_down=down, z_down=False))
            begun = bench.stub.machine.motions_begun
            board.sweep(29_500.0, ALONG_A_SLOPE, SPEED_UM_PER_S)
            assert bench.stub.machine.motions_begun == begun + 1
            bench.clock.sleep_s(0.2)
            assert bench.true_um(bench.clock.now_s()) == pytest.approx((29_500.0, 10_000.0, 2507.5), abs=0.1)
        assert board.counters.reconnects == 1


def test_way_points_that_a_watchdog_drops_before_the_sweep_are_sent_again_and_not_for_ever() -> None:
    bench = VirtualBench()
    assert isinstance(bench.stub, StubBoard)
    kept, drops = bench.stub.machine.way_points, [True]

    def dropping(packet: Packet, data: bytes) -> bytes:
        if packet.opcode == Opcode.SWEEP and packet.kind == Kind.REQUEST and drops:
            drops.pop()
            kept.drop()
        return data

    with Board.open(DamagedCable(bench.transport, dropping), bench.clock, BoardConfig()) as board:
        board.home()
        board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
        board.sweep(29_500.0, ALONG_A_SLOPE, SPEED_UM_PER_S)
        assert board.z.stage_um == pytest.approx(2507.5, abs=0.1)
        drops += [True] * 100
        board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
        with pytest.raises(MoveRefused, match="it has dropped the way points"):
            board.sweep(29_500.0, ALONG_A_SLOPE, SPEED_UM_PER_S)
        assert len(drops) == 95
        assert board.x.stage_um == pytest.approx(20_000.0, abs=1.0)
