"""Axes that move at once: as exact as one after the other, and faster."""

from typing import Any

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, MoveRefused, MoveStopped
from parfocal.board.motion.gear import Engagement
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench

HERE_UM: dict[str, Any] = {"x_um": 20_000.0, "y_um": 10_000.0, "z_um": 2500.0}


@pytest.fixture
def bench() -> VirtualBench:
    return VirtualBench()


@pytest.fixture
def board(bench: VirtualBench) -> Board:
    opened = bench.open_board(BoardConfig())
    opened.home()
    opened.arrive(**HERE_UM)
    return opened


def true_um(bench: VirtualBench, settled_s: float) -> tuple[float, float, float]:
    bench.clock.advance_to(max(settled_s, bench.clock.now_s()) + 1.0)
    return bench.true_um(bench.clock.now_s())


@pytest.mark.parametrize(
    "step_um", [(400.0, 0.0, 2.5), (-400.0, 0.0, -2.5), (-1.25, 350.0, 0.0), (0.0, 0.0, 0.0)]
)
@pytest.mark.parametrize("either_way", [False, True])
def test_every_axis_arrives_exactly_where_it_was_sent(
    bench: VirtualBench, board: Board, step_um: tuple[float, float, float], either_way: bool
) -> None:
    there = [at_um + by_um for at_um, by_um in zip(HERE_UM.values(), step_um, strict=True)]
    x_um, y_um, z_um = there
    settled_s = board.arrive(x_um=x_um, y_um=y_um, z_um=z_um, either_way=either_way)
    assert true_um(bench, settled_s) == pytest.approx(there, abs=0.1)
    assert [axis.stage_um for axis in board.axes.values()] == there
    assert board.z.engagement is Engagement.UP


@pytest.mark.parametrize("one_by_one", [False, True])
def test_z_is_not_at_rest_before_x_and_y_are(board: Board, one_by_one: bool) -> None:
    if one_by_one:
        settled_s = board.across(x_um=20_400.0, y_um=10_000.0)
    else:
        settled_s = board.arrive(x_um=20_400.0, y_um=10_000.0, z_um=2500.0)
    # Z stands where it should already, and has for long.
    assert board.z.approach_up(2500.0) == settled_s
    # And 2.5 um take it less time than X needs to come to rest.
    assert board.z.approach_up(2502.5) >= settled_s


def test_x_y_and_z_move_at_the_same_time(bench: VirtualBench, board: Board) -> None:
    began_s = bench.clock.now_s()
    board.arrive(x_um=20_400.0, y_um=10_350.0, z_um=2498.0)
    # X alone takes 0.147 s; Z goes 24 um down meanwhile and comes up 22 um, 0.06 s.
    assert bench.clock.now_s() - began_s == pytest.approx(0.147 + 0.060, abs=0.01)


def test_backwards_by_the_shortest_way_takes_no_longer_than_forwards(
    bench: VirtualBench, board: Board
) -> None:
    def step_s(to_um: float) -> float:
        began_s = bench.clock.now_s()
        board.arrive(x_um=to_um, y_um=HERE_UM["y_um"], z_um=HERE_UM["z_um"], either_way=True)
        return bench.clock.now_s() - began_s

    first_s, forwards_s = step_s(20_400.0), step_s(20_800.0)
    turned_s, backwards_s = step_s(20_400.0), step_s(20_000.0)
    assert first_s == forwards_s
    assert backwards_s == pytest.approx(forwards_s, abs=1e-6)
    assert turned_s < forwards_s + 0.02
    assert board.x.engagement is Engagement.DOWN


def test_a_place_beyond_a_limit_moves_no_axis(bench: VirtualBench, board: Board) -> None:
    for beyond in ({"z_um": 6000.0}, {"y_um": 90_000.0}, {"x_um": 10.0}):
        with pytest.raises(MoveRefused, match="nothing moved"):
            board.arrive(**{**HERE_UM, **beyond})
        assert true_um(bench, 0.0) == pytest.approx(list(HERE_UM.values()), abs=0.1)
    board.arrive(**HERE_UM)


def test_after_a_stop_on_the_way_every_axis_knows_where_it_is(bench: VirtualBench, board: Board) -> None:
    bench.clock.call_at(bench.clock.now_s() + 0.05, board.stop)
    with pytest.raises(MoveStopped):
        board.arrive(x_um=22_000.0, y_um=12_000.0, z_um=2600.0)
    x_um, y_um, z_um = true_um(bench, 0.0)
    assert (board.x.position_um, board.y.position_um, board.z.position_um) == pytest.approx(
        (x_um, y_um, z_um), abs=1.3
    )
    assert 20_000.0 < x_um < 22_000.0
    settled_s = board.arrive(**HERE_UM)
    assert true_um(bench, settled_s) == pytest.approx(list(HERE_UM.values()), abs=0.1)


def test_after_a_reboot_on_the_way_nothing_moves_before_homing(bench: VirtualBench, board: Board) -> None:
    bench.clock.call_at(bench.clock.now_s() + 0.05, bench.stub.reboot)
    with pytest.raises(BoardError):
        board.arrive(x_um=22_000.0, y_um=12_000.0, z_um=2600.0)
    with pytest.raises(MoveRefused, match="not homed"):
        board.arrive(**HERE_UM)
    board.home()
    settled_s = board.arrive(**HERE_UM)
    assert true_um(bench, settled_s) == pytest.approx(list(HERE_UM.values()), abs=0.1)
