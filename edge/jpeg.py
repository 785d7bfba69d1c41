"""The header of a JPEG: size and sampling of the colours, without decoding it (ITU-T T.81, B.1 and B.2.2)."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO, Final, NamedTuple

# Markers that begin a frame, and markers without a length (table B.1).
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_NAMES: Final = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


class FrameHeader(NamedTuple):
    """Of the first frame: its size, and the sampling of the colours, None for a grey picture or an unusual one."""

    width_px: int
    height_px: int
    chroma: str | None


def frame_header(file: BinaryIO) -> FrameHeader:
    """The header of the first frame of a JPEG. Raises struct.error where there is none."""
    file.seek(2)
    while True:
        mark, kind = struct.unpack("BB", file.read(2))
        while kind == 0xFF:  # fill bytes
            (kind,) = struct.unpack("B", file.read(1))
        if mark != 0xFF:
            raise struct.error
        if kind in _ALONE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if kind in _FRAMES:
            height_px, width_px, n_components = struct.unpack(">xHHB", file.read(6))
            return FrameHeader(width_px, height_px, _chroma(file.read(3 * n_components), n_components))
        file.seek(length - 2, 1)


def chroma_of(jpeg: bytes) -> str | None:
    """The sampling of the colours, such as "4:2:2"; None for a grey picture, and for what is not a JPEG."""
    if not jpeg.startswith(b"\xff\xd8"):
        return None
    try:
        return frame_header(io.BytesIO(jpeg)).chroma
    except struct.error:
        return None


def _chroma(components: bytes, n_components: int) -> str | None:
    """By how many times luminance has more samples than colours, across and down: a nibble each of a component."""
    if n_components != 3 or len(components) < 9:
        return None
    across, down = zip(*((factors >> 4, factors & 15) for factors in components[1::3]), strict=True)
    if across[1] != across[2] or down[1] != down[2] or 0 in (*across, *down):
        return None
    return _NAMES.get((across[0] // across[1], down[0] // down[1]))
