"""How large an image file is, by its first bytes alone: what does not fit into memory must not be decoded."""

import logging
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile

# What is wrong with a file is told by our error, not by the library's log on stderr as well.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# The markers of JPEG that begin a frame (ITU-T T.81, table B.1), and those that stand alone.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def size_px_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, JPEG, TIFF or BMP. Raises OSError; ValueError where it is none."""
    with path.open("rb") as file:
        head = file.read(32)
        try:
            if head.startswith(b"\x89PNG\r\n\x1a\n"):
                return _sides(*struct.unpack(">II", head[16:24]))
            if head.startswith(b"BM"):
                return _sides(*struct.unpack("<ii", head[18:26]))
            if head.startswith(b"\xff\xd8"):
                return _sides(*_of_jpeg(file))
            if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
                file.seek(0)
                with tifffile.TiffFile(file) as tiff:
                    return _sides(tiff.pages.first.imagewidth, tiff.pages.first.imagelength)
        except (struct.error, tifffile.TiffFileError, IndexError) as error:
            raise ValueError(f"{path} is damaged: it does not say its size") from error
    raise ValueError(f"{path} is no image that can be read: no PNG, JPEG, TIFF or BMP")


def _sides(width_px: int, height_px: int) -> tuple[int, int]:
    # The height of a BMP is negative where its rows come from the top.
    return width_px, abs(height_px)


def _of_jpeg(file: BinaryIO) -> tuple[int, int]:
    """Width and height from the header of the first frame. Raises struct.error where there is none."""
    file.seek(2)
    while True:
        mark, kind = struct.unpack("BB", file.read(2))
        while kind == 0xFF:  # fill bytes
            (kind,) = struct.unpack("B", file.read(1))
        if mark != 0xFF:
            raise struct.error
        if kind in JPEG_ALONE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if kind in JPEG_FRAMES:
            height_px, width_px = struct.unpack(">xHH", file.read(5))
            return width_px, height_px
        file.seek(length - 2, 1)
