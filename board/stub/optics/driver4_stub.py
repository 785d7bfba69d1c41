"""An Optotune Lens Driver 4 that is not there: the bytes of `parfocal.board.tunable.driver4`, in virtual time."""

from __future__ import annotations

import struct
from collections.abc import Callable

from parfocal.board.clock import VirtualClock
from parfocal.board.errors import BoardNotFound
from parfocal.board.tunable.driver4 import END, FULL_UNITS, HELLO, READY, crc16, framed

REPLY_S = 0.001
# How many bytes of data follow each command that it knows, without the checksum.
_DATA_BYTES = {b"Aw": 2, b"Ar": 2, b"CrMA": 2, b"MwDA": 0, b"TCA": 0, b"X": 0}


class Driver4Stub:
    """The driver and its cable in one: a `Transport`."""

    def __init__(
        self,
        clock: VirtualClock,
        changed: Callable[[float, float], None] = lambda _time_s, _current_ma: None,
        serial: str = "STUB0001",
        full_ma: float = 292.84,
    ) -> None:
        """`changed` is called with the time, s, and the current, mA. Tests set `damages` and `is_plugged`."""
        self._clock, self._changed, self._serial, self._full_ma = clock, changed, serial, full_ma
        self.units, self.mode, self.temperature_c = 0, "focal power", 25.0
        self.commands: list[bytes] = []
        self.damages = 0  # so many replies to come are damaged
        self.is_plugged = True
        self._heard = self._replies = b""

    @property
    def current_ma(self) -> float:
        """The current that it gives."""
        return self.units / FULL_UNITS * self._full_ma

    def write(self, data: bytes) -> None:
        """Take bytes; they arrive at once. Raises BoardNotFound while it is unplugged."""
        if not self.is_plugged:
            raise BoardNotFound("lens driver is unplugged. Plug it in.")
        self._heard += data
        while self._heard and self._took_one():
            pass

    def read(self, timeout_s: float) -> bytes:
        """What it has answered, after the time that takes; b"" after `timeout_s` of virtual time."""
        if not self.is_plugged:
            raise BoardNotFound("lens driver is unplugged. Plug it in.")
        if self._replies and timeout_s > 0.0:
            self._clock.sleep_s(REPLY_S)
        elif not self._replies:
            self._clock.sleep_s(timeout_s)
        sent, self._replies = self._replies, b""
        return sent

    def close(self) -> None:
        """Unplug the cable: no more bytes. The current stays as it is."""
        self.is_plugged = False

    def _took_one(self) -> bool:
        """Carry out the command at the begin of what was heard; false while it is not whole."""
        if self._heard.startswith(HELLO):
            self._heard = self._heard[len(HELLO) :]
            self._replies += READY
            return True
        known = [letters for letters in _DATA_BYTES if self._heard.startswith(letters)]
        if not known:
            is_begun = any(letters.startswith(self._heard) for letters in (*_DATA_BYTES, HELLO))
            if not is_begun:
                self._heard = b""
            return False
        n_bytes = len(known[0]) + _DATA_BYTES[known[0]]
        if len(self._heard) < n_bytes + 2:
            return False
        command, self._heard = self._heard[: n_bytes + 2], self._heard[n_bytes + 2 :]
        payload = command[:n_bytes]
        if command[n_bytes:] != crc16(payload):
            self._replies += b"N" + END
            return True
        self.commands.append(payload)
        answer = self._answer(payload)
        if answer:
            self._reply(answer)
        return True

    def _answer(self, payload: bytes) -> bytes:
        if payload.startswith(b"Aw"):
            if self.mode == "current":
                self.units = struct.unpack(">h", payload[2:])[0]
                self._changed(self._clock.now_s(), self.current_ma)
            return b""
        if payload == b"MwDA":
            self.mode = "current"
            return b"MDA"
        if payload.startswith(b"Ar"):
            return b"A" + struct.pack(">h", self.units)
        if payload.startswith(b"CrMA"):
            return b"CMA" + struct.pack(">h", round(self._full_ma * 100.0))
        if payload == b"X":
            return b"X" + self._serial.encode("ascii").ljust(8, b"\0")
        return b"TCA" + struct.pack(">h", round(self.temperature_c * 16.0))

    def _reply(self, payload: bytes) -> None:
        frame = framed(payload) + END
        if self.damages:
            self.damages -= 1
            frame = bytes([frame[0] ^ 0x40]) + frame[1:]
        self._replies += frame
