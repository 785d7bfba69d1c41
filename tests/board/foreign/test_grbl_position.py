"""When a Grbl board knows its position: homing, and all that ends it."""

from __future__ import annotations

import pytest

from parfocal.board.errors import MoveRefused, PositionLost
from tests.board.foreign.benches import grbl, homed_grbl


def test_unhomed_board_moves_nothing() -> None:
    bench, stub = grbl()
    with bench.open_board() as board:
        assert not board.z.is_homed
        assert board.status().z.position_um is None
        with pytest.raises(MoveRefused, match="not homed"):
            board.z.approach_up(100.0)
    assert stub.moves_begun == 0


def test_homing_is_known_to_the_next_command() -> None:
    bench, _, board = homed_grbl()
    board.z.approach_up(2500.0)
    board.close()
    with bench.open_board() as again:
        assert again.z.is_homed
        assert again.z.position_um == 2500.0


@pytest.mark.parametrize("how", ["unlocked by hand", "restarted"])
def test_an_unlocked_or_restarted_board_is_not_homed(how: str) -> None:
    bench, stub, board = homed_grbl()
    board.close()
    if how == "restarted":
        stub.restart()
    else:
        stub.receive(b"\x18", bench.clock.now_s())
    stub.receive(b"$X\n", bench.clock.now_s())
    with bench.open_board() as again:
        assert again.status().faults == ()
        assert not again.z.is_homed
        with pytest.raises(MoveRefused, match="not homed"):
            again.z.approach_up(100.0)


def test_homing_one_axis_makes_the_others_read_their_position_again() -> None:
    bench, _, board = homed_grbl()
    board.x.approach_up(900.0)
    board.home(("z",))
    board.x.approach_up(500.0)
    bench.clock.sleep_s(1.0)
    assert bench.true_um(bench.clock.now_s())[0] == pytest.approx(500.0, abs=2.0)


def test_emergency_stop_forgets_the_position() -> None:
    bench, _, board = homed_grbl()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.estop)
    with pytest.raises(PositionLost):
        board.z.approach_up(3000.0)
    assert not board.z.is_homed
    board.clear_faults()
    board.home()
    assert board.z.is_homed


def test_stop_during_homing_ends_it() -> None:
    bench, stub = grbl()
    board = bench.open_board()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.stop)
    with pytest.raises(PositionLost, match="reset while homing"):
        board.home()
    assert stub.moves_begun == 0
    board.home()
    assert board.z.is_homed


def test_a_restart_during_a_move_loses_the_position() -> None:
    bench, stub, board = homed_grbl()
    bench.clock.call_at(bench.clock.now_s() + 0.5, stub.restart)
    with pytest.raises(PositionLost, match="restarted"):
        board.z.approach_up(3000.0)
    with pytest.raises(MoveRefused, match="not homed"):
        board.z.approach_up(100.0)


def test_a_restart_whose_greeting_is_lost_is_noticed_before_the_next_move() -> None:
    _, stub, board = homed_grbl()
    board.z.approach_up(300.0)
    n_moves = stub.moves_begun
    stub.to_host = lambda data: b"" if data.startswith((b"Grbl", b"[MSG", b"\r")) else data
    stub.restart()
    with pytest.raises(PositionLost, match="not begun"):
        board.z.approach_up(500.0)
    assert stub.moves_begun == n_moves


def test_a_hit_limit_switch_loses_the_position_and_can_be_cleared() -> None:
    bench, stub, board = homed_grbl()
    stub.axes[2].switches.upper_um = 1000.0
    with pytest.raises(PositionLost, match="limit switch was hit"):
        board.z.approach_up(3000.0)
    with pytest.raises(PositionLost):
        board.status()
    board.close()
    with bench.open_board() as again:  # a board that answers nothing but a reset
        assert not again.z.is_homed
        again.home()
        assert again.z.is_homed


def test_a_switch_that_is_not_found_is_told() -> None:
    bench, stub = grbl()
    stub.axes[2].switches.press_um = -1e9
    with bench.open_board() as board, pytest.raises(PositionLost, match="no switch was found"):
        board.home()


def test_homing_that_ends_elsewhere_is_refused() -> None:
    bench, stub = grbl()
    with bench.open_board() as board:
        stub.settings[27] = 0.5  # as after another program has changed it
        with pytest.raises(PositionLost, match="ended elsewhere"):
            board.home()
        assert not board.z.is_homed
