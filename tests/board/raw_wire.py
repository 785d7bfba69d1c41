"""A stub at the end of a wire, addressed packet by packet, and the prose of PROTOCOL.md."""

from __future__ import annotations

from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.board.stub.wired_board import WiredMachine
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import AxisBit, Kind, Message
from parfocal.board.wire.packet import Packet, StreamDecoder, encode
from tools.firmware.protocol_reference import DOCUMENT, MARK

PROSE = " ".join(DOCUMENT.read_text().partition(MARK)[0].split())


def says(text: str) -> None:
    """Assert that the document has this sentence, so that nobody changes it without the test."""
    assert text in PROSE, text


class Wire:
    """A stub at the end of a wire. The test chooses session and seq."""

    def __init__(self) -> None:
        self.bench = VirtualBench()
        self.machine: WiredMachine = self.bench.stub.machine
        self.session = 0
        self.seq = 0

    def say(self, packet: Packet) -> list[Packet]:
        """Send a packet; return everything the board sends, events included."""
        self.bench.stub.receive(encode(packet), self.bench.clock.now_s())
        return self._said()

    def ask(self, request: Message, **header: int) -> Packet:
        """Send `request`, under the next seq unless `header` says otherwise; return its response."""
        self.seq += 1
        fields = {"seq": self.seq, "session": self.session, **header}
        packet = Packet(Kind.REQUEST, layout.opcode_of(request), 0, payload=layout.pack(request), **fields)
        (response,) = (said for said in self.say(packet) if said.kind == Kind.RESPONSE)
        assert (response.seq, response.opcode) == (packet.seq, packet.opcode)
        return response

    def hello(self, nonce: int = 1, **header: int) -> Packet:
        response = self.ask(messages.Hello(nonce, layout.schema_hash(), 1, 1), **header)
        self.session = response.session
        return response

    def wait(self, duration_s: float) -> list[Packet]:
        """Let time pass; return what the board sends by itself."""
        self.bench.clock.sleep_s(duration_s)
        self.bench.stub.advance(self.bench.clock.now_s())
        return self._said()

    def _said(self) -> list[Packet]:
        return [said for _, frame in self.bench.stub.take_output() for said in StreamDecoder().feed(frame)]


def move(move_id: int, **changes: object) -> messages.MoveAbs:
    fields: dict[str, object] = {
        "axes": AxisBit.Z, "target_steps": (0, 0, 100), "speed_steps_per_s": (0, 0, 640),
        "accel_steps_per_s2": (0, 0, 80000), **changes,
    }  # fmt: skip
    return messages.MoveAbs(move_id, **fields)  # type: ignore[arg-type]
