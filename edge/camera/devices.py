"""Finds video devices by number, path, serial number or name. Numbers change when cameras are plugged in again."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from parfocal.edge.errors import CameraFailed

_SYSFS = Path("/sys/class/video4linux")


class VideoDevice(msgspec.Struct, frozen=True):
    """One video device of this machine. `serial` is empty where its USB device gives none."""

    number: int
    name: str
    serial: str

    @property
    def path(self) -> Path:
        """Its device file."""
        return Path(f"/dev/video{self.number}")

    @property
    def lasting_name(self) -> str | int:
        """What finds it again after it was plugged in elsewhere: serial number, else name, else number."""
        return self.serial or self.name or self.number

    def __str__(self) -> str:
        serial = f", serial {self.serial}" if self.serial else ""
        return f"{self.path} ({self.name or 'unnamed'}{serial})"


def video_devices(sysfs: Path = _SYSFS) -> list[VideoDevice]:
    """Every video device, sorted by number. Second nodes of a camera, which give metadata, are left out."""
    devices = []
    for node in sysfs.glob("video*"):
        number = re.fullmatch(r"video(\d+)", node.name)
        if number and _text(node / "index") in ("", "0"):
            # The node belongs to a USB interface; the serial number to the device above it.
            serial = _text(node / "device" / ".." / "serial")
            devices.append(VideoDevice(int(number[1]), _text(node / "name"), serial))
    return sorted(devices, key=lambda device: device.number)


def device_number(asked: int | str, sysfs: Path = _SYSFS) -> int:
    """Number of the one video device that `asked` means: a number, a path, a serial number, or part of a name.

    Raises CameraFailed when there is none or more than one; a number is taken as it is.
    """
    if isinstance(asked, int):
        return asked
    if asked.startswith("/"):
        found = re.fullmatch(r"/dev/video(\d+)", str(Path(asked).resolve()))
        if found is None:
            raise CameraFailed(f"camera {asked} not found{_present(video_devices(sysfs))}")
        return int(found[1])
    devices = video_devices(sysfs)
    fits = [device for device in devices if asked and device.serial == asked]
    if not fits and asked:
        fits = [device for device in devices if asked.lower() in device.name.lower()]
    if len(fits) == 1:
        return fits[0].number
    if fits:
        listed = ", ".join(map(str, fits))
        raise CameraFailed(
            f"{len(fits)} cameras are called {asked!r}: {listed}. Set camera.device to a serial or path."
        )
    raise CameraFailed(f"camera {asked!r} not found{_present(devices)}")


def _present(devices: list[VideoDevice]) -> str:
    listed = ", ".join(map(str, devices)) or "none"
    return f" (video devices present: {listed}). Plug it in, or set camera.device."


def _text(file: Path) -> str:
    try:
        return file.resolve().read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
