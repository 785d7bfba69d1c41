"""Moves of a Grbl board: right heights, limits, stops, and the lamp beside them."""

from __future__ import annotations

import re

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, MoveRefused, MoveStopped
from parfocal.board.stub.foreign.text_bench import TextBench
from tests.board.foreign.benches import OFFSET_UM, grbl, homed_grbl, once, true_z_um


def test_heights_are_right_from_above_and_from_below() -> None:
    bench, _, board = homed_grbl()
    zero_um = true_z_um(bench)
    assert abs(zero_um) < OFFSET_UM
    for target_um in (2500.0, 2400.0, 2450.0, 10.0 + board.z.overshoot_um):
        board.z.approach_up(target_um)
        assert true_z_um(bench) - zero_um == pytest.approx(board.z.position_um, abs=0.05)
        assert board.z.position_um == pytest.approx(target_um, abs=0.16)


def test_no_line_ever_moves_relatively_or_more_than_one_axis() -> None:
    _, stub, board = homed_grbl()
    board.z.approach_up(300.0)
    board.x.approach_up(900.0)
    jogs = [line for line in stub.lines_heard if "J=" in line]
    assert len(jogs) == stub.moves_begun >= 2
    assert all(re.fullmatch(r"\$J=G21G90G53[XYZ]-?\d+\.\d{5}F\d+\.\d{3}", line) for line in jogs)


def test_limits_hold_on_host_and_board() -> None:
    bench, stub, board = homed_grbl()
    with pytest.raises(MoveRefused, match=r"limit is 0.0..4995.1875 um; nothing moved"):
        board.z.approach_up(4999.0)
    assert stub.moves_begun == 0
    board.close()
    stub.settings[132] = 3.0  # the board's own travel, pull-off included
    with bench.open_board() as smaller:
        assert smaller.z.limits_um[1] == 2000.0


def test_a_target_that_the_board_refuses_moves_nothing() -> None:
    _, stub, board = homed_grbl()
    stub.settings[132] = 1.5
    with pytest.raises(MoveRefused, match=r"soft limits .*error:15.*nothing moved"):
        board.z.approach_up(3000.0)
    assert stub.moves_begun == 0
    assert board.z.position_um == 0.0


def test_a_move_that_is_too_fast_for_the_board_is_refused() -> None:
    bench, stub = grbl()
    stub.settings[112] = 30.0
    with bench.open_board() as board:
        board.home()
        with pytest.raises(MoveRefused, match=r"60 mm/min requested, and \$112 allows 30; nothing moved"):
            board.z.approach_up(100.0)


def test_stop_from_a_timer_ends_a_move_with_a_known_position() -> None:
    bench, _, board = homed_grbl()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.stop)
    with pytest.raises(MoveStopped, match="stopped at"):
        board.z.approach_up(3000.0)
    assert 100.0 < board.z.position_um < 1000.0
    assert board.z.is_homed
    before_um = true_z_um(bench)
    board.z.approach_up(3000.0)
    assert true_z_um(bench) - before_um > 1500.0


def test_a_stop_that_overtakes_its_move_still_ends_it() -> None:
    _, stub, board = homed_grbl()

    def stop_first(data: bytes) -> bytes:
        board.stop()  # while the line is still on its way: the board is idle, and ignores it
        return data

    stub.to_board = once(b"$J=", stop_first)
    with pytest.raises(MoveStopped):
        board.z.approach_up(3000.0)
    assert board.z.position_um < 500.0


def test_the_lamp_is_dimmed_by_the_spindle_and_dark_after_close() -> None:
    bench, _, board = homed_grbl()
    board.lamp(0.6)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.6
    assert board.status().lamp_duty == 0.6
    board.z.approach_up(100.0)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.6
    board.close()
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0


def test_a_board_without_lamp_refuses_light() -> None:
    bench = TextBench(BoardConfig(kind="grbl"))
    with bench.open_board() as board:
        assert not board.capabilities.has_lamp
        with pytest.raises(BoardError, match="this board has none"):
            board.lamp(0.5)
