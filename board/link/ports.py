"""Finds the port of a board: by path, or by USB vendor, product and serial number, whatever its path is now."""

from __future__ import annotations

import re

import msgspec
from serial.tools import list_ports

from parfocal.board.errors import BadPort, BoardNotFound

_USB = re.compile(r"usb:(?P<vid>[0-9a-f]{1,4}):(?P<pid>[0-9a-f]{1,4})(?::(?P<serial>.+))?", re.IGNORECASE)


class UsbPort(msgspec.Struct, frozen=True):
    """One USB serial port and its device's own description. Texts that the device does not give are empty."""

    path: str
    vendor_id: int
    product_id: int
    serial_number: str
    vendor: str
    product: str

    @property
    def name(self) -> str:
        """Finds the port again under any path: `usb:VID:PID:SERIAL`."""
        ids = f"usb:{self.vendor_id:04x}:{self.product_id:04x}"
        return f"{ids}:{self.serial_number}" if self.serial_number else ids

    def __str__(self) -> str:
        return f"{self.path} ({self.name})"


def port_path(port: str) -> str:
    """Path of `port`: itself, or the path of the one USB serial port that `usb:VID:PID[:SERIAL]` names.

    Raises BadPort for any other name, BoardNotFound when there is no such port, or more than one.
    """
    if port and "\0" not in port and not port.startswith("usb:"):
        return port
    asked = _USB.fullmatch(port)
    if asked is None:
        raise BadPort(
            f"port {port!r} is invalid: give a path such as /dev/ttyACM0, or usb:VID:PID or usb:VID:PID:SERIAL such as "
            "usb:2e8a:000a"
        )
    vid, pid, serial = int(asked["vid"], 16), int(asked["pid"], 16), asked["serial"]
    boards = [info for info in list_ports.comports() if (info.vid, info.pid) == (vid, pid)]
    fits = sorted(str(info.device) for info in boards if serial in (None, info.serial_number))
    if len(fits) == 1:
        return fits[0]
    if fits:
        serials = ", ".join(sorted(f"{port}:{info.serial_number}" for info in boards))
        raise BoardNotFound(
            f"board at {port} not opened: {len(fits)} such boards are present. Choose {serials}."
        )
    present = ", ".join(map(str, usb_ports())) or "none"
    raise BoardNotFound(
        f"board at {port} not opened: it is not plugged in (USB serial ports present: {present}). "
        "Plug it in or set its port."
    )


def usb_ports() -> list[UsbPort]:
    """Every USB serial port that is present, sorted by path."""
    found = [info for info in list_ports.comports() if info.vid is not None]
    ports = [
        UsbPort(
            path=str(info.device),
            vendor_id=info.vid,
            product_id=info.pid,
            serial_number=info.serial_number or "",
            vendor=info.manufacturer or "",
            product=info.product or "",
        )
        for info in found
    ]
    return sorted(ports, key=lambda port: port.path)
