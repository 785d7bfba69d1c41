"""Width and height of an image file from its header, to check the size before the image is decoded."""

import logging
import struct
from pathlib import Path

import tifffile

from parfocal.edge.jpeg import frame_header

# Our error says what is wrong with a file; without this tifffile would log it to stderr as well.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def size_px_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, JPEG, WebP, TIFF or BMP file.

    Raises OSError; ValueError where the file is of another format or damaged.
    """
    with path.open("rb") as file:
        head = file.read(32)
        try:
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _size_px(*struct.unpack(">II", head[16:24]))
            if head.startswith(b"BM"):
                return _size_px(*struct.unpack("<ii", head[18:26]))
            if head.startswith(b"\xff\xd8"):
                return frame_header(file)[:2]
            if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
                return _size_px_of_webp(head)
            if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
                file.seek(0)
                with tifffile.TiffFile(file) as tiff:
                    return _size_px(tiff.pages.first.imagewidth, tiff.pages.first.imagelength)
        except (struct.error, tifffile.TiffFileError, IndexError) as error:
            raise ValueError(f"{path} is damaged: its header gives no size") from error
    raise ValueError(f"{path} is not an image that can be read: no PNG, JPEG, WebP, TIFF or BMP")


def _size_px(width_px: int, height_px: int) -> tuple[int, int]:
    # The height of a BMP is negative where its rows run from the top down.
    return width_px, abs(height_px)


def _size_px_of_webp(head: bytes) -> tuple[int, int]:
    """Width and height from the first chunk: lossy, lossless, or with further ones (RFC 9649). Raises struct.error."""
    kind = head[12:16]
    if kind == b"VP8 ":
        width_px, height_px = struct.unpack("<HH", head[26:30])
        return width_px & 0x3FFF, height_px & 0x3FFF
    if kind == b"VP8L":
        (both,) = struct.unpack("<I", head[21:25])
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    raise struct.error
