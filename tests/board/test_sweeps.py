"""Sweeps: X, or Y, and Z along a straight line while the stage does not stop, in either engagement of both gears."""

import numpy as np
import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused, MoveStopped
from parfocal.board.own.board import Along, Board, SweepBegin
from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.board.stub.virtual_bench import VirtualBench

SPEED_UM_PER_S = 6000.0


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
    # Two parts with different slopes.
    for on_um, z_um in ((3000.0, 2500.0 + 8.0 * z_way), (5000.0, None)):
        to_um = start_um[along] + way * on_um
        to_z_um = board.z.stage_um + 2.5 * z_way if z_um is None else z_um
        began_s, began_um = bench.clock.now_s(), bench.true_um(bench.clock.now_s())
        length_um, z0_um = to_um - began_um[k], began_um[2]
        board.sweep(to_um, to_z_um, SPEED_UM_PER_S, along)
        for time_s in np.linspace(began_s, bench.clock.now_s(), 40):
            at_um = bench.true_um(time_s)
            on_line_um = z0_um + (to_z_um - z0_um) * (at_um[k] - began_um[k]) / length_um
            assert at_um[2] == pytest.approx(on_line_um, abs=0.45)  # a step, and the rounding of the speed
            assert bench.clock.now_s() - began_s < abs(length_um) / SPEED_UM_PER_S + 0.1
            assert at_um[1 - k] == pytest.approx(start_um[across], abs=0.1)
    bench.clock.sleep_s(0.2)
    end_um = bench.true_um(bench.clock.now_s())
    assert (board.axes[along].stage_um, board.z.stage_um) == pytest.approx((end_um[k], end_um[2]), abs=0.1)


@pytest.mark.parametrize("length_um", [110.0, 325.0, 450.0])
def test_a_part_too_short_for_full_speed_is_as_straight(
    bench: VirtualBench, board: Board, length_um: float
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    bench.clock.sleep_s(0.2)
    began_s = bench.clock.now_s()
    board.sweep(20_000.0 + length_um, 2506.0, SPEED_UM_PER_S)
    for time_s in np.linspace(began_s, bench.clock.now_s(), 40):
        x_um, _, z_um = bench.true_um(time_s)
        assert z_um == pytest.approx(2500.0 + 6.0 * (x_um - 20_000.0) / length_um, abs=0.45)


def test_positions_armed_before_a_sweep_trigger_in_every_part_of_it(
    bench: VirtualBench, board: Board
) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=True, z_down=False))
    off_um = board.x.stage_um - board.x.position_um
    board.trigger_at("x", TriggerPositions(19_500.0 - off_um, -390.0, 8), Flash(1e-4, 14e-6, 1.0))
    board.sweep(18_000.0, 2504.0, SPEED_UM_PER_S)
    board.sweep(16_000.0, 2505.0, SPEED_UM_PER_S)
    frames = board.take_triggered_frames()
    assert [frame.index for frame in frames] == list(range(8))
    seen_um = [bench.true_um(frame.trigger_s)[0] for frame in frames]
    assert seen_um == pytest.approx([19_500.0 - 390.0 * k for k in range(8)], abs=2.0)


def test_a_sweep_against_the_gear_or_beyond_a_limit_moves_nothing(bench: VirtualBench, board: Board) -> None:
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    before_um = bench.true_um(bench.clock.now_s())
    with pytest.raises(ValueError, match="z cannot sweep to 2499.00 um: its gear is engaged up"):
        board.sweep(21_000.0, 2499.0, SPEED_UM_PER_S)
    with pytest.raises(ValueError, match="x cannot sweep"):
        board.sweep(19_000.0, 2501.0, SPEED_UM_PER_S)
    with pytest.raises(MoveRefused, match="limit is"):
        board.sweep(80_000.0, 2501.0, SPEED_UM_PER_S)
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
        board.sweep(23_000.0, 2504.0, SPEED_UM_PER_S)
        board.sweep(26_000.0, 2506.0, SPEED_UM_PER_S)
    lasted_s = bench.clock.now_s() - began_s
    assert len(at_um) > 10
    assert at_um == sorted(at_um)
    assert 20_000.0 <= at_um[0] < 20_500.0
    assert at_um[-1] > 25_000.0
    n_done = len(at_um)
    board.ready(SweepBegin(20_000.0, 10_000.0, 2500.0, is_down=False, z_down=False))
    began_s = bench.clock.now_s()
    board.sweep(23_000.0, 2504.0, SPEED_UM_PER_S)
    board.sweep(26_000.0, 2506.0, SPEED_UM_PER_S)
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
        board.sweep(26_000.0, 2506.0, SPEED_UM_PER_S)
    assert 22_000.0 < bench.true_um(bench.clock.now_s())[0] < 25_000.0
