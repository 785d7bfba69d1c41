"""The real port: a stub in a process of its own, on a pseudo-terminal in real time, and ports that do not open."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import serial

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardNotFound, MoveStopped, PortInUse
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.port_users import users_of
from parfocal.board.link.serial_transport import SerialTransport
from parfocal.board.open import open_board
from parfocal.board.own.board import Board
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.serving.process import run_stub
from parfocal.board.stub.serving.side_channel import SideChannel, side_channel_path
from tests.bench.link_processes import STUB, stub_process

SPEED = 10.0


def stop_from_another_thread(board: Board) -> None:
    """STOP while another thread waits for a long move: that thread gets MoveStopped, the position stays known."""
    outcome: list[type[BaseException] | None] = []

    def move() -> None:
        try:
            board.z.move_to(4990.0)
            outcome.append(None)
        except MoveStopped as stopped:
            outcome.append(type(stopped))

    mover = threading.Thread(target=move)
    mover.start()
    while not board.state().moving and mover.is_alive():
        pass
    board.stop()
    mover.join(timeout=10.0)
    assert outcome == [MoveStopped]
    assert 200.0 <= board.z.position_um < 4990.0


@pytest.fixture
def stub_link(tmp_path: Path) -> Iterator[Path]:
    """A stub process. Ended with SIGTERM, it must leave nothing behind."""
    link = tmp_path / "board"
    with stub_process(link, SPEED):
        yield link
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def side(stub_link: Path) -> Iterator[SideChannel]:
    """The side channel of the stub process."""
    with contextlib.closing(SideChannel(side_channel_path(str(stub_link)))) as channel:
        yield channel


def test_a_stub_process_homes_and_moves_over_a_pty_with_true_positions_on_its_side_channel(
    stub_link: Path, side: SideChannel
) -> None:
    clock = MonotonicClock(SPEED)
    with open_board(BoardConfig(port=str(stub_link)), clock) as board:
        user = (
            rf"in use by \S+ \(process {os.getpid()}\). End that program, or set the port of another board."
        )
        with pytest.raises(PortInUse, match=user):
            open_board(BoardConfig(port=str(stub_link)), clock)
        board.home(("z",))
        board.lamp(0.5)
        settled_s = board.z.approach_up(200.0)
        clock.sleep_s(settled_s - clock.now_s())
        assert side.true_um(settled_s)[2] == pytest.approx(200.0, abs=0.05)
        assert side.lamp_duty(settled_s) == 0.5
        with pytest.raises(ValueError, match="no longer known"):
            side.true_um(settled_s - 1000.0)
        assert isinstance(board, Board)
        stop_from_another_thread(board)
        # A busy machine may be slow. Then HELLO is sent again, and its second answer is of no session.
        assert board.counters.unknown <= board.counters.resends
        counters = msgspec.structs.replace(board.counters, resends=0, late=0, silences=0, unknown=0)
        assert counters == LinkCounters()
    assert side.lamp_duty(clock.now_s()) == 0.0


def test_a_missing_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        BoardNotFound, match=r"ttyNone not opened: no such file .* Plug in the board, or set its port\."
    ):
        open_board(BoardConfig(port=str(tmp_path / "ttyNone")), MonotonicClock())


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_is_not_a_board(tmp_path: Path, is_folder: bool) -> None:
    path = tmp_path / "board"
    if is_folder:
        path.mkdir()
    else:
        path.write_text("no tty")
    with pytest.raises(
        BoardNotFound, match="not opened: it is not a serial port .*Set the port of the board"
    ):
        open_board(BoardConfig(port=str(path)), MonotonicClock())


def serial_that_raises(number: int) -> Callable[..., serial.Serial]:
    """Raises what serialposix.Serial.open raises when open(2) or the lock fails: the number and a text."""

    def opened(port: str, *_: object, **__: object) -> serial.Serial:
        raise serial.SerialException(number, f"could not open port {port}: [Errno {number}] ...")

    return opened


@pytest.mark.parametrize(
    ("group", "way_in"),
    [
        ("dialout", r"Join the group that owns it: `sudo usermod -aG dialout \$USER`, then log in again\."),
        ("root", r"Give its group access with a udev rule"),
    ],
)
def test_a_port_without_permission_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, group: str, way_in: str
) -> None:
    monkeypatch.setattr(serial, "Serial", serial_that_raises(errno.EACCES))
    monkeypatch.setattr(Path, "group", lambda _: group)
    with pytest.raises(BoardNotFound, match=f"not opened: this user has no permission. {way_in}"):
        SerialTransport("/dev/ttyACM0")


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EBUSY])
def test_a_port_used_by_a_hidden_program_is_still_port_in_use(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(serial, "Serial", serial_that_raises(number))
    with pytest.raises(
        PortInUse, match="in use by another program, which is hidden from this user. End that"
    ):
        SerialTransport("/dev/no-such-tty")


def test_the_users_of_a_pseudo_terminal_leave_out_its_maker(stub_link: Path) -> None:
    assert users_of(str(stub_link)) == ()
    with open_board(BoardConfig(port=str(stub_link)), MonotonicClock(SPEED)):
        (user,) = users_of(str(stub_link))
        assert user.endswith(f" (process {os.getpid()})")


def test_no_side_channel_without_a_stub(tmp_path: Path) -> None:
    with pytest.raises(BoardNotFound, match="no stub there"):
        SideChannel(str(tmp_path / "board.side"))


def test_an_unplugged_stub_returns_under_another_name_and_the_move_continues(tmp_path: Path) -> None:
    link, faults = tmp_path / "board", tmp_path / "faults.toml"
    faults.write_text('[[incidents]]\nkind = "unplug"\non_motion = 2\nafter_s = 0.5\ngone_s = 2.0\n')
    clock = MonotonicClock(SPEED)
    with stub_process(link, SPEED, faults), open_board(BoardConfig(port=str(link)), clock) as board:
        side = SideChannel(side_channel_path(str(link)))
        name = link.readlink()
        board.home(("z",))
        settled_s = board.z.approach_up(3000.0)
        clock.sleep_s(settled_s - clock.now_s())
        assert side.true_um(settled_s)[2] == pytest.approx(3000.0, abs=0.05)
        assert isinstance(board, Board)
        assert board.counters.reconnects == 1
        assert link.readlink() != name
        side.close()


def test_only_the_remains_of_a_dead_stub_are_removed(tmp_path: Path) -> None:
    link = tmp_path / "board"
    with subprocess.Popen(
        [sys.executable, "-c", STUB, str(link), "1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(FileExistsError, match="a running stub is there. Choose another --link PATH"):
            run_stub(str(link), StubConfig())
        process.kill()
    assert link.is_symlink()
    with stub_process(link), open_board(BoardConfig(port=str(link)), MonotonicClock()) as board:
        assert not board.z.is_homed
    assert list(tmp_path.iterdir()) == []
    link.write_text("somebody's notes")
    with pytest.raises(FileExistsError, match="a file is there"):
        run_stub(str(link), StubConfig())
    assert link.read_text() == "somebody's notes"


def test_a_port_that_two_threads_close_at_once_is_closed_once() -> None:
    master, slave = os.openpty()
    transport = SerialTransport(os.ttyname(slave))
    other = threading.Thread(target=transport.close)

    class Interrupted(threading.Event):
        """The other thread closes just before this thread has set the event."""

        def set(self) -> None:
            if other.ident is None:
                other.start()
                other.join(timeout=0.1)
            super().set()

    transport._ended = Interrupted()
    transport.close()  # raises OSError for a descriptor that is closed already
    other.join(timeout=5.0)
    assert not other.is_alive()
    os.close(slave)
    os.close(master)


def test_a_port_that_hangs_up_wakes_a_reader_and_is_board_not_found() -> None:
    master, slave = os.openpty()
    transport = SerialTransport(os.ttyname(slave))
    os.close(slave)
    transport.write(b"\0")
    assert transport.read(0.0) == b""
    found: list[BaseException] = []

    def wait() -> None:
        try:
            transport.read(10.0)
        except BoardNotFound as error:
            found.append(error)

    reader = threading.Thread(target=wait)
    reader.start()
    os.close(master)
    reader.join(timeout=5.0)
    assert len(found) == 1
    with pytest.raises(BoardNotFound, match="is gone"):
        transport.read(1.0)
    with pytest.raises(BoardNotFound, match="is gone"):
        transport.write(b"\0")
    transport.close()
    transport.close()
