"""A cable with a listener."""

from __future__ import annotations

from parfocal.board.link.transport import Transport
from parfocal.board.wire.packet import Packet, StreamDecoder


class Listening:
    """A transport that records what the host sends."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.sent: list[Packet] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += StreamDecoder().feed(data)
        self._inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._inner.read(timeout_s)

    def close(self) -> None:
        self.closed = True
        self._inner.close()
