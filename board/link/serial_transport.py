"""The serial port. The only module that uses pyserial.

pyserial opens and configures the port. Bytes go straight to the descriptor, because its `read` and `write` cost
more than the rest of a round trip. There is no thread and no queue: whoever waits reads, and the kernel keeps the
rest. That saves the hand-over between threads.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import threading
from pathlib import Path

import serial

from parfocal.board.errors import BoardNotFound, PortInUse
from parfocal.board.link.port_users import users_of
from parfocal.board.link.ports import usb_ports

_WRITE_WALL_S = 1.0  # a port that cannot take 64 bytes in this time is gone
_READ_BYTES = 4096


class SerialTransport:
    """A `Transport` over one exclusively opened port."""

    def __init__(self, port: str, baud: int = 115200, keeps_dtr: bool = False) -> None:
        """Open `port` for this process alone. Raises BoardNotFound, PortInUse.

        `keeps_dtr`: leave DTR raised after the last close, so that only the first open after plugging in raises it.
        """
        self._port = port
        try:
            self._serial = serial.Serial(port, baud, timeout=0.0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise _not_opened(port, error) from error
        with contextlib.suppress(OSError):  # the lock of pyserial is advisory; the kernel enforces this one
            fcntl.ioctl(self._serial.fileno(), termios.TIOCEXCL)
        self._fd: int = self._serial.fileno()
        if keeps_dtr:
            modes = termios.tcgetattr(self._fd)
            modes[2] &= ~termios.HUPCL
            termios.tcsetattr(self._fd, termios.TCSANOW, modes)
        self._woken, self._wake = os.pipe()
        self._ended = threading.Event()
        self._closing = threading.Lock()
        self._writing, self._reading = threading.Lock(), threading.Lock()

    def write(self, data: bytes) -> None:
        """Send all of `data`. Raises BoardNotFound when the port is gone."""
        try:
            with self._writing:
                if self._ended.is_set():
                    raise self._lost(None)
                while data:
                    data = data[self._write_some(data) :]
        except OSError as error:
            raise self._lost(error) from error

    def read(self, timeout_s: float) -> bytes:
        """Bytes received, or b"" after `timeout_s`. Raises BoardNotFound when the port is gone."""
        try:
            with self._reading:
                if self._ended.is_set():
                    raise self._lost(None)
                ready = select.select([self._fd, self._woken], [], [], max(timeout_s, 0.0))[0]
                if self._fd not in ready:
                    return b""
                data = os.read(self._fd, _READ_BYTES)
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(OSError(errno.EIO, "it has hung up"))
        return data

    def close(self) -> None:
        """Release the port. Idempotent."""
        with self._closing:  # a descriptor closed twice may be another port by then
            if not self._ended.is_set():
                self._close()

    def _close(self) -> None:
        self._ended.set()
        os.write(self._wake, b"\0")  # wakes whoever waits in `read`
        with self._reading, self._writing:
            # A pty, unlike a device, keeps the exclusive flag after the last close: clear it.
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
            with contextlib.suppress(serial.SerialException, OSError, termios.error):
                self._serial.close()
            os.close(self._woken)
            os.close(self._wake)

    def _write_some(self, data: bytes) -> int:
        """Write what the port takes; return how many bytes. Raises OSError when it takes none."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            if not select.select([], [self._fd], [], _WRITE_WALL_S)[1]:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
            return 0

    def _lost(self, error: BaseException | None) -> BoardNotFound:
        why = "it was closed" if error is None else error
        return BoardNotFound(f"board at {self._port} is gone: {why}. Plug it in again, then home the axes.")


def _not_opened(port: str, error: BaseException) -> BoardNotFound:
    """The error of a port that could not be opened, with what to do about it."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and isinstance(
        error.__context__, termios.error
    ):  # pyserial passes this one on as text only
        number = error.__context__.args[0]
    start = f"board at {port} not opened:"
    if number in (errno.EAGAIN, errno.EBUSY):
        users = users_of(port)
        by = ", ".join(users) if users else "another program, which is hidden from this user"
        return PortInUse(f"{start} it is in use by {by}. End that program, or set the port of another board.")
    if number in (errno.EACCES, errno.EPERM):
        return BoardNotFound(f"{start} this user has no permission. {_access_hint(port)}")
    why = str(error) if number is None else os.strerror(number).lower()  # pyserial repeats itself
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return BoardNotFound(f"{start} it is not a serial port ({why}). Set the port of the board.")
    ports = ", ".join(map(str, usb_ports())) or "none"
    return BoardNotFound(
        f"{start} {why} (USB serial ports present: {ports}). Plug in the board, or set its port."
    )


def _access_hint(port: str) -> str:
    """How a user gets permission to open `port`."""
    try:
        group = Path(port).group()
    except (OSError, KeyError):
        group = "root"
    if group == "root":
        return "Give its group access with a udev rule, or set the port of another board."
    return f"Join the group that owns it: `sudo usermod -aG {group} $USER`, then log in again."
