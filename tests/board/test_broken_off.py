"""A motion that is stopped by what is done meanwhile knows where it stands, and the next one ends where it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parfocal.board.errors import MoveBrokenOff, MoveStopped
from parfocal.board.link.link import Link
from parfocal.board.motion.gear import Engagement
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench

if TYPE_CHECKING:
    from tests.board.conftest import HealthyBoard

pytestmark = pytest.mark.usefixtures("far_side")

Place = tuple[float, float, float]
HERE: Place = (20_000.0, 10_000.0, 2500.0)
NEAR_UM = 0.3125 / 2 + 0.1  # half a step of Z, and what is left of a swing


def arrive(board: Board, place_um: Place) -> None:
    board.arrive(x_um=place_um[0], y_um=place_um[1], z_um=place_um[2], either_way=True)


def shifted(place_um: Place, by_um: Place) -> Place:
    return place_um[0] + by_um[0], place_um[1] + by_um[1], place_um[2] + by_um[2]


def true_um(bench: VirtualBench) -> Place:
    bench.clock.sleep_s(0.5)
    return bench.true_um(bench.clock.now_s())


def is_over(bench: VirtualBench, after_s: float) -> Callable[[], bool]:
    ends_s = bench.clock.now_s() + after_s
    return lambda: bench.clock.now_s() >= ends_s


def test_work_that_has_seen_enough_stops_the_motion_on_a_ramp(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        arrive(board, HERE)
        began_s = bench.clock.now_s()
        with (
            pytest.raises(MoveBrokenOff, match=r"move to x=20422.* broken off"),
            board.meanwhile(is_over(bench, 0.04)),
        ):
            arrive(board, (20_422.0, 10_000.0, 2500.0))
        assert bench.clock.now_s() - began_s < 0.1
        x_um, y_um, z_um = true_um(bench)
        assert 20_050.0 < x_um < 20_350.0
        assert (x_um, y_um, z_um) == pytest.approx((board.x.stage_um, 10_000.0, 2500.0), abs=NEAR_UM)
        assert [axis.engagement for axis in board.axes.values()] == [Engagement.UP] * 3
        # The way back is short, and no longer than it must be.
        began_s = bench.clock.now_s()
        arrive(board, HERE)
        assert bench.clock.now_s() - began_s < 0.12
        assert true_um(bench) == pytest.approx(HERE, abs=NEAR_UM)


# Short ways, too: there the play decides.
ACROSS_UM = st.floats(-900.0, 900.0) | st.floats(-60.0, 60.0)


@settings(max_examples=40)
@given(
    to_um=st.tuples(ACROSS_UM, ACROSS_UM, st.floats(-30.0, 30.0)),
    after_s=st.floats(0.0, 0.4),
    then_um=st.tuples(*[st.just(0.0) | st.floats(-40.0, 40.0)] * 3),
    is_back=st.booleans(),
)
def test_whenever_a_way_is_broken_off_the_next_one_ends_where_it_should(
    healthy_board: HealthyBoard, to_um: Place, after_s: float, then_um: Place, is_back: bool
) -> None:
    with healthy_board() as (bench, board):
        arrive(board, HERE)
        is_broken_off = False
        try:
            with board.meanwhile(is_over(bench, after_s)):
                arrive(board, shifted(HERE, to_um))
        except MoveBrokenOff:
            is_broken_off = True
        ended_um = true_um(bench)
        if is_broken_off:
            assert HERE[2] - 80.0 < ended_um[2] < HERE[2] + 40.0
        x, y, z = board.axes.values()
        target_um = HERE if is_back else shifted((x.position_um, y.position_um, z.position_um), then_um)
        arrive(board, target_um)
        # Half a step of X and Y is 0.625 um.
        assert true_um(bench)[:2] == pytest.approx(target_um[:2], abs=0.75)
        assert true_um(bench)[2] == pytest.approx(target_um[2], abs=NEAR_UM)


def test_a_stop_by_somebody_else_is_never_taken_for_it(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        arrive(board, HERE)
        ends = is_over(bench, 0.04)

        def work() -> bool:
            if not ends():
                return False
            board.stop()
            return True

        with pytest.raises(MoveStopped) as stopped, board.meanwhile(work):
            arrive(board, (20_422.0, 10_000.0, 2500.0))
        assert not isinstance(stopped.value, MoveBrokenOff)


def test_nor_is_a_later_one(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        arrive(board, HERE)
        with pytest.raises(MoveBrokenOff), board.meanwhile(is_over(bench, 0.04)):
            arrive(board, (20_422.0, 10_000.0, 2500.0))
        ends, stops = is_over(bench, 0.04), [board.stop]

        def work() -> bool:
            if ends() and stops:
                stops.pop()()
            return False

        with pytest.raises(MoveStopped) as stopped, board.meanwhile(work):
            arrive(board, (20_844.0, 10_000.0, 2500.0))
        assert not isinstance(stopped.value, MoveBrokenOff)


def test_nor_is_one_that_comes_after_it(healthy_board: HealthyBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = Link.stop

    def twice(link: Link) -> None:
        stop(link)
        stop(link)  # as by another thread

    with healthy_board() as (bench, board):
        arrive(board, HERE)
        monkeypatch.setattr(Link, "stop", twice)
        with pytest.raises(MoveStopped) as stopped, board.meanwhile(is_over(bench, 0.04)):
            arrive(board, (20_422.0, 10_000.0, 2500.0))
        assert not isinstance(stopped.value, MoveBrokenOff)


def test_one_that_comes_when_the_motion_is_over_breaks_off_the_next_part(
    healthy_board: HealthyBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Link.stop
    with healthy_board() as (bench, board):
        arrive(board, HERE)

        def late(link: Link) -> None:
            bench.clock.sleep_s(0.5)
            stop(link)

        monkeypatch.setattr(Link, "stop", late)
        with pytest.raises(MoveBrokenOff, match=r"z=2490"), board.meanwhile(is_over(bench, 0.04)):
            arrive(board, (20_000.0, 10_000.0, 2490.0))  # Z goes below it, then up
        assert true_um(bench)[2] < 2490.0 - 1.0
        monkeypatch.undo()
        arrive(board, HERE)
        assert true_um(bench) == pytest.approx(HERE, abs=NEAR_UM)


def test_after_the_block_and_without_a_motion_nothing_is_broken_off(healthy_board: HealthyBoard) -> None:
    with healthy_board() as (bench, board):
        arrive(board, HERE)
        with board.meanwhile(lambda: True):
            pass
        arrive(board, (20_100.0, 10_000.0, 2500.0))
        with pytest.raises(MoveBrokenOff), board.meanwhile(lambda: True):
            arrive(board, HERE)
        with board.meanwhile(lambda: False):
            arrive(board, HERE)
        assert true_um(bench) == pytest.approx(HERE, abs=NEAR_UM)
