"""How finely a JPEG frame samples its colours, from its header."""

from __future__ import annotations

import struct
from typing import Final

_START, _SCAN = 0xD8, 0xDA
# ITU-T T.81, table B.1: frame headers are 0xC0 to 0xCF without those of tables (C4, CC) and of extensions (C8).
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NAMES: Final = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}


def chroma_of(jpeg: bytes) -> str | None:
    """The sampling of the colours, such as "4:2:2"; None for a grey picture, and for what is not a JPEG.

    By the markers of ITU-T T.81 B.1 and the sampling factors of its frame header, B.2.2.
    """
    at = 2
    if jpeg[:2] != bytes((0xFF, _START)):
        return None
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", jpeg, at + 1)
        if marker in _FRAMES:
            return _sampling(jpeg[at + 4 : at + 2 + length])
        if marker == _SCAN:
            return None
        at += 2 + length
    return None


def _sampling(header: bytes) -> str | None:
    """Of a frame header: precision, height, width and number of components, then three bytes for each of them."""
    if len(header) < 6 or header[5] != 3 or len(header) < 15:
        return None
    across, down = (tuple(_half(header[7 + 3 * k], high) for k in range(3)) for high in (True, False))
    if across[1] != across[2] or down[1] != down[2] or 0 in (*across, *down):
        return None
    return _NAMES.get((across[0] // across[1], down[0] // down[1]))


def _half(byte: int, high: bool) -> int:
    return byte >> 4 if high else byte & 15
