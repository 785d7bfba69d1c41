"""A foreign board as a process on a pseudo-terminal, in real time."""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.link.serial_transport import SerialTransport
from parfocal.board.open import open_board, probe_board
from parfocal.board.stub.serving.side_channel import SideChannel, side_channel_path

SPEED = 20.0
STUB = """
import sys
from parfocal.board.config import BoardConfig
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.serving.process import run_stub
run_stub(sys.argv[1], StubConfig(), float(sys.argv[2]), None, BoardConfig(kind=sys.argv[3]))
"""


def test_a_grbl_board_on_a_pty_homes_moves_and_is_unplugged(tmp_path: Path) -> None:
    link = tmp_path / "board"
    config = BoardConfig(kind="grbl", port=str(link))
    clock = MonotonicClock(SPEED)
    arguments = [sys.executable, "-c", STUB, str(link), str(SPEED), "grbl"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"stub motor board at {link}\n"
            found = probe_board(config, clock)
            assert isinstance(found, Recognised)
            assert not found.is_homed
            with open_board(config, clock) as board:
                board.home()
                settled_s = board.z.approach_up(500.0)
                clock.sleep_s(settled_s - clock.now_s())
                side = SideChannel(side_channel_path(str(link)))
                assert side.true_um(settled_s)[2] == pytest.approx(500.0, abs=5.0)
                side.close()
            with open_board(config, clock) as board:
                assert board.z.position_um == 500.0
                process.terminate()
                assert process.wait(timeout=10.0) == 0
                with pytest.raises(BoardNotFound):
                    board.z.approach_up(600.0)
        finally:
            process.terminate()


@pytest.mark.parametrize("keeps_dtr", [False, True])
def test_a_board_that_restarts_on_dtr_keeps_it_after_close(keeps_dtr: bool) -> None:
    master, slave = os.openpty()
    modes = termios.tcgetattr(slave)
    modes[2] |= termios.HUPCL
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    SerialTransport(os.ttyname(slave), keeps_dtr=keeps_dtr).close()
    hangs_up = bool(termios.tcgetattr(slave)[2] & termios.HUPCL)
    os.close(master)
    os.close(slave)
    assert hangs_up != keeps_dtr
