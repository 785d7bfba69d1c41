"""Lines of text over a transport, with deadlines. Foreign boards speak in lines and have no checksum."""

from __future__ import annotations

from parfocal.board.clock import PacedClock
from parfocal.board.link.transport import Transport

_LONGEST_LINE_BYTES = (
    512  # longer than any line of these dialects; a device that sends no line end is cut here
)
_SAMPLE_BYTES = 200
_SHOWN_CHARACTERS = 60
_SHARE_OF_TEXT = 0.9  # a device that speaks text may begin with some noise


class Lines:
    """Sends lines and returns those that arrive. Call it from one thread at a time; `urgent` from any."""

    def __init__(self, transport: Transport, clock: PacedClock) -> None:
        self.clock = clock
        self._transport = transport
        self._partial = b""
        self._waiting: list[str] = []
        self._n_bytes = 0
        self._sample = b""

    def send(self, line: str) -> None:
        """Send one line. Raises BoardNotFound when the port is gone."""
        self._transport.write(line.encode("ascii") + b"\n")

    def urgent(self, data: bytes) -> None:
        """Send bytes outside of any line, from any thread. Raises BoardNotFound when the port is gone."""
        self._transport.write(data)

    def next(self, deadline_s: float) -> str | None:
        """The next line that is not empty, or None when none arrives until `deadline_s` of the clock.

        Bytes that are not text become U+FFFD, so that no damaged line looks whole.
        Raises BoardNotFound when the port is gone.
        """
        while not self._waiting:
            left_s = deadline_s - self.clock.now_s()
            data = self._transport.read(max(left_s, 0.0) / self.clock.speed)
            if data:
                self._take(data)
            elif left_s <= 0.0:
                return None
        return self._waiting.pop(0)

    def after_s(self, wall_s: float) -> float:
        """The clock's time in `wall_s` seconds of wall time. A reply is late by wall time, whatever the clock."""
        return self.clock.now_s() + wall_s * self.clock.speed

    def drop_partial(self) -> None:
        """Forget a line that has not ended. Call it when a device has restarted."""
        self._partial = b""

    def close(self) -> None:
        """Release the port. Idempotent."""
        self._transport.close()

    def heard(self, wall_s: float) -> str:
        """What has arrived so far, in words, for an error after `wall_s` of waiting."""
        if not self._n_bytes:
            return f"nothing for {wall_s:.7g} s"
        readable = bytes(byte for byte in self._sample if 32 <= byte < 127 or byte in b"\r\n\t")
        if len(readable) < _SHARE_OF_TEXT * len(self._sample):
            return f"{self._n_bytes} bytes, none of them a line of text"
        text = " ".join(readable.decode("ascii").split())
        return f"text: {text[:_SHOWN_CHARACTERS]}"

    def _take(self, data: bytes) -> None:
        self._n_bytes += len(data)
        self._sample += data[: _SAMPLE_BYTES - len(self._sample)]
        *whole, self._partial = (self._partial + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._partial) > _LONGEST_LINE_BYTES:
            whole.append(self._partial)
            self._partial = b""
        texts = (line.decode("ascii", "replace").strip() for line in whole)
        self._waiting += [text for text in texts if text]
