"""Width and height of an image file from its header, to check the size before the image is decoded."""

import logging
import struct
from pathlib import Path
from typing import BinaryIO

import tifffile

# Our error says what is wrong with a file; without this tifffile would log it to stderr as well.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# JPEG markers that begin a frame, and markers without a length (ITU-T T.81, table B.1).
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def size_px_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, JPEG, TIFF or BMP file.

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
                return _size_px(*_size_px_of_jpeg(file))
            if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
                file.seek(0)
                with tifffile.TiffFile(file) as tiff:
                    return _size_px(tiff.pages.first.imagewidth, tiff.pages.first.imagelength)
        except (struct.error, tifffile.TiffFileError, IndexError) as error:
            raise ValueError(f"{path} is damaged: its header gives no size") from error
    raise ValueError(f"{path} is not an image that can be read: no PNG, JPEG, TIFF or BMP")


def _size_px(width_px: int, height_px: int) -> tuple[int, int]:
    # The height of a BMP is negative where its rows run from the top down.
    return width_px, abs(height_px)


def _size_px_of_jpeg(file: BinaryIO) -> tuple[int, int]:
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
