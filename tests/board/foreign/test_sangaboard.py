"""A Sangaboard: relative moves, no switches. An error or the right position, never a silently wrong one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from parfocal.board.errors import (
    BadSettings,
    BoardError,
    BoardNotFound,
    LinkTimeout,
    MoveRefused,
    MoveStopped,
    PositionLost,
    ProtocolMismatch,
)
from parfocal.board.foreign.memory import FileMemory, Known
from parfocal.board.open import probe_foreign
from tests.board.foreign.benches import SANGABOARD, declared_sangaboard, once, sangaboard, true_z_um


def test_it_refuses_to_home_and_says_what_to_do() -> None:
    bench, stub = sangaboard()
    with bench.open_board() as board:
        assert not board.capabilities.has_homing
        assert board.status().z.position_um is None
        with pytest.raises(MoveRefused, match=r"no switches.*`parfocal home --here X,Y,Z`"):
            board.home()
        with pytest.raises(MoveRefused, match="not homed"):
            board.z.approach_up(800.0)
    assert stub.moves_begun == 0


def test_after_a_declaration_heights_are_right_from_both_sides() -> None:
    bench, _, board = declared_sangaboard()
    board.z.approach_up(1000.0)
    for target_um in (2500.0, 2400.0, 2450.0):
        board.z.approach_up(target_um)
        assert true_z_um(bench) == pytest.approx(board.z.position_um, abs=0.05)


def test_a_position_outside_the_limits_is_not_declared() -> None:
    bench, _ = sangaboard()
    with bench.open_board() as board:
        with pytest.raises(ValueError, match=r"z=9000.0 um is outside the limits"):
            board.declare(0.0, 0.0, 9000.0)
        assert not board.z.is_homed


def test_limits_hold_though_the_board_has_none() -> None:
    _, stub, board = declared_sangaboard()
    with pytest.raises(MoveRefused, match="nothing moved"):
        board.z.approach_up(4999.0)
    assert stub.moves_begun == 1


def test_a_declaration_is_known_to_the_next_command() -> None:
    bench, _, board = declared_sangaboard()
    board.z.approach_up(2500.0)
    board.close()
    with bench.open_board() as again:
        assert again.z.is_homed
        assert again.z.position_um == 2500.0


@pytest.mark.parametrize("how", ["restart", "moved by another program", "killed host"])
def test_a_declaration_ends_with_a_restart_or_a_foreign_move(how: str) -> None:
    bench, stub, board = declared_sangaboard()
    board.z.approach_up(2500.0)
    if how != "killed host":
        board.close()
    if how == "restart":
        stub.restart()
    if how == "moved by another program":
        stub.receive(b"mrz 100\n", bench.clock.now_s())
        bench.clock.sleep_s(1.0)
    with bench.open_board() as again:
        assert not again.z.is_homed


def test_a_declaration_right_after_power_up_is_known_to_the_next_command() -> None:
    bench, stub, board = declared_sangaboard()
    assert stub.moves_begun == 1  # one step of x, so that the counters differ from those after a restart
    assert board.x.position_um == 6001.25
    board.close()
    with bench.open_board() as again:
        assert (again.x.position_um, again.z.position_um) == (6001.25, 700.0)
        assert again.z.is_homed


def test_counters_that_a_restart_may_leave_are_not_believed() -> None:
    bench, _, board = declared_sangaboard()
    board.x.move_to(6000.0)
    board.close()  # all counters are 0
    with bench.open_board() as again:
        assert not again.z.is_homed


def test_a_lost_line_is_told_and_not_sent_again() -> None:
    _, stub, board = declared_sangaboard()
    stub.to_board = once(b"mrz", lambda _: b"")
    with pytest.raises(LinkTimeout, match="not acknowledged, and nothing moved"):
        board.z.approach_up(1500.0)
    assert stub.moves_begun == 1


def test_a_lost_answer_moves_once_and_arrives() -> None:
    bench, stub, board = declared_sangaboard()
    stub.to_host = once(b"done.", lambda _: b"")
    board.z.approach_up(1500.0)
    assert stub.moves_begun == 2
    assert true_z_um(bench) == pytest.approx(1500.0, abs=0.05)


@pytest.mark.parametrize("damaged", [b"mrz 25\n", b"mrx 2500\n", b"mrz -2500\n"])
def test_a_damaged_line_is_noticed_by_the_position(damaged: bytes) -> None:
    bench, stub, board = declared_sangaboard()
    board.z.approach_up(1000.0)
    stub.to_board = once(b"mrz", lambda _: damaged)
    with pytest.raises((MoveStopped, LinkTimeout)):
        board.z.approach_up(2000.0)
    board.z.approach_up(2000.0)
    board.x.approach_up(7000.0)
    assert true_z_um(bench) == pytest.approx(2000.0, abs=0.05)
    bench.clock.sleep_s(1.0)
    assert bench.true_um(bench.clock.now_s())[0] == pytest.approx(7000.0, abs=0.05)


def test_stop_ends_a_move_with_a_known_position() -> None:
    bench, _, board = declared_sangaboard()
    bench.clock.call_at(bench.clock.now_s() + 0.6, board.stop)
    with pytest.raises(MoveStopped, match="stopped at"):
        board.z.approach_up(4000.0)
    assert 700.0 < board.z.position_um < 2000.0
    board.z.approach_up(2500.0)
    assert true_z_um(bench) == pytest.approx(2500.0, abs=0.05)


def test_emergency_stop_forgets_the_position_and_darkens() -> None:
    bench, _, board = declared_sangaboard()
    board.lamp(0.5)
    bench.clock.call_at(bench.clock.now_s() + 0.6, board.estop)
    with pytest.raises(BoardError):
        board.z.approach_up(4000.0)
    assert not board.z.is_homed
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0


def test_a_restart_during_a_move_loses_the_position() -> None:
    bench, stub, board = declared_sangaboard()
    bench.clock.call_at(bench.clock.now_s() + 0.6, stub.restart)
    with pytest.raises(PositionLost, match=r"restarted.*--here"):
        board.z.approach_up(4000.0)
    assert not board.z.is_homed


def test_the_lamp_is_dimmed_read_back_and_dark_after_close() -> None:
    bench, stub, board = declared_sangaboard()
    board.lamp(0.6)
    assert bench.lamp_duty(bench.clock.now_s()) == 0.6
    stub.to_board = once(b"led_cc 0.3", lambda data: data.replace(b"0.3", b"0.9"))
    with pytest.raises(BoardError, match="reports 0.9"):
        board.lamp(0.3)
    board.close()
    assert bench.lamp_duty(bench.clock.now_s()) == 0.0


def test_a_board_without_illumination_has_no_lamp() -> None:
    bench, stub = sangaboard()
    stub.has_lamp = False
    with bench.open_board() as board:
        assert not board.capabilities.has_lamp


def test_an_unplugged_board_is_not_found_and_forgets() -> None:
    bench, stub, board = declared_sangaboard()
    bench.clock.call_at(bench.clock.now_s() + 0.6, stub.unplug)
    with pytest.raises(BoardNotFound):
        board.z.approach_up(4000.0)
    board.close()
    assert bench.memory.load() is None


def test_firmware_that_cannot_be_stopped_is_refused() -> None:
    bench, stub = sangaboard()
    stub.take_output(bench.clock.now_s())
    stub.greeting = "Sangaboard Firmware v0.5"
    with pytest.raises(ProtocolMismatch, match="nothing could stop it. Flash firmware v1"):
        bench.open_board()


def test_another_speed_is_refused_and_found_by_a_probe() -> None:
    bench, stub = sangaboard()
    stub.step_delay_us = 1000
    with pytest.raises(BadSettings, match=r"dt 1000 .* mean 1250 um/s, board.x.speed_um_per_s is 4000"):
        bench.open_board()
    found = probe_foreign(bench.cable(), bench.clock, SANGABOARD, bench.memory)
    assert (found.firmware, found.state) == ("Sangaboard Firmware v1.0.1", "resting")
    assert found.problems


def test_what_was_heard_is_told() -> None:
    bench, stub = sangaboard()
    stub.take_output(bench.clock.now_s())
    stub.greeting = "Grbl 1.1h ['$' for help]"
    with pytest.raises(LinkTimeout, match="does not answer as a Sangaboard: heard text: Grbl 1.1h"):
        bench.open_board()


@pytest.mark.parametrize("seed", range(2))
def test_on_a_noisy_cable_every_move_is_right_or_an_error(seed: int) -> None:
    bench, stub, board = declared_sangaboard()
    draw = random.Random(seed)

    def damage(data: bytes) -> bytes:
        if draw.random() > 0.06:
            return data
        at = draw.randrange(len(data))
        if draw.random() < 0.5:
            return data[:at] + data[at + 1 :]
        return data[:at] + bytes((data[at] ^ 1 << draw.randrange(7),)) + data[at + 1 :]

    n_right = 0
    for _ in range(25):
        target_um = draw.uniform(500.0, 4500.0)
        stub.to_board = stub.to_host = damage
        try:
            board.z.approach_up(target_um)
        except BoardError:
            stub.to_board = stub.to_host = lambda data: data
            board.stop()
            if not board.z.is_homed:
                bench.clock.sleep_s(3.0)
                x_um, y_um, z_um = bench.true_um(bench.clock.now_s())
                board.declare(x_um, y_um, min(max(z_um, 0.0), 4900.0))
            continue
        n_right += 1
        assert true_z_um(bench) == pytest.approx(target_um, abs=21.0)  # a declaration may be off by the play
        assert board.z.position_um == pytest.approx(target_um, abs=0.16)
    assert n_right > 5


def test_a_damaged_file_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    memory = FileMemory("usb:2e8a:000a")
    assert memory.load() is None
    memory.save(Known((1, 2, 3), (4, 5, 6)))
    assert FileMemory("usb:2e8a:000a").load() == Known((1, 2, 3), (4, 5, 6))
    assert FileMemory("/dev/ttyACM0").load() is None
    (path,) = (tmp_path / "parfocal").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    assert memory.load() is None
    memory.save(None)
    assert list((tmp_path / "parfocal").iterdir()) == []


def test_a_move_of_another_program_is_noticed_before_the_next_move() -> None:
    bench, stub, board = declared_sangaboard()
    board.z.approach_up(1500.0)
    stub.receive(b"mrz 300\n", bench.clock.now_s())
    bench.clock.sleep_s(1.0)
    n_moves = stub.moves_begun
    with pytest.raises(
        PositionLost, match=r"not begun: the board reports 1593.75 um where 1500.0 um was left.*--here X,Y,Z`"
    ):
        board.z.approach_up(2000.0)
    assert stub.moves_begun == n_moves


def test_another_axis_that_moves_along_is_noticed() -> None:
    _, stub, board = declared_sangaboard()
    board.x.approach_up(7000.0)
    stub.to_board = once(b"mrz", lambda data: data.replace(b"mrz ", b"mr 4 0 "))
    with pytest.raises(MoveStopped, match="damaged on the way"):
        board.z.approach_up(1500.0)
    board.x.read_position()
    assert board.x.position_um == 7005.0


def test_what_was_remembered_is_forgotten_while_the_board_is_open() -> None:
    bench, _, board = declared_sangaboard()
    board.close()
    assert bench.memory.load() is not None
    with bench.open_board() as again:
        assert again.z.is_homed
        assert bench.memory.load() is None


def test_one_damaged_answer_is_no_position() -> None:
    _, stub, board = declared_sangaboard()
    board.z.approach_up(1500.0)
    stub.to_host = once(b"1 0 ", lambda data: data.replace(b"1 0 2", b"1 0 1"))
    board.z.read_position()
    assert board.z.position_um == 1500.0
