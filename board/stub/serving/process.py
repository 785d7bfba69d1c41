"""The stub board as a separate process on a pty, with its side channel on a unix socket."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import BoardConfig
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.faults import Faults
from parfocal.board.stub.faulty_stub import FaultyStub
from parfocal.board.stub.firmware.firmware_board import FirmwareBoard
from parfocal.board.stub.foreign.text_bench import text_stub
from parfocal.board.stub.serving.place import bind_socket, check_place, clear_remains
from parfocal.board.stub.serving.side_channel import REPLY, REQUEST, side_channel_path
from parfocal.board.stub.stub_board import StubBoard
from parfocal.board.stub.wired_board import WiredBoard

_SILENCE_WALL_S = 1.0
_MAX_WAIT_WALL_S = 0.5


class Served(Protocol):
    """A stub that a process can serve. Times are those of its clock, s."""

    is_plugged: bool
    plugs: int

    def receive(self, data: bytes, time_s: float) -> None:
        """Take bytes that arrive at `time_s`."""
        ...

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        ...

    def take_output(self, time_s: float) -> list[bytes]:
        """What it has sent up to `time_s` since the last call."""
        ...

    def next_due_s(self) -> float:
        """When something next happens by itself."""
        ...

    def take_host_stall_s(self) -> float:
        """How long the host is to stand still, since the last call."""
        ...

    def hold_up(self, stall_s: float) -> None:
        """Delay what the host sends."""
        ...

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError outside the history."""
        ...

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1."""
        ...


def run_stub(
    link_path: str,
    config: StubConfig,
    speed: float = 1.0,
    faults: Faults | None = None,
    board: BoardConfig | None = None,
    runs_firmware: bool = False,
) -> None:
    """Serve a stub board at `link_path` until SIGTERM or SIGINT; `speed` is clock seconds per wall second.

    `faults`: what goes wrong; None for nothing. A stub process cannot stall its host, so a host stall delays what the
    host sends instead. `board`: the configuration of the host, whose kind the stub has; None for our own protocol.
    `runs_firmware`: the firmware, compiled for this machine, in place of the stub's own board.
    Prints one line when it is ready, and removes link and socket when it ends. Run it in the main thread.
    Raises FileExistsError when `link_path` is taken, except by a dead stub's link; ValueError when the link cannot be
    made: no such folder, no permission, a path too long; BoardNotFound where the firmware cannot be built.
    """
    if runs_firmware and speed != 1.0:
        raise ValueError(
            f"the firmware keeps its own time: it cannot run at speed {speed}. Leave out --speed."
        )
    with contextlib.ExitStack() as stack:
        clock = MonotonicClock(speed)
        end = stack.enter_context(_end_signal())
        server = stack.enter_context(_side_channel_server(link_path))
        port = stack.enter_context(_Port(link_path))
        served: Served
        if board is None or board.kind == "parfocal":
            served = FaultyStub(
                _own_board(config, clock.now_s(), speed, runs_firmware),
                Faults() if faults is None else faults,
            )
        else:
            served = text_stub(config, board, clock.now_s(), speed)
        serving = _Serving(served, clock, port, server, end)
        stack.callback(serving.close)
        sys.stdout.write(f"stub motor board at {link_path}\n")
        sys.stdout.flush()
        serving.run()


def _own_board(config: StubConfig, now_s: float, speed: float, runs_firmware: bool) -> WiredBoard:
    boot_id = secrets.randbits(32)
    if runs_firmware:
        return FirmwareBoard(config, now_s, boot_id)
    return StubBoard(config, now_s, boot_id, speed)


class _Port:
    """A raw pty whose slave is linked at a path: the board's end of a cable that can be unplugged."""

    def __init__(self, link_path: str) -> None:
        self._link = Path(link_path)
        self._name = ""
        self.is_linked = False
        self.master = self._slave = -1
        self.plug_in()

    def __enter__(self) -> _Port:  # noqa: PYI034  # Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pull()
        self._close()

    def plug_in(self) -> None:
        """Open a new pty. Its name differs from the last one's, which is released only now."""
        before = (self.master, self._slave)
        self.master, self._slave = os.openpty()
        for fd in before:
            if fd >= 0:
                os.close(fd)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._name = os.ttyname(self._slave)
        try:
            self._link.symlink_to(self._name)
        except FileExistsError as error:
            raise FileExistsError(
                f"stub at {self._link} ended: something else is there now. Choose another --link PATH."
            ) from error
        self.is_linked = True

    def pull(self) -> None:
        """Unplug: whoever has the port open finds it gone."""
        with contextlib.suppress(OSError):  # the user may have removed or replaced it
            if str(self._link.readlink()) == self._name:
                self._link.unlink()
        self.is_linked = False
        # The slave keeps the name taken. Closing the master hangs up on the host.
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def make_free(self) -> None:
        """Clear the exclusive flag that a killed host has left; a device would lose it at the last close."""
        if self.is_linked:
            fcntl.ioctl(self._slave, termios.TIOCNXCL)

    def _close(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1


class _Serving:
    """The loop of the process: tty, side channel, and what the stub does by itself."""

    def __init__(
        self,
        board: Served,
        clock: MonotonicClock,
        port: _Port,
        server: socket.socket,
        end_fd: int,
    ) -> None:
        self._board = board
        self._clock = clock
        self._port = port
        self._server = server
        self._end_fd = end_fd
        self._clients: dict[int, socket.socket] = {}
        self._heard_s = clock.now_s()
        self._silence_s = _SILENCE_WALL_S * clock.speed
        self._plugs = board.plugs
        self._set_sources()

    def run(self) -> None:
        """Serve until the end is signalled.

        An answer leaves after one `select`, one read and one write. Everything else comes later.
        """
        while True:
            # select(2) rather than epoll: its timeout is finer than a millisecond.
            ready = select.select(self._sources, (), (), self._wait_wall_s())[0]
            now_s = self._clock.now_s()
            # The tty first: a question on the side channel must see the effect of earlier commands.
            if self._port.master in ready:
                self._hear(now_s)
            else:
                self._board.advance(now_s)
            self._board.hold_up(self._board.take_host_stall_s())
            self._replug()
            self._speak(now_s)
            if now_s - self._heard_s > self._silence_s:
                # A killed host leaves its exclusive flag on the tty.
                self._port.make_free()
            if self._end_fd in ready:
                return
            self._serve_side_channel(ready)

    def close(self) -> None:
        """Disconnect the clients of the side channel."""
        for client in self._clients.values():
            client.close()

    def _set_sources(self) -> None:
        """Collect the descriptors to listen to."""
        port = [self._port.master] if self._port.is_linked else []
        self._sources = [*port, self._server.fileno(), self._end_fd, *self._clients]

    def _wait_wall_s(self) -> float:
        left_s = self._board.next_due_s() - self._clock.now_s()
        return min(max(left_s / self._clock.speed, 0.0), _MAX_WAIT_WALL_S)

    def _hear(self, now_s: float) -> None:
        self._heard_s = now_s
        self._board.receive(os.read(self._port.master, 4096), now_s)

    def _replug(self) -> None:
        """Unplug the cable or plug it in, as the faults require."""
        if self._board.is_plugged == self._port.is_linked and self._board.plugs == self._plugs:
            return
        if self._port.is_linked:
            self._port.pull()
        if self._board.is_plugged:
            self._port.plug_in()
            self._plugs = self._board.plugs
        self._set_sources()

    def _speak(self, now_s: float) -> None:
        for frame in self._board.take_output(now_s):
            # A host that does not read loses frames, as on a real cable.
            with contextlib.suppress(BlockingIOError):
                os.write(self._port.master, frame)

    def _serve_side_channel(self, ready: list[int]) -> None:
        for fd in ready:
            if fd in self._clients:
                self._tell_truth(self._clients[fd])
        if self._server.fileno() in ready:
            client, _ = self._server.accept()
            self._clients[client.fileno()] = client
            self._set_sources()

    def _tell_truth(self, client: socket.socket) -> None:
        try:
            request = client.recv(REQUEST.size, socket.MSG_WAITALL)
            if len(request) == REQUEST.size:
                client.sendall(self._truth(*REQUEST.unpack(request)))
                return
        except OSError:
            pass  # the client is gone: disconnect below
        del self._clients[client.fileno()]
        self._set_sources()
        client.close()

    def _truth(self, time_s: float) -> bytes:
        try:
            return REPLY.pack(True, *self._board.true_um(time_s), self._board.lamp_duty(time_s))
        except ValueError:
            return REPLY.pack(False, 0.0, 0.0, 0.0, 0.0)


@contextlib.contextmanager
def _end_signal() -> Iterator[int]:
    """A file descriptor that becomes readable on SIGTERM or SIGINT."""
    reading, writing = os.pipe()

    def note(_signal: int, _frame: FrameType | None) -> None:
        os.write(writing, b"\0")

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield reading
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


@contextlib.contextmanager
def _side_channel_server(link_path: str) -> Iterator[socket.socket]:
    """A listening socket for the side channel. What a dead stub has left is removed first."""
    path = Path(side_channel_path(link_path))
    check_place(Path(link_path), path)
    clear_remains(Path(link_path), path)
    with bind_socket(Path(link_path), path) as server:
        made = path.lstat()
        try:
            server.listen()
            yield server
        finally:
            with contextlib.suppress(OSError):
                now = path.lstat()  # the inode number alone may belong to another file by now
                if (now.st_ino, now.st_mtime_ns) == (made.st_ino, made.st_mtime_ns):
                    path.unlink()
