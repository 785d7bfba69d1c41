"""The Optotune Lens Driver 4 (and 4i) at a serial port.

Document: Optotune, "Electrical Lens Driver 4, Lens Driver Manual" of 28.06.2019, chapter on the communication protocol.
The layout of the bytes is that of public programs that follow it: opto (PyPI) and LensDriver of Funahashi Lab.
Never tried on hardware. Not confirmed by us: whether full current is 4095 or 4096 units (it changes the scale by
0.02 %, which a calibration measures), the reply to a command with a wrong checksum, and whether every firmware has
all of these commands.

A command is its letters, its data big-endian, and a CRC-16 (polynomial 0xA001, from 0) little-endian. A reply is built
in the same way and ends with CR LF. Setting a current has no reply, so the current is read back. The driver has no
watchdog: a program that dies leaves the current as it is.
"""

from __future__ import annotations

import contextlib
import struct

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardError, BoardNotFound, LinkTimeout
from parfocal.board.link.transport import Transport

BAUD = 115200
FULL_UNITS = 4095
HELLO, READY = b"Start", b"Ready\r\n"
END = b"\r\n"
_REPLY_WALL_S = 0.3
_TRIES = 3


def crc16(data: bytes) -> bytes:
    """The CRC-16 of `data` as it is sent, polynomial 0xA001."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return struct.pack("<H", crc)


def framed(payload: bytes) -> bytes:
    """A command with its checksum."""
    return payload + crc16(payload)


class LensDriver4:
    """An open driver: a `Lens`. Call it from one thread at a time."""

    def __init__(self, transport: Transport, clock: PacedClock) -> None:
        """Greet the driver, set it to constant current, and turn the current off.

        Raises BoardNotFound where no such driver answers, LinkTimeout, BoardError.
        """
        self._transport, self._clock = transport, clock
        self._received = b""
        try:
            self._greet()
            # It may have been left in another mode: one that follows focal power, an analog input or a signal.
            self._ask(b"MwDA", b"MDA", 3)
            self._full_ma = struct.unpack(">h", self._ask(b"CrMA\0\0", b"C", 5)[3:])[0] / 100.0
            if not 0.0 < self._full_ma <= 1000.0:
                raise BoardError(
                    f"lens driver states a full current of {self._full_ma:g} mA: it is none that this program knows. "
                    "Set it with Optotune's own program."
                )
            serial = self._ask(b"X", b"X", 9)[1:].strip(b"\0 ").decode("ascii", "replace")
            self._name = f"optotune {serial}"
            self(0.0)
        except BoardError:
            transport.close()
            raise

    @property
    def name(self) -> str:
        """Which lens it is: "optotune" and the serial number that it states."""
        return self._name

    @property
    def range_ma(self) -> tuple[float, float]:
        """Lowest and highest current, mA, as the driver states."""
        return -self._full_ma, self._full_ma

    def __call__(self, current_ma: float) -> None:
        """Set the current, mA, and read it back. Raises ValueError outside `range_ma`, LinkTimeout, BoardError."""
        low_ma, high_ma = self.range_ma
        if not low_ma <= current_ma <= high_ma:
            raise ValueError(
                f"lens current {current_ma:g} mA is invalid: it must be {low_ma:g}..{high_ma:g} mA"
            )
        units = round(current_ma / self._full_ma * FULL_UNITS)
        for _ in range(_TRIES):  # setting the same current twice does no harm
            self._transport.write(framed(b"Aw" + struct.pack(">h", units)))
            if struct.unpack(">h", self._ask(b"Ar\0\0", b"A", 3)[1:])[0] == units:
                return
        raise BoardError(
            f"lens current {current_ma:g} mA was set {_TRIES} times, and another one was read back. Check the limits "
            "that are set in the driver, its temperature and the cable of the lens."
        )

    def temperature_c(self) -> float:
        """Temperature of the lens, degrees Celsius. Raises LinkTimeout, BoardError."""
        return float(struct.unpack(">h", self._ask(b"TCA", b"TCA", 5)[3:])[0]) / 16.0

    def close(self) -> None:
        """Turn the current off and release the port. A driver that is gone is closed as well."""
        with contextlib.suppress(BoardError):
            self(0.0)
        self._transport.close()

    def _greet(self) -> None:
        for _ in range(_TRIES):
            self._forget()
            self._transport.write(HELLO)
            if self._read(len(READY)) == READY:
                return
        raise BoardNotFound(
            f"no Optotune Lens Driver 4 answers: {HELLO.decode()} was sent {_TRIES} times. Check lens.port and "
            "its cable."
        )

    def _ask(self, command: bytes, begin: bytes, n_bytes: int) -> bytes:
        """The reply to `command`, `n_bytes` that begin with `begin`, checked. Raises LinkTimeout."""
        heard = b""
        for _ in range(_TRIES):
            self._forget()
            self._transport.write(framed(command))
            heard = self._read(n_bytes + 2 + len(END))
            payload, rest = heard[:n_bytes], heard[n_bytes:]
            if payload.startswith(begin) and rest == crc16(payload) + END:
                return payload
        told = heard.hex(" ") if heard else "nothing"
        raise LinkTimeout(
            f"lens driver: {command[:4].rstrip(bytes(1)).decode()} was asked {_TRIES} times, and {told} came. "
            "Check the cable; no other program may use the port."
        )

    def _read(self, n_bytes: int) -> bytes:
        """The next `n_bytes`; fewer if they do not come in time."""
        deadline_s = self._clock.now_s() + _REPLY_WALL_S * self._clock.speed
        while len(self._received) < n_bytes:
            left_s = deadline_s - self._clock.now_s()
            data = self._transport.read(max(left_s, 0.0) / self._clock.speed)
            if not data and left_s <= 0.0:
                break
            self._received += data
        taken, self._received = self._received[:n_bytes], self._received[n_bytes:]
        return taken

    def _forget(self) -> None:
        """Drop what has arrived unasked: the end of a damaged reply, or a complaint about a damaged command."""
        self._received = b""
        while self._transport.read(0.0):
            pass
