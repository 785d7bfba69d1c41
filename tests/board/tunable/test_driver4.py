"""Optotune's lens driver: the bytes of its manual, checked both ways, and a current that is read back."""

from __future__ import annotations

import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig, LensConfig
from parfocal.board.errors import BoardError, BoardNotFound, LinkTimeout
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.foreign.text_bench import TextBench
from parfocal.board.stub.optics.driver4_stub import Driver4Stub
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.tunable.driver4 import LensDriver4, crc16, framed
from parfocal.board.tunable.opened import opened_lens


def opened() -> tuple[Driver4Stub, LensDriver4]:
    clock = VirtualClock()
    stub = Driver4Stub(clock)
    return stub, LensDriver4(stub, clock)


def test_the_checksum_is_that_of_the_manual() -> None:
    assert crc16(b"123456789") == bytes.fromhex("3dbb")  # CRC-16/ARC, the check value of its catalogue
    assert framed(b"Ar\0\0") == bytes.fromhex("41 72 00 00 b4 27")  # as Micro-Manager's adapter sends it


def test_it_is_greeted_set_to_current_and_has_no_current_at_first() -> None:
    stub, driver = opened()
    assert stub.commands == [b"MwDA", b"CrMA\0\0", b"X", b"Aw\0\0", b"Ar\0\0"]
    assert (driver.name, driver.range_ma) == ("optotune STUB0001", (-292.84, 292.84))
    assert driver.temperature_c() == 25.0


@pytest.mark.parametrize(
    ("asked_ma", "sent"), [(120.0, b"\x06\x8e"), (-80.5, b"\xfb\x9a"), (292.84, b"\x0f\xff")]
)
def test_a_current_is_set_in_units_of_full_current_and_read_back(asked_ma: float, sent: bytes) -> None:
    stub, driver = opened()
    driver(asked_ma)
    assert stub.commands[-2:] == [b"Aw" + sent, b"Ar\0\0"]
    assert stub.current_ma == pytest.approx(asked_ma, abs=0.04)


def test_a_current_out_of_range_is_refused_and_nothing_is_sent() -> None:
    stub, driver = opened()
    n_commands = len(stub.commands)
    with pytest.raises(ValueError, match=r"293 mA is invalid: it must be -292\.84\.\.292\.84 mA"):
        driver(293.0)
    assert len(stub.commands) == n_commands


def test_a_damaged_reply_is_asked_for_again_and_a_broken_cable_is_told() -> None:
    stub, driver = opened()
    stub.damages = 2
    driver(50.0)
    assert stub.current_ma == pytest.approx(50.0, abs=0.04)
    stub.damages = 9
    with pytest.raises(LinkTimeout, match="Ar was asked 3 times, and 01 02 bb 11 07 0d 0a came"):
        driver(50.0)
    stub.is_plugged = False
    with pytest.raises(BoardNotFound):
        driver(50.0)


def test_a_driver_that_gives_another_current_is_an_error() -> None:
    stub, driver = opened()
    stub.mode = "analog"  # it takes no current then
    with pytest.raises(BoardError, match="set 3 times, and another one was read back"):
        driver(50.0)


def test_another_device_at_the_port_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    stub = Driver4Stub(clock)
    monkeypatch.setattr(stub, "write", lambda _data: None)  # it hears nothing
    with pytest.raises(BoardNotFound, match="no Optotune Lens Driver 4 answers"):
        LensDriver4(stub, clock)


def test_the_current_is_off_when_it_is_closed() -> None:
    stub, driver = opened()
    driver(80.0)
    driver.close()
    assert (stub.units, stub.is_plugged) == (0, False)
    driver.close()


def test_the_configured_lens_is_opened_and_off_at_the_end() -> None:
    bench = VirtualBench()
    with bench.open_board() as board:
        with opened_lens(LensConfig(), board, bench.clock) as lens:
            assert lens is None
        with opened_lens(LensConfig(kind="board"), board, bench.clock) as lens:
            assert lens is not None
            lens(60.0)
            assert (lens.name, lens.temperature_c(), bench.stub.machine.lens_ua) == ("board", None, 60_000)
        assert bench.stub.machine.lens_ua == 0
        stub = Driver4Stub(bench.clock)
        with opened_lens(LensConfig(kind="optotune"), board, bench.clock, stub) as lens:
            assert lens is not None
            lens(-60.0)
        assert stub.units == 0


def test_a_board_without_a_lens_driver_is_told() -> None:
    config = BoardConfig(kind="grbl")
    bench = TextBench(config, StubConfig())
    with (
        bench.open_board(config) as board,
        pytest.raises(BoardNotFound, match=r"lens\.kind = 'board', but this board drives no lens"),
        opened_lens(LensConfig(kind="board"), board, bench.clock),
    ):
        pass
