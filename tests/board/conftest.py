"""A virtual board whose error counters are checked after every use, and a cable that can be damaged."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from parfocal.board.config import BoardConfig
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.link import Link
from parfocal.board.link.transport import Transport
from parfocal.board.own.board import Board
from parfocal.board.stub import virtual_bench
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.firmware.firmware_board import FirmwareBoard
from parfocal.board.stub.firmware.library import firmware_library
from parfocal.board.stub.virtual_bench import VirtualBench, VirtualTransport
from parfocal.board.wire.packet import Packet, StreamDecoder
from tests.near_home import near_home

Damage = Callable[[Packet, bytes], bytes]


class DamagedCable:
    """A transport that passes every frame, in both directions, through `damage`."""

    def __init__(self, inner: Transport, damage: Damage) -> None:
        self._inner = inner
        self._damage = damage

    def write(self, data: bytes) -> None:
        if damaged := self._damaged(data):
            self._inner.write(damaged)

    def read(self, timeout_s: float) -> bytes:
        data = self._inner.read(timeout_s)
        return self._damaged(data) if data else data

    def close(self) -> None:
        self._inner.close()

    def _damaged(self, data: bytes) -> bytes:
        (packet,) = StreamDecoder().feed(data)
        return self._damage(packet, data)


@pytest.fixture(autouse=True)
def sound_links(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test that touches a board: the error counters of its links are zero.

    A test that damages the cable or reboots the board checks its links itself.
    """
    links: list[tuple[Link, VirtualTransport]] = []
    make = Link.__init__

    def noted(link: Link, transport: Transport, *others: Any) -> None:  # noqa: ANN401  # whatever a Link takes
        make(link, transport, *others)
        if isinstance(transport, VirtualTransport):
            links.append((link, transport))

    monkeypatch.setattr(Link, "__init__", noted)
    yield
    for link, transport in links:
        if transport.is_faultless and link.counters.reconnects == 0:
            assert link.counters == LinkCounters()


@pytest.fixture(scope="session")
def firmware() -> None:
    """The firmware, compiled for this machine. Without a C compiler its tests are skipped."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler `cc` here, so the firmware cannot be built")
    firmware_library()


@pytest.fixture(params=["stub", "firmware"])
def far_side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is at the other end of every virtual bench: the stub's own board, or the firmware in its place."""
    if request.param == "firmware":
        request.getfixturevalue("firmware")
        monkeypatch.setattr(virtual_bench, "StubBoard", FirmwareBoard)
    return str(request.param)


class HealthyBoard(Protocol):
    def __call__(
        self,
        stub: StubConfig | None = None,
        config: BoardConfig | None = None,
        damage: Damage | None = None,
        counters: LinkCounters | None = None,
        homed: bool = True,
    ) -> contextlib.AbstractContextManager[tuple[VirtualBench, Board]]: ...


@pytest.fixture(scope="session")
def healthy_board() -> HealthyBoard:
    """Opens a homed virtual board. At the end its error counters must equal `counters`, all zero by default."""

    @contextlib.contextmanager
    def opened(
        stub: StubConfig | None = None,
        config: BoardConfig | None = None,
        damage: Damage | None = None,
        counters: LinkCounters | None = None,
        homed: bool = True,
    ) -> Iterator[tuple[VirtualBench, Board]]:
        bench = VirtualBench(near_home() if stub is None else stub)
        transport: Transport = bench.transport
        if damage is not None:
            transport = DamagedCable(transport, damage)
        with Board.open(transport, bench.clock, config or BoardConfig()) as board:
            if homed:
                board.home()
            yield bench, board
            assert board.counters == (counters or LinkCounters())
            if damage is None:
                assert (bench.stub.decoder.errors.crc_errors, bench.stub.decoder.errors.framing_errors) == (
                    0,
                    0,
                )

    return opened
