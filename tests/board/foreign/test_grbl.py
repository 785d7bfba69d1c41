"""A Grbl board: an error or the right position, never a silently wrong one."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import msgspec
import pytest

from parfocal.board.config import BoardConfig
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
from parfocal.board.foreign_board import ForeignBoard
from parfocal.board.open import probe_foreign
from parfocal.board.stub.foreign.grbl_stub import GrblStub
from parfocal.board.stub.foreign.text_bench import TextBench

CONFIG = BoardConfig(kind="grbl", spindle_lamp=True)
OFFSET_UM = 4.0  # between 0 of a homed axis and 0 of the stub's stage: the ramp down of its slow homing leg


def made() -> tuple[TextBench, GrblStub]:
    bench = TextBench(CONFIG)
    assert isinstance(bench.stub, GrblStub)
    return bench, bench.stub


def homed() -> tuple[TextBench, GrblStub, ForeignBoard]:
    bench, stub = made()
    board = bench.open_board()
    board.home()
    return bench, stub, board


def true_z_um(bench: TextBench) -> float:
    bench.clock.sleep_s(0.5)
    return bench.true_um(bench.clock.now_s())[2]


def test_heights_are_right_from_above_and_from_below() -> None:
    bench, _, board = homed()
    zero_um = true_z_um(bench)
    assert abs(zero_um) < OFFSET_UM
    for target_um in (2500.0, 2400.0, 2450.0, 10.0 + board.z.overshoot_um):
        board.z.approach_up(target_um)
        assert true_z_um(bench) - zero_um == pytest.approx(board.z.position_um, abs=0.05)
        assert board.z.position_um == pytest.approx(target_um, abs=0.16)


def test_no_line_ever_moves_relatively_or_more_than_one_axis() -> None:
    _, stub, board = homed()
    board.z.approach_up(300.0)
    board.x.approach_up(900.0)
    jogs = [line for line in stub.lines_heard if "J=" in line]
    assert len(jogs) == stub.moves_begun >= 2
    assert all(re.fullmatch(r"\$J=G21G90G53[XYZ]-?\d+\.\d{5}F\d+\.\d{3}", line) for line in jogs)


def test_unhomed_board_moves_nothing() -> None:
    bench, stub = made()
    with bench.open_board() as board:
        assert not board.z.is_homed
        assert board.status().z.position_um is None
        with pytest.raises(MoveRefused, match="not homed"):
            board.z.approach_up(100.0)
    assert stub.moves_begun == 0


def test_homing_is_known_to_the_next_command() -> None:
    bench, _, board = homed()
    board.z.approach_up(2500.0)
    board.close()
    with bench.open_board() as again:
        assert again.z.is_homed
        assert again.z.position_um == 2500.0


@pytest.mark.parametrize("how", ["unlocked by hand", "restarted"])
def test_an_unlocked_or_restarted_board_is_not_homed(how: str) -> None:
    bench, stub, board = homed()
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
    bench, _, board = homed()
    board.x.approach_up(900.0)
    board.home(("z",))
    board.x.approach_up(500.0)
    bench.clock.sleep_s(1.0)
    assert bench.true_um(bench.clock.now_s())[0] == pytest.approx(500.0, abs=2.0)


def test_limits_hold_on_host_and_board() -> None:
    bench, stub, board = homed()
    with pytest.raises(MoveRefused, match=r"limit is 0.0..4995.1875 um; nothing moved"):
        board.z.approach_up(4999.0)
    assert stub.moves_begun == 0
    board.close()
    stub.settings[132] = 3.0  # the board's own travel, pull-off included
    with bench.open_board() as smaller:
        assert smaller.z.limits_um[1] == 2000.0


def test_a_target_that_the_board_refuses_moves_nothing() -> None:
    _, stub, board = homed()
    stub.settings[132] = 1.5
    with pytest.raises(MoveRefused, match=r"soft limits .*error:15.*nothing moved"):
        board.z.approach_up(3000.0)
    assert stub.moves_begun == 0
    assert board.z.position_um == 0.0


def test_the_lamp_is_dimmed_by_the_spindle_and_dark_after_close() -> None:
    bench, _, board = homed()
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


def once(line_start: bytes, become: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Damage the first bytes that begin so."""
    left = [1]

    def damage(data: bytes) -> bytes:
        if left[0] and data.startswith(line_start):
            left[0] = 0
            return become(data)
        return data

    return damage


def test_a_lost_line_is_told_and_not_sent_again() -> None:
    _, stub, board = homed()
    stub.to_board = once(b"$J=", lambda _: b"")
    with pytest.raises(LinkTimeout, match="not acknowledged, and nothing moved"):
        board.z.approach_up(500.0)
    assert stub.moves_begun == 0
    board.z.approach_up(500.0)
    assert board.z.position_um == 500.0


def test_a_lost_ok_moves_once_and_arrives() -> None:
    bench, stub, board = homed()
    zero_um = true_z_um(bench)
    stub.to_host = once(b"ok", lambda _: b"")
    board.z.approach_up(500.0)
    assert stub.moves_begun == 1
    assert true_z_um(bench) - zero_um == pytest.approx(500.0, abs=0.05)


def test_a_line_that_lost_a_digit_is_noticed_by_the_position() -> None:
    bench, stub, board = homed()
    stub.to_board = once(b"$J=", lambda data: data.replace(b"Z-4.5", b"Z-4."))
    with pytest.raises(MoveStopped, match=r"ended at .* um.*damaged on the way"):
        board.z.approach_up(500.0)
    zero_um = true_z_um(bench) - board.z.position_um
    board.z.approach_up(500.0)
    assert true_z_um(bench) - zero_um == pytest.approx(500.0, abs=1.0)


def test_a_late_ok_answers_no_later_line() -> None:
    _, stub, board = homed()
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


def test_stop_from_a_timer_ends_a_move_with_a_known_position() -> None:
    bench, _, board = homed()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.stop)
    with pytest.raises(MoveStopped, match="stopped at"):
        board.z.approach_up(3000.0)
    assert 100.0 < board.z.position_um < 1000.0
    assert board.z.is_homed
    before_um = true_z_um(bench)
    board.z.approach_up(3000.0)
    assert true_z_um(bench) - before_um > 1500.0


def test_a_stop_that_overtakes_its_move_still_ends_it() -> None:
    _, stub, board = homed()

    def stop_first(data: bytes) -> bytes:
        board.stop()  # while the line is still on its way: the board is idle, and ignores it
        return data

    stub.to_board = once(b"$J=", stop_first)
    with pytest.raises(MoveStopped):
        board.z.approach_up(3000.0)
    assert board.z.position_um < 500.0


def test_emergency_stop_forgets_the_position() -> None:
    bench, _, board = homed()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.estop)
    with pytest.raises(PositionLost):
        board.z.approach_up(3000.0)
    assert not board.z.is_homed
    board.clear_faults()
    board.home()
    assert board.z.is_homed


def test_stop_during_homing_ends_it() -> None:
    bench, stub = made()
    board = bench.open_board()
    bench.clock.call_at(bench.clock.now_s() + 0.5, board.stop)
    with pytest.raises(PositionLost, match="reset while homing"):
        board.home()
    assert stub.moves_begun == 0
    board.home()
    assert board.z.is_homed


def test_a_restart_during_a_move_loses_the_position() -> None:
    bench, stub, board = homed()
    bench.clock.call_at(bench.clock.now_s() + 0.5, stub.restart)
    with pytest.raises(PositionLost, match="restarted"):
        board.z.approach_up(3000.0)
    with pytest.raises(MoveRefused, match="not homed"):
        board.z.approach_up(100.0)


def test_a_restart_whose_greeting_is_lost_is_noticed_before_the_next_move() -> None:
    _, stub, board = homed()
    board.z.approach_up(300.0)
    n_moves = stub.moves_begun
    stub.to_host = lambda data: b"" if data.startswith((b"Grbl", b"[MSG", b"\r")) else data
    stub.restart()
    with pytest.raises(PositionLost, match="not begun"):
        board.z.approach_up(500.0)
    assert stub.moves_begun == n_moves


def test_a_hit_limit_switch_loses_the_position_and_can_be_cleared() -> None:
    bench, stub, board = homed()
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
    bench, stub = made()
    stub.axes[2].switches.press_um = -1e9
    with bench.open_board() as board, pytest.raises(PositionLost, match="no switch was found"):
        board.home()


def test_homing_that_ends_elsewhere_is_refused() -> None:
    bench, stub = made()
    with bench.open_board() as board:
        stub.settings[27] = 0.5  # as after another program has changed it
        with pytest.raises(PositionLost, match="ended elsewhere"):
            board.home()
        assert not board.z.is_homed


def test_an_unplugged_board_is_not_found() -> None:
    bench, stub, board = homed()
    bench.clock.call_at(bench.clock.now_s() + 0.5, stub.unplug)
    with pytest.raises(BoardNotFound):
        board.z.approach_up(3000.0)
    board.close()


def test_a_board_that_boots_as_its_port_opens_is_waited_for() -> None:
    bench, stub = made()
    stub.restart(boot_s=1.8)
    with bench.open_board() as board:
        assert board.status().last_result == "none"


def test_what_was_heard_is_told() -> None:
    bench, stub = made()
    stub.take_output(bench.clock.now_s())  # its greeting, before anybody listened
    stub.to_host = lambda _: b""
    with pytest.raises(LinkTimeout, match="does not answer as Grbl: heard nothing for 5 s"):
        bench.open_board()
    stub.to_host = lambda _: b"Sangaboard Firmware v1.0\r\n"
    with pytest.raises(LinkTimeout, match="heard text: Sangaboard Firmware v1.0"):
        bench.open_board()


def test_another_version_of_grbl_is_refused() -> None:
    bench, stub = made()
    stub.to_host = lambda data: data.replace(b"1.1h", b"0.9j")
    with pytest.raises(ProtocolMismatch, match=r"Grbl 0\.9j.*, and Grbl 1\.1 is needed"):
        bench.open_board()


def test_settings_that_do_not_fit_are_refused_and_found_by_a_probe() -> None:
    bench, stub = made()
    stub.settings[1], stub.settings[20] = 25, 0
    with pytest.raises(BadSettings, match=r"\$1=25: .*; \$20=0: .*nothing moved"):
        bench.open_board()
    found = probe_foreign(bench.cable(), bench.clock, CONFIG, bench.memory)
    assert len(found.problems) == 2


def test_a_probe_changes_nothing() -> None:
    bench, stub, board = homed()
    board.lamp(0.5)
    n_heard = len(stub.lines_heard)
    found = probe_foreign(bench.cable(), bench.clock, CONFIG, bench.memory)
    assert (found.firmware, found.state, found.is_homed, found.problems) == (
        "Grbl 1.1h.20190830",
        "Idle",
        True,
        (),
    )
    assert set(stub.lines_heard[n_heard:]) <= {"$I", "$$", "$G"}
    assert bench.lamp_duty(bench.clock.now_s()) == 0.5


def test_what_an_earlier_host_left_running_ends() -> None:
    bench, stub, board = homed()
    stub.receive(b"$J=G21G90G53Z-1.00000F60.000\n", bench.clock.now_s())
    with bench.open_board() as again:
        assert again.status().z.is_moving is False
        assert again.z.is_homed
        assert again.z.position_um < 500.0
    board.close()


def test_a_move_that_is_too_fast_for_the_board_is_refused() -> None:
    bench, stub = made()
    stub.settings[112] = 30.0
    with bench.open_board() as board:
        board.home()
        with pytest.raises(MoveRefused, match=r"60 mm/min requested, and \$112 allows 30; nothing moved"):
            board.z.approach_up(100.0)


@pytest.mark.parametrize("seed", range(2))
def test_on_a_noisy_cable_every_move_is_right_or_an_error(seed: int) -> None:
    bench, stub, board = homed()
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


def test_status_says_what_the_board_cannot_promise() -> None:
    _, _, board = homed()
    told = msgspec.json.decode(msgspec.json.encode(board.status()))
    assert told["board_time_s"] is None
    assert [sentence.split(";")[0] for sentence in told["cannot"]] == [
        "it has no watchdog",
        "its lines have no checksum",
    ]


def test_one_damaged_report_is_no_position() -> None:
    _, stub, board = homed()
    board.z.approach_up(1500.0)
    stub.to_host = once(b"<Idle", lambda data: data.replace(b",-3.500|", b",-2.500|"))
    board.z.read_position()
    assert board.z.position_um == 1500.0
