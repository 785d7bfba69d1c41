"""The firmware as a program on a pseudo-terminal, in real time and over its own small stage."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import MoveRefused
from parfocal.board.link.counters import LinkCounters
from parfocal.board.motor_board import MotorBoard
from parfocal.board.open import open_board


@pytest.fixture(scope="module")
def link(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The program at a link, and its process id. Ended with SIGTERM, it removes its link."""
    place = tmp_path_factory.mktemp("native") / "board"
    with subprocess.Popen([made / "parfocal-board", place], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"firmware at {place}\n"
        yield place, process.pid
        process.terminate()
        assert process.wait(10.0) == 0
    assert not place.is_symlink()


def home(board: MotorBoard) -> None:
    """Home Z once for all tests of the program: it takes seconds of real time."""
    if not board.z.is_homed:
        board.home(("z",))


def test_a_host_that_comes_again_finds_the_position(link: tuple[Path, int]) -> None:
    config = BoardConfig(port=str(link[0]))
    with open_board(config, MonotonicClock()) as board:
        home(board)
        board.z.approach_up(50.0)
        counters = board.counters  # type: ignore[attr-defined]
        # This runs in real time: on a loaded machine the host itself may be silent.
        assert counters == LinkCounters(silences=counters.silences)
    with open_board(config, MonotonicClock()) as again:
        assert (again.z.is_homed, again.z.position_um) == (True, 50.0)


def test_the_program_homes_moves_and_obeys_its_emergency_stop(link: tuple[Path, int]) -> None:
    place, pid = link
    with open_board(BoardConfig(port=str(place)), MonotonicClock()) as board:
        home(board)
        board.z.approach_up(100.0)
        assert board.z.position_um == 100.0
        assert board.status().z.is_homed
        os.kill(pid, signal.SIGUSR1)
        # The program runs beside this one: a request may overtake the signal, and its move would begin before it ends.
        assert any("estop" in board.status().faults for _ in range(1000))
        with pytest.raises(MoveRefused, match="emergency stop is latched"):
            board.z.move_to(3000.0)
        os.kill(pid, signal.SIGUSR2)
        board.clear_faults()
        assert not board.status().z.is_homed
