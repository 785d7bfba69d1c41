"""What a V4L2 device says of itself, asked of the kernel: what it is, and its modes.

Numbers and layouts are those of linux/videodev2.h; a test holds them against the header.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

QUERYCAP, QUERYCAP_BYTES = 0x80685600, 104
ENUM_FMT, ENUM_FMT_BYTES = 0xC0405602, 64
ENUM_FRAMESIZES, ENUM_FRAMESIZES_BYTES = 0xC02C564A, 44
ENUM_FRAMEINTERVALS, ENUM_FRAMEINTERVALS_BYTES = 0xC034564B, 52
G_CTRL, S_CTRL, CTRL_BYTES = 0xC008561B, 0xC008561C, 8
CAPTURE, DEVICE_CAPS = 0x00000001, 0x80000000
COMPRESSED_FLAG = 1
POWER_LINE_FREQUENCY = 0x00980918  # V4L2_CID_POWER_LINE_FREQUENCY: 0 off, 1 50 Hz, 2 60 Hz
_CAPTURE_BUFFERS = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_DISCRETE = 1
_MOST_ROWS = 1000  # a driver that never ends its list

# A call of the kernel on an open device: request and buffer; it fills the buffer. Raises OSError.
Ioctl = Callable[[int, bytearray], object]


class Mode(msgspec.Struct, frozen=True):
    """One size in one pixel format, with the shortest frame period, s; None where the driver does not say it."""

    pixel_format: str
    width_px: int
    height_px: int
    is_compressed: bool
    period_s: float | None

    def __str__(self) -> str:
        rate = "" if self.period_s is None else f", {1.0 / self.period_s:.3g} frames/s"
        return f"{self.width_px} x {self.height_px} {self.pixel_format}{rate}"


class Description(NamedTuple):
    """Driver and card of a device, and whether it captures images."""

    driver: str
    card: str
    is_camera: bool


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Ioctl]:
    """The calls of a device; nothing else is opened and nothing changes. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield lambda request, buffer: fcntl.ioctl(descriptor, request, buffer)
    finally:
        os.close(descriptor)


def description(call: Ioctl) -> Description:
    """What the device is. Raises OSError."""
    buffer = bytearray(QUERYCAP_BYTES)
    call(QUERYCAP, buffer)
    driver, card = (
        bytes(buffer[a:b]).split(b"\0")[0].decode("utf-8", "replace") for a, b in ((0, 16), (16, 48))
    )
    of_all, of_this = struct.unpack_from("<II", buffer, 84)
    return Description(driver, card, bool((of_this if of_all & DEVICE_CAPS else of_all) & CAPTURE))


def modes(call: Ioctl) -> list[Mode]:
    """Every mode that the driver lists, uncompressed first, large before small. Raises OSError."""
    found: list[Mode] = []
    for row in _rows(call, ENUM_FMT, ENUM_FMT_BYTES, struct.pack("<I", _CAPTURE_BUFFERS)):
        flags, pixel_format = struct.unpack_from("<I", row, 8)[0], bytes(row[44:48])
        is_compressed = bool(flags & COMPRESSED_FLAG)
        name = pixel_format.decode("ascii", "replace").strip()
        for width_px, height_px in _sizes(call, pixel_format):
            period_s = _period_s(call, pixel_format, width_px, height_px)
            found.append(Mode(name, width_px, height_px, is_compressed, period_s))
    return sorted(
        set(found), key=lambda mode: (mode.is_compressed, -mode.width_px * mode.height_px, mode.pixel_format)
    )


def modes_at(path: Path) -> list[Mode]:
    """The modes of a device; none where it cannot be asked."""
    try:
        with opened(path) as call:
            return modes(call)
    except OSError:
        return []


def control(call: Ioctl, control_id: int) -> int | None:
    """The value of a control, None if the device does not have it. Raises OSError for any other reason."""
    buffer = bytearray(struct.pack("<Ii", control_id, 0))
    try:
        call(G_CTRL, buffer)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY):
            return None
        raise
    value: int = struct.unpack("<Ii", buffer)[1]
    return value


def set_control(call: Ioctl, control_id: int, value: int) -> int | None:
    """Set a control; returns its value afterwards, None if the device does not have it or does not take it."""
    with contextlib.suppress(OSError):
        call(S_CTRL, bytearray(struct.pack("<Ii", control_id, value)))
    return control(call, control_id)


def _sizes(call: Ioctl, pixel_format: bytes) -> list[tuple[int, int]]:
    """Sizes of one format; of a range of sizes its largest."""
    sizes = []
    for row in _rows(call, ENUM_FRAMESIZES, ENUM_FRAMESIZES_BYTES, pixel_format):
        kind, *values = struct.unpack_from("<7I", row, 8)
        sizes.append((values[0], values[1]) if kind == _DISCRETE else (values[1], values[4]))
    return sizes


def _period_s(call: Ioctl, pixel_format: bytes, width_px: int, height_px: int) -> float | None:
    """The shortest frame period, s."""
    asked = pixel_format + struct.pack("<II", width_px, height_px)
    periods_s = []
    for row in _rows(call, ENUM_FRAMEINTERVALS, ENUM_FRAMEINTERVALS_BYTES, asked):
        _, numerator, denominator = struct.unpack_from("<3I", row, 16)
        if denominator:
            periods_s.append(numerator / denominator)
    return min(periods_s, default=None)


def _rows(call: Ioctl, request: int, n_bytes: int, asked: bytes) -> Iterator[bytearray]:
    """The rows of one of the kernel's lists, which end with EINVAL."""
    for index in range(_MOST_ROWS):
        row = bytearray(struct.pack("<I", index) + asked).ljust(n_bytes, b"\0")
        try:
            call(request, row)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                return
            raise
        yield row
