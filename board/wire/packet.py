"""Frames on the wire: `0x00 COBS(header | payload | crc32_le) 0x00`, at most 64 bytes.

The leading 0x00 ends whatever noise came before, so a frame after noise is never lost. CRC-32 and not CRC-16:
at 3,600 damaged frames a night CRC-16 lets about 0.05 through, CRC-32 about 1e-6.

COBS is written out here: a frame is far below the 254 bytes at which its long blocks begin, and a few lines
that split at zeros are four times as fast as a general encoder in Python.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from parfocal.board.wire.messages import MAX_PAYLOAD_BYTES, PROTOCOL_VERSION

MAX_FRAME_BYTES = 64
_MAX_CODED_BYTES = MAX_FRAME_BYTES - 2
_HEADER = struct.Struct("<BBBBHH")
_CRC = struct.Struct("<I")
_MIN_RAW_BYTES = _HEADER.size + _CRC.size
_CODE = tuple(bytes((1 + n_bytes,)) for n_bytes in range(MAX_FRAME_BYTES))  # of a run of n bytes and its zero


class Packet(msgspec.Struct, frozen=True):
    """One packet: header and at most 49 bytes of payload. `kind`, `opcode`, `status` may be unknown codes."""

    kind: int
    opcode: int
    status: int
    seq: int
    session: int
    payload: bytes = b""
    version: int = PROTOCOL_VERSION


def encode(packet: Packet) -> bytes:
    """Frame of a packet. Raises ValueError when the payload is too long or a header field does not fit."""
    if len(packet.payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"payload of {len(packet.payload)} bytes: at most {MAX_PAYLOAD_BYTES} fit a frame")
    try:
        header = _HEADER.pack(
            packet.version, packet.kind, packet.opcode, packet.status, packet.seq, packet.session
        )
    except struct.error as error:
        raise ValueError(f"{packet} cannot be sent: {error}") from error
    raw = header + packet.payload
    runs = (raw + _CRC.pack(zlib.crc32(raw))).split(b"\0")
    return b"".join([b"\0", *[_CODE[len(run)] + run if run else b"\1" for run in runs], b"\0"])


class FrameErrors(msgspec.Struct):
    """Damaged frames so far."""

    crc_errors: int = 0
    framing_errors: int = 0


class StreamDecoder:
    """Turns a stream of bytes into packets. After damage it is in step again at the next delimiter."""

    def __init__(self, errors: FrameErrors | None = None) -> None:
        """`errors` counts damaged frames; None gives the decoder a count of its own."""
        self.errors = FrameErrors() if errors is None else errors
        self._tail = b""

    def reset(self) -> None:
        """Forget a frame that has begun: what comes next comes from elsewhere."""
        self._tail = b""

    def feed(self, data: bytes) -> list[Packet]:
        """Packets that `data` completes; damaged ones are counted and dropped."""
        chunks = (self._tail + data).split(b"\0")
        # A tail that is already too long stays too long however it goes on: keep just enough to know it.
        self._tail = chunks.pop()[: _MAX_CODED_BYTES + 1]
        return [packet for chunk in chunks if chunk and (packet := self._decoded(chunk)) is not None]

    def _decoded(self, chunk: bytes) -> Packet | None:
        if len(chunk) > _MAX_CODED_BYTES:
            self.errors.framing_errors += 1
            return None
        coded = bytearray(chunk)
        n_bytes, at = len(coded), 0
        while at < n_bytes:
            run = coded[at]
            coded[at] = 0
            at += run
        if at != n_bytes or n_bytes <= _MIN_RAW_BYTES:
            self.errors.framing_errors += 1
            return None
        body = bytes(coded[1 : -_CRC.size])
        if _CRC.unpack_from(coded, n_bytes - _CRC.size)[0] != zlib.crc32(body):
            self.errors.crc_errors += 1
            return None
        version, kind, opcode, status, seq, session = _HEADER.unpack_from(body)
        return Packet(kind, opcode, status, seq, session, body[_HEADER.size :], version)
