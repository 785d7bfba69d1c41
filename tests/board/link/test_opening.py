"""Opening a session: with a board that is still starting, after an earlier host, and with something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from parfocal.board.clock import VirtualClock
from parfocal.board.config import BoardConfig
from parfocal.board.errors import LinkTimeout, ProtocolMismatch
from parfocal.board.link.link import Link
from parfocal.board.link.probe import probe
from parfocal.board.link.transport import Transport
from parfocal.board.own.board import Board
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, Opcode, Status
from parfocal.board.wire.packet import Packet, StreamDecoder, encode

pytestmark = pytest.mark.usefixtures("far_side")


class StartingBoard:
    """A board that resets when its port opens, like an AVR behind a USB-UART bridge through DTR.

    Its boot loader waits for a programmer (optiboot 1 s, older ones 2 s and more) and discards what it does not
    know. The firmware then starts with an empty receive buffer.
    """

    def __init__(self, inner: Transport, clock: VirtualClock, boot_s: float) -> None:
        self._inner, self._clock = inner, clock
        self._starts_s = clock.now_s() + boot_s

    def write(self, data: bytes) -> None:
        if self._clock.now_s() >= self._starts_s:
            self._inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        return self._inner.read(timeout_s)

    def close(self) -> None:
        self._inner.close()


class Saying:
    """A port with another device, which answers each frame with whatever `say` returns."""

    def __init__(self, clock: VirtualClock, say: Callable[[bytes], bytes]) -> None:
        self._clock, self._say = clock, say
        self._coming: list[bytes] = []

    def write(self, data: bytes) -> None:
        if said := self._say(data):
            self._coming.append(said)

    def read(self, timeout_s: float) -> bytes:
        if self._coming:
            return self._coming.pop(0)
        self._clock.sleep_s(timeout_s)
        return b""

    def close(self) -> None: ...


class Following:
    """A cable in which `before` arrives ahead of the first frame from the board."""

    def __init__(self, inner: Transport, before: Callable[[Packet], bytes]) -> None:
        self._inner, self._before = inner, before
        self._coming: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._coming:
            (packet,) = StreamDecoder().feed(data)
            self._coming.append(self._before(packet))
        self._inner.write(data)

    def read(self, timeout_s: float) -> bytes:
        if self._coming and self._coming[0]:
            said, self._coming[0] = self._coming[0], b""
            return said
        return self._inner.read(timeout_s)

    def close(self) -> None:
        self._inner.close()


def hello_response(nonce: int, seq: int, session: int) -> bytes:
    reply = messages.HelloReply(
        nonce, layout.schema_hash(), 77, 1, (0, 0, 0), (60000, 20000, 16000), 1, 15, 7, 64, 0
    )
    return encode(Packet(Kind.RESPONSE, Opcode.HELLO, Status.OK, seq, session, layout.pack(reply)))


@pytest.mark.parametrize("boot_s", [0.5, 1.0, 2.0, 3.0, 4.5])
def test_a_board_that_resets_when_its_port_opens_is_waited_for(boot_s: float) -> None:
    bench = VirtualBench()
    with Board.open(StartingBoard(bench.transport, bench.clock, boot_s), bench.clock, BoardConfig()) as board:
        assert bench.clock.now_s() - 100.0 < boot_s + 0.3
        board.home(("z",))
        assert board.counters.reconnects == 0


def test_probing_also_waits_for_a_board_that_resets() -> None:
    bench = VirtualBench()
    assert probe(StartingBoard(bench.transport, bench.clock, 2.5), bench.clock).unit_serial == 1


def test_a_late_answer_to_the_hello_of_an_earlier_host_is_ignored() -> None:
    bench = VirtualBench()
    late = Following(bench.transport, lambda hello: hello_response(0xDEAD, hello.seq, session=9))
    with Board.open(late, bench.clock, BoardConfig()) as board:
        hello = board._link.hello
        assert hello is not None
        assert hello.nonce != 0xDEAD
        assert hello.boot_id != 77
        board.home(("z",))
        assert (board.counters.unknown, board.counters.reconnects) == (1, 0)


def test_a_board_that_grants_no_session_is_refused() -> None:
    clock = VirtualClock()

    def refuse(data: bytes) -> bytes:
        (hello,) = StreamDecoder().feed(data)
        return hello_response(int.from_bytes(hello.payload[:4], "little"), hello.seq, session=0)

    with pytest.raises(ProtocolMismatch, match="HELLO got no session; nothing moved. Reset the board"):
        Link(Saying(clock, refuse), clock).open_session()


def later_version(data: bytes) -> bytes:
    """An event of a board of version 2, under a seq of its own."""
    return encode(Packet(Kind.EVENT, 0x30, 0, len(data), 0, b"", version=2))


def other_hosts_answer(data: bytes) -> bytes:
    (hello,) = StreamDecoder().feed(data)
    return hello_response(0xDEAD, hello.seq, session=9)


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        pytest.param(
            lambda _: b"",
            r"heard nothing. Check its cable and supply, and that this is the board's port.",
            id="silence",
        ),
        pytest.param(
            lambda data: data,
            r"heard its own frames come back. This port echoes: set the port of the board.",
            id="echo",
        ),
        pytest.param(
            lambda _: b"\r\nGrbl 1.1h ['$' for help]\r\n",
            r'heard text: "Grbl 1.1h \[\'\$\' for help\] Grbl 1.1h .* \.\.\.". Set the port of the board, or set',
            id="grbl",
        ),
        pytest.param(
            lambda _: b"\xff\xfe" + b"start\necho:Marlin 2.1.2\n",
            r'heard text: "start echo:Marlin 2.1.2 start',
            id="marlin_after_noise",
        ),
        pytest.param(
            lambda _: b"\xb5\x0c\xf3\x00\x91\x80\x00\x07",
            r"heard 192 bytes, but no valid frame. Check board.baud, and that this is",
            id="noise",
        ),
        pytest.param(
            other_hosts_answer,
            r"heard 24 frames, but no answer. Reset the board and try again.",
            id="answers_to_another_host",
        ),
    ],
)
def test_opening_without_an_answer_reports_what_was_heard(say: Callable[[bytes], bytes], heard: str) -> None:
    clock = VirtualClock()
    link = Link(Saying(clock, say), clock)
    with pytest.raises(LinkTimeout, match=f"^the board did not answer HELLO in 5 s: {heard}"):
        link.open_session()
    assert clock.now_s() - 100.0 == pytest.approx(5.04, abs=0.01)


def test_a_board_of_another_version_is_a_mismatch_even_if_it_never_answers() -> None:
    clock = VirtualClock()

    def answer(data: bytes) -> bytes:
        (hello,) = StreamDecoder().feed(data)
        return encode(
            Packet(Kind.RESPONSE, Opcode.HELLO, 0, hello.seq, 5, hello.payload[:4] + b"more", version=2)
        )

    for say in (later_version, answer):
        with pytest.raises(
            ProtocolMismatch, match="protocol version 1 expected from the board, version 2 found; nothing"
        ):
            Link(Saying(clock, say), clock).open_session()
