"""Opening a Grbl board: who answers, with which settings, and what it cannot promise."""

from __future__ import annotations

import msgspec
import pytest

from parfocal.board.errors import BadSettings, BoardNotFound, LinkTimeout, ProtocolMismatch
from parfocal.board.open import probe_foreign
from tests.board.foreign.benches import GRBL, grbl, homed_grbl


def test_a_board_that_boots_as_its_port_opens_is_waited_for() -> None:
    bench, stub = grbl()
    stub.restart(boot_s=1.8)
    with bench.open_board() as board:
        assert board.status().last_result == "none"


def test_what_was_heard_is_told() -> None:
    bench, stub = grbl()
    stub.take_output(bench.clock.now_s())  # its greeting, before anybody listened
    stub.to_host = lambda _: b""
    with pytest.raises(LinkTimeout, match="does not answer as Grbl: heard nothing for 5 s"):
        bench.open_board()
    stub.to_host = lambda _: b"Sangaboard Firmware v1.0\r\n"
    with pytest.raises(LinkTimeout, match="heard text: Sangaboard Firmware v1.0"):
        bench.open_board()


def test_another_version_of_grbl_is_refused() -> None:
    bench, stub = grbl()
    stub.to_host = lambda data: data.replace(b"1.1h", b"0.9j")
    with pytest.raises(ProtocolMismatch, match=r"Grbl 0\.9j.*, and Grbl 1\.1 is needed"):
        bench.open_board()


def test_settings_that_do_not_fit_are_refused_and_found_by_a_probe() -> None:
    bench, stub = grbl()
    stub.settings[1], stub.settings[20] = 25, 0
    with pytest.raises(BadSettings, match=r"\$1=25: .*; \$20=0: .*nothing moved"):
        bench.open_board()
    found = probe_foreign(bench.cable(), bench.clock, GRBL, bench.memory)
    assert len(found.problems) == 2


def test_a_probe_changes_nothing() -> None:
    bench, stub, board = homed_grbl()
    board.lamp(0.5)
    n_heard = len(stub.lines_heard)
    found = probe_foreign(bench.cable(), bench.clock, GRBL, bench.memory)
    assert (found.firmware, found.state, found.is_homed, found.problems) == (
        "Grbl 1.1h.20190830",
        "Idle",
        True,
        (),
    )
    assert set(stub.lines_heard[n_heard:]) <= {"$I", "$$", "$G"}
    assert bench.lamp_duty(bench.clock.now_s()) == 0.5


def test_what_an_earlier_host_left_running_ends() -> None:
    bench, stub, board = homed_grbl()
    stub.receive(b"$J=G21G90G53Z-1.00000F60.000\n", bench.clock.now_s())
    with bench.open_board() as again:
        assert again.status().z.is_moving is False
        assert again.z.is_homed
        assert again.z.position_um < 500.0
    board.close()


def test_an_unplugged_board_is_not_found() -> None:
    bench, stub, board = homed_grbl()
    bench.clock.call_at(bench.clock.now_s() + 0.5, stub.unplug)
    with pytest.raises(BoardNotFound):
        board.z.approach_up(3000.0)
    board.close()


def test_status_says_what_the_board_cannot_promise() -> None:
    _, _, board = homed_grbl()
    told = msgspec.json.decode(msgspec.json.encode(board.status()))
    assert told["board_time_s"] is None
    assert [sentence.split(";")[0] for sentence in told["cannot"]] == [
        "it has no watchdog",
        "its lines have no checksum",
    ]
