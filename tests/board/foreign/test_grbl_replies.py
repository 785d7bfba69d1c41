"""Lines and replies of a Grbl board that are lost, late or damaged: never a silently wrong position."""

from __future__ import annotations

import random

import pytest

from parfocal.board.errors import BoardError, LinkTimeout, MoveRefused, MoveStopped
from tests.board.foreign.benches import homed_grbl, once, true_z_um


def test_a_lost_line_is_told_and_not_sent_again() -> None:
    _, stub, board = homed_grbl()
    stub.to_board = once(b"$J=", lambda _: b"")
    with pytest.raises(LinkTimeout, match="not acknowledged, and nothing moved"):
        board.z.approach_up(500.0)
    assert stub.moves_begun == 0
    board.z.approach_up(500.0)
    assert board.z.position_um == 500.0


def test_a_lost_ok_moves_once_and_arrives() -> None:
    bench, stub, board = homed_grbl()
    zero_um = true_z_um(bench)
    stub.to_host = once(b"ok", lambda _: b"")
    board.z.approach_up(500.0)
    assert stub.moves_begun == 1
    assert true_z_um(bench) - zero_um == pytest.approx(500.0, abs=0.05)


def test_a_line_that_lost_a_digit_is_noticed_by_the_position() -> None:
    bench, stub, board = homed_grbl()
    stub.to_board = once(b"$J=", lambda data: data.replace(b"Z-4.5", b"Z-4."))
    with pytest.raises(MoveStopped, match=r"ended at .* um.*damaged on the way"):
        board.z.approach_up(500.0)
    zero_um = true_z_um(bench) - board.z.position_um
    board.z.approach_up(500.0)
    assert true_z_um(bench) - zero_um == pytest.approx(500.0, abs=1.0)


def test_a_late_ok_answers_no_later_line() -> None:
    _, stub, board = homed_grbl()
    held: list[bytes] = []

    def hold(data: bytes) -> bytes:
        held.append(data)
        return b""

    stub.to_host = once(b"ok", hold)
    board.z.approach_up(500.0)
    stub.say("ok")
    stub.settings[132] = 1.5
    with pytest.raises(MoveRefused, match="error:15"):
        board.z.approach_up(3000.0)


def test_a_board_that_is_still_busy_with_a_line_is_sent_no_other() -> None:
    bench, stub, board = homed_grbl()
    answers: list[bytes] = []

    def hold(data: bytes) -> bytes:
        """Lines are answered in their order, status reports at once."""
        if not data.startswith((b"ok", b"error")):
            return data
        answers.append(data)
        return b""

    def release() -> None:
        stub.to_host = lambda data: data
        for answer in answers:
            stub.say(answer.decode().strip())

    stub.to_host = hold
    board.z.approach_up(500.0)
    stub.settings[132] = 1.5
    bench.clock.call_at(bench.clock.now_s() + 0.05, release)
    with pytest.raises(MoveRefused, match="error:15"):
        board.z.approach_up(3000.0)
    assert answers == [b"ok\r\n"]


def test_one_damaged_report_is_no_position() -> None:
    _, stub, board = homed_grbl()
    board.z.approach_up(1500.0)
    stub.to_host = once(b"<Idle", lambda data: data.replace(b",-3.500|", b",-2.500|"))
    board.z.read_position()
    assert board.z.position_um == 1500.0


@pytest.mark.parametrize("seed", range(2))
def test_on_a_noisy_cable_every_move_is_right_or_an_error(seed: int) -> None:
    bench, stub, board = homed_grbl()
    zero_um = true_z_um(bench)
    draw = random.Random(seed)

    def damage(data: bytes) -> bytes:
        if draw.random() > 0.06:
            return data
        kind, at = draw.randrange(3), draw.randrange(len(data))
        if kind == 0:
            return b""
        if kind == 1:
            return data[:at] + data[at + 1 :]
        return data[:at] + bytes((data[at] ^ 1 << draw.randrange(7),)) + data[at + 1 :]

    stub.to_board = stub.to_host = damage
    n_right = 0
    for _ in range(25):
        target_um = draw.uniform(100.0, 4900.0)
        try:
            board.z.approach_up(target_um)
        except BoardError:
            stub.to_board = stub.to_host = lambda data: data
            board.clear_faults()
            board.home()
            stub.to_board = stub.to_host = damage
            continue
        n_right += 1
        assert true_z_um(bench) - zero_um == pytest.approx(target_um, abs=1.0)
    assert n_right > 5
