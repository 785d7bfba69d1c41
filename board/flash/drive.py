"""Finds the drives of boards in boot mode: each has a file INFO_UF2.TXT that says which chip it is."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from parfocal.board.errors import FlashFailed

BOARD_ID = "RPI-RP2"
_INFO = "INFO_UF2.TXT"
_MOUNTS, _LABELS = Path("/proc/mounts"), Path("/dev/disk/by-label")
_FAT = ("vfat", "msdos")
HOW_TO_BOOT = (
    "Hold the button BOOTSEL of the Pico while you plug in its cable; it then appears as a drive named RPI-RP2. "
    "Run this command again."
)


class BootDrive(msgspec.Struct, frozen=True):
    """A mounted drive of a board in boot mode: where it is, its model and its board id, as it says itself."""

    path: Path
    model: str
    board_id: str

    def __str__(self) -> str:
        return f"{self.model} ({self.board_id}) at {self.path}"


def drive_at(path: Path) -> BootDrive | None:
    """The boot drive mounted at `path`, None if there is none."""
    try:
        text = (path / _INFO).read_text("ascii", "replace")
    except OSError:
        return None
    found = dict(re.findall(r"^([\w-]+): *(.*?)\s*$", text, re.MULTILINE))
    return BootDrive(path, found.get("Model", "unknown model"), found.get("Board-ID", "no board id"))


def boot_drives(mounts: Path = _MOUNTS) -> list[BootDrive]:
    """Every mounted boot drive, of whatever chip."""
    points = []
    for line in mounts.read_text().splitlines():
        _, point, kind, *_ = line.split(" ")
        if kind in _FAT:
            points.append(Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point)))
    drives = (drive_at(point) for point in sorted(set(points)))
    return [drive for drive in drives if drive is not None]


def the_drive(asked: Path | None, mounts: Path = _MOUNTS, labels: Path = _LABELS) -> BootDrive:
    """The drive of the one Pico in boot mode, or of the one mounted at `asked`.

    Raises FlashFailed: there is none, there are several, or it is another chip.
    """
    if asked is not None:
        drive = drive_at(asked)
        if drive is None:
            raise FlashFailed(
                f"{asked} is not the drive of a board in boot mode: it has no {_INFO}. {HOW_TO_BOOT}"
            )
        return _fitting(drive)
    drives = boot_drives(mounts)
    if len(drives) > 1:
        listed = ", ".join(map(str, drives))
        raise FlashFailed(f"{len(drives)} boards are in boot mode: {listed}. Name one with --drive.")
    if drives:
        return _fitting(drives[0])
    device = labels / BOARD_ID
    if device.exists():
        raise FlashFailed(
            f"a Pico is in boot mode at {device.resolve()}, but its drive is not mounted. Mount it, for example with "
            f"`udisksctl mount -b {device}`, and run this command again."
        )
    raise FlashFailed(f"no board is in boot mode. {HOW_TO_BOOT}")


def _fitting(drive: BootDrive) -> BootDrive:
    if drive.board_id != BOARD_ID:
        raise FlashFailed(
            f"found {drive}; this firmware is for the RP2040 of a Raspberry Pi Pico ({BOARD_ID}). Nothing was written."
        )
    return drive
