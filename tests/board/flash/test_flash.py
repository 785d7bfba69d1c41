"""The firmware gets onto a Pico in boot mode, onto nothing else, and answers."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import struct
from pathlib import Path

import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.errors import FlashFailed, LinkTimeout
from parfocal.board.flash import flash as flashing
from parfocal.board.flash.drive import BootDrive, boot_drives, drive_at, the_drive
from parfocal.board.flash.flash import Bench, flash
from parfocal.board.flash.image import SHIPPED, checked_uf2, serial_of, with_serial
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed, probe
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.firmware.library import SOURCES
from parfocal.board.stub.virtual_bench import VirtualBench
from tools.firmware import shipped as shipped_firmware
from tools.firmware.shipped import NOTE, sources_sha256

# As the boot ROM of the RP2040 writes it.
INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"
INFO_OF_A_PICO_2 = "UF2 Bootloader v1.0\r\nModel: Raspberry Pi RP2350\r\nBoard-ID: RP2350\r\n"


def image() -> bytes:
    return SHIPPED.read_bytes()


class Pico:
    """A Pico in boot mode: it takes the blocks of a file on its drive and starts what they hold."""

    def __init__(self, drive: Path, info: str = INFO, boots: bool = True) -> None:
        self.drive = drive
        self.boots = boots
        self.clock = VirtualClock()
        self.is_started = False
        self.asked = 0
        drive.mkdir()
        (drive / "INFO_UF2.TXT").write_text(info)

    def ports_after(self, n_ports: int) -> list[UsbPort]:
        """Its first ports only."""
        self._look()
        return Pico.ports(self)[:n_ports]

    def ports(self) -> list[UsbPort]:
        other = UsbPort("/dev/ttyACM0", 0x1209, 1, "00000009", "parfocal", "parfocal motor board")
        self._look()
        if not self.is_started:
            return [other]
        return [
            other,
            UsbPort("/dev/ttyUSB3", 0x1A86, 0x7523, "", "", "a modem"),
            UsbPort("/dev/ttyACM1", 0x1209, 1, f"{self.serial:08x}", "parfocal", "parfocal motor board"),
        ]

    def ask(self, port: UsbPort) -> Probed:
        assert port.path == "/dev/ttyACM1"
        self.asked += 1
        if self.asked == 1:
            raise LinkTimeout("it is still starting")
        bench = VirtualBench(StubConfig(unit_serial=self.serial))
        return probe(bench.transport, bench.clock)

    def _look(self) -> None:
        for file in self.drive.glob("*.uf2"):
            data = file.read_bytes()
            blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
            taken = [b for b in blocks if struct.unpack_from("<I", b, 28)[0] == 0xE48BFF56]
            flash_bytes = b"".join(block[32 : 32 + 256] for block in taken)
            found = re.search(rb"parfocal serial:(....)", flash_bytes, re.DOTALL)
            if taken and len(taken) == struct.unpack_from("<I", taken[0], 24)[0] and found and self.boots:
                self.serial = int.from_bytes(found[1], "little")
                shutil.rmtree(self.drive)
                self.is_started = True

    @property
    def bench(self) -> Bench:
        return Bench(self.clock, self.ports, self.ask)


def in_boot_mode(path: Path) -> BootDrive:
    drive = drive_at(path)
    assert drive is not None
    return drive


# --- the image


def test_the_shipped_image_is_whole_and_made_of_these_sources() -> None:
    assert checked_uf2(image(), "shipped") == image()
    note = json.loads(NOTE.read_text())
    assert note["sha256"] == hashlib.sha256(image()).hexdigest()
    assert note["sources_sha256"] == sources_sha256(), "run `python -m tools.firmware.shipped`"
    assert SHIPPED == shipped_firmware.IMAGE


def test_the_usb_ids_are_those_of_the_firmware() -> None:
    source = (SOURCES / "rp2040" / "usb.c").read_text()
    assert f"#define VENDOR_ID 0x{flashing.VENDOR_ID:04x}" in source
    assert f"#define PRODUCT_ID 0x{flashing.PRODUCT_ID:04x}" in source


def test_a_serial_number_changes_four_bytes_and_nothing_else() -> None:
    assert serial_of(image()) == 1
    other = with_serial(image(), 0xDEADBEEF)
    assert serial_of(other) == 0xDEADBEEF
    assert sum(a != b for a, b in zip(image(), other, strict=True)) == 4
    assert checked_uf2(other, "other") == other
    for invalid in (0, 2**32):
        with pytest.raises(ValueError, match=r"it must be 1 to"):
            with_serial(image(), invalid)
    with pytest.raises(FlashFailed, match="no place for a serial number"):
        with_serial(b"x" * 512, 2)
    assert serial_of(b"x" * 512) is None


def patched(at: int, value: int) -> bytes:
    data = bytearray(image())
    data[at : at + 4] = struct.pack("<I", value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a UF2 file: 0 bytes are not whole blocks"),
        (image()[:-1], "not whole blocks of 512"),
        (b"MZ" * 512, "block 0 lacks its marks"),
        (patched(512 * 3, 0), "block 3 lacks its marks"),
        (patched(512 * 3 - 4, 0), "block 2 lacks its marks"),
        (patched(512 + 28, 0xE48BFF59), r"another chip \(RP2350 \(Arm\)\), not for the RP2040"),
        (patched(512 + 28, 0x1234), r"another chip \(family 0x00001234\)"),
        (patched(8, 0), r"another chip \(no family\)"),
        (image()[512:], "is incomplete: block 1 of"),
        (image()[:-512], "is incomplete: block 0 of"),
        (patched(12, 0x20000000), "writes outside the flash, at 0x20000000"),
        (patched(16, 477), "writes outside the flash"),
    ],
)
def test_a_file_that_is_not_all_for_this_chip_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(FlashFailed, match=why):
        checked_uf2(data, "other.uf2")


# --- the drive


def mounts(tmp_path: Path, *points: Path) -> Path:
    table = tmp_path / "mounts"
    lines = ["proc /proc proc rw 0 0", "/dev/sda1 / ext4 rw 0 0"]
    lines += [f"/dev/sdb{i} {str(p).replace(' ', chr(92) + '040')} vfat rw 0 0" for i, p in enumerate(points)]
    table.write_text("\n".join(lines) + "\n")
    return table


def test_the_only_pico_in_boot_mode_is_found_whatever_its_mount_point(tmp_path: Path) -> None:
    pico = Pico(tmp_path / "RPI RP2")
    (tmp_path / "stick").mkdir()
    table = mounts(tmp_path, tmp_path / "stick", pico.drive)
    assert boot_drives(table) == [BootDrive(pico.drive, "Raspberry Pi RP2", "RPI-RP2")]
    assert str(the_drive(None, table)) == f"Raspberry Pi RP2 (RPI-RP2) at {pico.drive}"


def test_another_chip_two_boards_and_none_are_refused_with_what_was_found(tmp_path: Path) -> None:
    other = Pico(tmp_path / "other", INFO_OF_A_PICO_2).drive
    with pytest.raises(FlashFailed, match=r"found Raspberry Pi RP2350 \(RP2350\) at .*Nothing was written"):
        the_drive(None, mounts(tmp_path, other))
    with pytest.raises(FlashFailed, match="found Raspberry Pi RP2350"):
        the_drive(other)
    one = Pico(tmp_path / "one").drive
    with pytest.raises(
        FlashFailed, match=r"2 boards are in boot mode: .*one, .*other. Name one with --drive"
    ):
        the_drive(None, mounts(tmp_path, other, one))
    assert the_drive(one, mounts(tmp_path, other, one)).path == one
    none = mounts(tmp_path)
    with pytest.raises(FlashFailed, match=r"no board is in boot mode. Hold the button BOOTSEL"):
        the_drive(None, none, tmp_path)
    (tmp_path / "RPI-RP2").write_text("")
    with pytest.raises(FlashFailed, match=r"its drive is not mounted.*udisksctl mount -b"):
        the_drive(None, none, tmp_path)
    with pytest.raises(
        FlashFailed, match=r"is not the drive of a board in boot mode: it has no INFO_UF2.TXT"
    ):
        the_drive(tmp_path)


# --- writing


def test_a_pico_starts_with_the_firmware_and_says_who_it_is(tmp_path: Path) -> None:
    pico = Pico(tmp_path / "RPI-RP2")
    flashed = flash(in_boot_mode(pico.drive), with_serial(image(), 77), pico.bench)
    assert (flashed.port.path, flashed.port.name) == ("/dev/ttyACM1", "usb:1209:0001:0000004d")
    assert flashed.board.unit_serial == 77


def test_a_board_that_does_not_take_the_file_or_does_not_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = Pico(tmp_path / "stubborn", boots=False)
    with pytest.raises(FlashFailed, match="the board stays in boot mode: it did not take the file"):
        flash(in_boot_mode(stubborn.drive), image(), stubborn.bench)
    mute = Pico(tmp_path / "mute")
    monkeypatch.setattr(mute, "ask", lambda _: (_ for _ in ()).throw(LinkTimeout("nothing for 5 s")))
    with pytest.raises(FlashFailed, match="a board has started, but it did not answer: nothing for 5 s"):
        flash(in_boot_mode(mute.drive), image(), mute.bench)
    gone = Pico(tmp_path / "gone")
    monkeypatch.setattr(gone, "ports", lambda: gone.ports_after(0))
    with pytest.raises(FlashFailed, match=r"no serial port of 1209:0001 appeared within 15 s"):
        flash(in_boot_mode(gone.drive), image(), gone.bench)


@pytest.mark.parametrize(("n_before", "is_fine"), [(None, True), (1000, False)])
def test_a_drive_that_disappears_after_the_last_byte_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_before: int | None, is_fine: bool
) -> None:
    write, fsync = os.write, os.fsync

    def writes_so_far(descriptor: int, data: bytes) -> int:
        if n_before is not None and len(data) < len(image()):
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, data[:n_before])

    def gone(descriptor: int) -> None:
        fsync(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", writes_so_far)
    monkeypatch.setattr(os, "fsync", gone)
    if is_fine:
        flashing.write(tmp_path / "parfocal.uf2", image())
        assert (tmp_path / "parfocal.uf2").read_bytes() == image()
        return
    with pytest.raises(
        FlashFailed, match=rf"was not written \(Input/output error\): 1000 of {len(image())} bytes"
    ):
        flashing.write(tmp_path / "parfocal.uf2", image())


def test_a_drive_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FlashFailed, match=r"was not written .*: 0 of \d+ bytes"):
        flashing.write(tmp_path / "missing" / "parfocal.uf2", image())
