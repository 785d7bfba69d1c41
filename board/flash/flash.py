"""Writes the firmware onto a boot drive, and asks the board that starts who it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardError, FlashFailed
from parfocal.board.flash.drive import BootDrive
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed

VENDOR_ID, PRODUCT_ID = 0x1209, 0x0001  # as in rp2040/usb.c
_NAME = "parfocal.uf2"
_RESTART_S, _LOOK_S = 15.0, 0.2
# The drive disappears with the last block, whatever the kernel was about to do with it.
_GONE = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENOENT, errno.ESTALE)


class Bench(NamedTuple):
    """What happens around a drive: time, the serial ports that are present, and how to ask a board at one of them."""

    clock: PacedClock
    ports: Callable[[], Iterable[UsbPort]]
    ask: Callable[[UsbPort], Probed]


class Flashed(NamedTuple):
    """The board that has started."""

    port: UsbPort
    board: Probed


def flash(drive: BootDrive, data: bytes, bench: Bench) -> Flashed:
    """Write a UF2 file that was checked; return the board that starts and answers HELLO.

    Raises FlashFailed, and whatever asking the board raises.
    """
    before = {port.path for port in bench.ports()}
    write(drive.path / _NAME, data)
    deadline_s = bench.clock.now_s() + _RESTART_S * bench.clock.speed
    last: BoardError | None = None
    while bench.clock.now_s() < deadline_s:
        for port in bench.ports():
            if port.path in before or (port.vendor_id, port.product_id) != (VENDOR_ID, PRODUCT_ID):
                continue
            try:
                return Flashed(port, bench.ask(port))
            except BoardError as error:
                last = error  # it may be starting, or udev may still be setting its permissions
        bench.clock.sleep_s(_LOOK_S * bench.clock.speed)
    if last is not None:
        raise FlashFailed(f"the firmware was written and a board has started, but it did not answer: {last}")
    if drive.path.joinpath("INFO_UF2.TXT").exists():
        raise FlashFailed(
            f"the firmware was written to {drive.path}, but the board stays in boot mode: it did not take the file. "
            "Unplug it, and try again with another cable."
        )
    raise FlashFailed(
        f"the firmware was written and the board has left its boot mode, but no serial port of {VENDOR_ID:04x}:"
        f"{PRODUCT_ID:04x} appeared within {_RESTART_S:.0f} s. Unplug it, plug it in again, and look at `dmesg`; "
        "`parfocal doctor` lists the ports."
    )


def write(path: Path, data: bytes) -> None:
    """Write a file and see that it has left this machine. Raises FlashFailed.

    A drive that disappears after the last byte was handed over is what a board does that starts.
    """
    n_written = 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            while n_written < len(data):
                n_written += os.write(descriptor, data[n_written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if n_written == len(data) and error.errno in _GONE:
            return
        raise FlashFailed(
            f"{path} was not written ({error.strerror}): {n_written} of {len(data)} bytes. If the drive may only be "
            "written by root, mount it for your user with `udisksctl mount`."
        ) from error
