"""The serial port: pyserial's only door.

pyserial finds, opens and sets the port; bytes go past it, straight to the descriptor: its `read` and `write`
cost more than all the rest of a round trip. There is no thread and no queue: whoever waits reads, the kernel
holds the rest, and a round trip is shorter by the way from one thread to another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import termios
import threading

import serial

from parfocal.board.errors import BoardNotFound
from parfocal.board.ports import usb_ports

_WRITE_WALL_S = 1.0  # a port that takes no 64 bytes in this time is gone
_READ_BYTES = 4096


class SerialTransport:
    """Bytes over one exclusively opened port."""

    def __init__(self, port: str, baud: int = 115200) -> None:
        """Open `port` for this process alone. Raises BoardNotFound naming the port and what to do."""
        self._port = port
        try:
            self._serial = serial.Serial(port, baud, timeout=0.0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise BoardNotFound(_not_found(port, error)) from error
        with contextlib.suppress(OSError):  # the lock of pyserial is advisory; this one the kernel keeps
            fcntl.ioctl(self._serial.fileno(), termios.TIOCEXCL)
        self._fd: int = self._serial.fileno()
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
                    data = data[self._written(data) :]
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
        """Give the port back. Idempotent."""
        with self._closing:  # two at once must not close a descriptor twice: it may be another port by then
            if not self._ended.is_set():
                self._close()

    def _close(self) -> None:
        self._ended.set()
        os.write(self._wake, b"\0")  # whoever waits in `read` leaves it
        with self._reading, self._writing:
            # A pty, unlike a device, keeps the flag after the last close: take it back.
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self._fd, termios.TIOCNXCL)
            with contextlib.suppress(serial.SerialException, OSError, termios.error):
                self._serial.close()
            os.close(self._woken)
            os.close(self._wake)

    def _written(self, data: bytes) -> int:
        """Bytes that the port took. Raises OSError when it takes none."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            if not select.select([], [self._fd], [], _WRITE_WALL_S)[1]:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
            return 0

    def _lost(self, error: BaseException | None) -> BoardNotFound:
        why = "it was closed" if error is None else error
        return BoardNotFound(f"board at {self._port} is gone: {why}. Plug it in again, then home the axes.")


def _not_found(port: str, error: BaseException) -> str:
    ports = ", ".join(map(str, usb_ports())) or "none"
    return (
        f"board at {port} not opened: {_reason(error)} (USB serial ports present: {ports}). "
        "Plug in the board or set its port; for a simulated one add --sim."
    )


def _reason(error: BaseException) -> str:
    """Why in a few words, without the text that pyserial repeats."""
    if isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.EBUSY):
        return "another program has it open"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error)
