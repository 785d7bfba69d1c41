"""Ports by path, or by what USB says of them."""

from __future__ import annotations

import pytest
from serial.tools.list_ports_common import ListPortInfo

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import BoardError, BoardNotFound
from parfocal.board.link.ports import port_path, usb_ports
from parfocal.board.open import open_board


def port(device: str, vid: int | None, pid: int, serial: str | None) -> ListPortInfo:
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number = vid, pid, serial
    return info


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    ports = [
        port("/dev/ttyACM1", 0x2E8A, 0x000A, "E66118"),
        port("/dev/ttyACM0", 0x2341, 0x0043, None),
        port("/dev/ttyS0", None, 0, None),
    ]
    monkeypatch.setattr("parfocal.board.link.ports.list_ports.comports", lambda: ports)
    return ports


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/dev/ttyACM7", "/dev/ttyACM7"),
        ("usb:2e8a:000a", "/dev/ttyACM1"),
        ("usb:2E8A:A:E66118", "/dev/ttyACM1"),
        ("usb:2341:43", "/dev/ttyACM0"),
    ],
)
def test_a_port_is_found_whatever_it_is_called(plugged: list[ListPortInfo], asked: str, path: str) -> None:
    assert len(plugged) == 3
    assert port_path(asked) == path


@pytest.mark.parametrize("asked", ["usb:2e8a:000b", "usb:2e8a:000a:OTHER"])
def test_a_board_that_is_not_plugged_in_names_those_that_are(plugged: list[ListPortInfo], asked: str) -> None:
    assert len(plugged) == 3
    with pytest.raises(BoardNotFound, match=r"not plugged in .*ttyACM1 \(usb:2e8a:000a:E66118\)"):
        port_path(asked)


def test_two_boards_of_a_kind_must_be_told_apart(plugged: list[ListPortInfo]) -> None:
    plugged.append(port("/dev/ttyACM2", 0x2E8A, 0x000A, "E66119"))
    with pytest.raises(BoardNotFound, match="2 such boards are present. Choose usb:2e8a:000a:E66118, usb:"):
        port_path("usb:2e8a:000a")
    assert port_path("usb:2e8a:000a:E66119") == "/dev/ttyACM2"


@pytest.mark.parametrize("asked", ["", "usb:", "usb:1", "usb:2e8a", "usb:xyz:1", "usb:12345:1", "/dev/tty\0"])
def test_a_name_that_is_none_is_one_line_of_a_board_error(asked: str) -> None:
    with pytest.raises(
        BoardError, match=r"asked: write a path, .* or usb:VID:PID or usb:VID:PID:SERIAL"
    ) as bad:
        open_board(BoardConfig(port=asked), VirtualClock())
    assert "\n" not in str(bad.value)
    with pytest.raises(ValueError, match="usb:VID:PID"):  # as a bad argument is
        port_path(asked)


def test_ports_are_listed_with_what_finds_them_again(plugged: list[ListPortInfo]) -> None:
    assert len(plugged) == 3
    assert [str(found) for found in usb_ports()] == [
        "/dev/ttyACM0 (usb:2341:0043)",
        "/dev/ttyACM1 (usb:2e8a:000a:E66118)",
    ]


def test_a_port_tells_what_its_device_says_of_itself(plugged: list[ListPortInfo]) -> None:
    plugged[0].manufacturer, plugged[0].product = "Raspberry Pi", "Pico"
    nameless, pico = usb_ports()
    assert (pico.vendor, pico.product, pico.name) == ("Raspberry Pi", "Pico", "usb:2e8a:000a:E66118")
    assert (nameless.vendor, nameless.product, nameless.name) == ("", "", "usb:2341:0043")
