"""What arrived at a port where nobody answered HELLO. The error reports it, so that a person knows where to look."""

from __future__ import annotations

import string

from parfocal.board.wire.messages import PROTOCOL_VERSION, Kind
from parfocal.board.wire.packet import Packet

_SAMPLE_BYTES = 400
_SHOWN_CHARACTERS = 60
_TEXT = frozenset(string.printable.encode("ascii"))
_TEXT_KINDS = ("grbl", "sangaboard")  # kinds of board that greet with their name
_SHARE_OF_TEXT = 0.9  # a device that speaks text may begin with some noise


class Heard:
    """Collects everything that arrives."""

    def __init__(self) -> None:
        self.other_version: int | None = None  # of a frame of another protocol version
        self._n_bytes = self._n_frames = self._n_echoes = 0
        self._sample = b""

    def note(self, data: bytes, packets: list[Packet]) -> None:
        """Note `data`, which completed `packets`."""
        self._n_bytes += len(data)
        self._sample += data[: _SAMPLE_BYTES - len(self._sample)]
        for packet in packets:
            self._n_frames += 1
            self._n_echoes += packet.kind == Kind.REQUEST
            if packet.version != PROTOCOL_VERSION:
                self.other_version = packet.version

    def summary(self) -> str:
        """What was heard, and what to do about it."""
        if self._n_bytes == 0:
            return "heard nothing. Check its cable and supply, and that this is the board's port."
        if self._n_echoes:
            return "heard its own frames come back. This port echoes: set the port of the board."
        if self._n_frames:
            return f"heard {self._n_frames} frames, but no answer. Reset the board and try again."
        if text := self._text():
            kinds = [kind for kind in _TEXT_KINDS if kind in text.lower()]
            remedy = f'set board.kind = "{kinds[0]}"' if kinds else "flash the firmware of this release"
            return f'heard text: "{text}". Set the port of the board, or {remedy}.'
        heard = f"heard {self._n_bytes} bytes, but no valid frame"
        return f"{heard}. Check board.baud, and that this is the board's port."

    def _text(self) -> str:
        """The beginning of what arrived if it is text, otherwise empty."""
        readable = bytes(byte for byte in self._sample if byte in _TEXT)
        if len(readable) < _SHARE_OF_TEXT * len(self._sample):
            return ""
        text = " ".join(readable.decode("ascii").split())
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 4] + " ..."
