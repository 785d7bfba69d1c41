"""The stub board on the wire: bytes in, bytes out; sessions, the reply cache, events."""

from __future__ import annotations

import random
from collections import deque

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.machine import Machine
from parfocal.board.stub.stage.ratings import FEATURES, LENS
from parfocal.board.stub.stage.true_stage import check_history
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Ack, AxisBit, Kind, Message, Opcode, Status
from parfocal.board.wire.packet import MAX_FRAME_BYTES, Packet, StreamDecoder, encode

_CACHED_REPLIES = 8
_ALWAYS = (Opcode.STOP, Opcode.ESTOP)  # accepted in any order and without a session


class StubBoard:
    """A board without time of its own: every call passes the time, which never goes back."""

    def __init__(self, config: StubConfig, now_s: float, boot_id: int, clock_speed: float = 1.0) -> None:
        """`clock_speed`: clock seconds per wall second, for the watchdog."""
        self.machine = Machine(config, now_s, clock_speed)
        self.decoder = StreamDecoder()
        self._boot_id, self._unit_serial = boot_id, config.unit_serial
        self._reset_cause = 0
        self._start_up()

    def _start_up(self) -> None:
        """Set the protocol to what it knows after a reset: nothing.

        Sessions of two starts differ, so that a frame delayed since before a reset belongs to none.
        """
        self._session = 0
        self._next_session = self._boot_id & 0xFFFF
        self._nonce: int | None = None
        self._last_seq = 0
        self._replies: deque[tuple[tuple[int, int], bytes]] = deque(maxlen=_CACHED_REPLIES)
        self._event_seq = 0
        self._out: list[tuple[float, bytes]] = []

    @property
    def session(self) -> int:
        """Number of the open session, 0 for none."""
        return self._session

    def receive(self, data: bytes, time_s: float) -> None:
        """Take bytes that arrive at `time_s`."""
        self.machine.advance(time_s)
        for packet in self.decoder.feed(data):
            if packet.kind != Kind.REQUEST:
                continue
            reply = self._answer(packet)
            self._collect_events()
            self._out.append((self.machine.now_s, reply))

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        self.machine.advance(time_s)

    def reboot(self) -> None:
        """Restart where the stage stands now, under a new boot_id."""
        self.machine.reboot()
        self.decoder.reset()
        self._boot_id = random.Random(self._boot_id).getrandbits(32)  # noqa: S311  # an id, not a secret
        self._reset_cause = 2
        self._start_up()

    def take_output(self) -> list[tuple[float, bytes]]:
        """Frames sent since the last call, in order, each with the time it was sent."""
        self._collect_events()
        out, self._out = self._out, []
        return out

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        check_history(time_s, self.machine.now_s, self.machine.history_s)
        return self.machine.true_um(time_s)

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError as `true_um` does."""
        check_history(time_s, self.machine.now_s, self.machine.history_s)
        return self.machine.light(time_s, float("inf"))[0][1]

    def _answer(self, packet: Packet) -> bytes:
        """Frame that answers a request: from the cache, as a refusal, or after carrying it out."""
        if packet.opcode == Opcode.HELLO:
            return self._answer_hello(packet)
        is_known = self._session != 0 and packet.version == messages.PROTOCOL_VERSION
        if not is_known or packet.session != self._session:
            if packet.opcode in _ALWAYS:
                self._carry_out(packet)  # carried out without a session, but answered NO_SESSION
            return _frame(packet, Status.NO_SESSION, Ack())
        self.machine.feed()
        asked = packet.seq, packet.opcode
        for answered, frame in self._replies:
            if answered == asked:
                return frame
        is_newer = 0 < (packet.seq - self._last_seq) & 0xFFFF < 0x8000
        if not is_newer and packet.opcode not in _ALWAYS:
            return _frame(packet, Status.STALE, Ack())
        if is_newer:
            self._last_seq = packet.seq
        frame = _frame(packet, *self._carry_out(packet))
        self._replies.append((asked, frame))
        return frame

    def _answer_hello(self, packet: Packet) -> bytes:
        """Answer HELLO. A new nonce opens a new session; another message table gets none."""
        try:
            hello = layout.unpack(packet.kind, packet.opcode, packet.payload)
        except ValueError:
            hello = None
        if not isinstance(hello, messages.Hello):
            return _frame(packet, Status.BAD_PAYLOAD, Ack())
        if hello.nonce != self._nonce and hello.schema_hash == layout.schema_hash():
            self._nonce = hello.nonce
            self._session = self._next_session = self._next_session % 0xFFFF + 1
            self._last_seq = packet.seq
            self._replies.clear()
            self.machine.way_points.drop()
            self.machine.feed()
        granted = self._session if hello.nonce == self._nonce else 0
        return _frame(packet, Status.OK, self._hello_reply(hello.nonce), session=granted)

    def _hello_reply(self, nonce: int) -> messages.HelloReply:
        return messages.HelloReply(
            nonce=nonce,
            schema_hash=layout.schema_hash(),
            boot_id=self._boot_id,
            unit_serial=self._unit_serial,
            min_steps=(0, 0, 0),
            max_steps=self.machine.ratings.max_steps,
            firmware_version=1,
            features=FEATURES,
            axes=AxisBit.X | AxisBit.Y | AxisBit.Z,
            max_frame=MAX_FRAME_BYTES,
            reset_cause=self._reset_cause,
        )

    def _carry_out(self, packet: Packet) -> tuple[Status, Message]:
        try:
            request = layout.unpack(packet.kind, packet.opcode, packet.payload)
        except KeyError:
            return Status.UNKNOWN_OPCODE, Ack()
        except ValueError:
            return Status.BAD_PAYLOAD, Ack()
        return self._dispatch(request)

    def _dispatch(self, request: Message) -> tuple[Status, Message]:
        machine = self.machine
        match request:
            case messages.Ping():
                return Status.OK, messages.Pong(machine.time_us(machine.now_s))
            case messages.StateRequest():
                return Status.OK, machine.state()
            case messages.LimitsRequest():
                return Status.OK, machine.ratings.limits
            case messages.PullOutRequest():
                return Status.OK, machine.ratings.pull_out
            case messages.LensRequest():
                return Status.OK, LENS
            case messages.Stop():
                machine.stop()
                return Status.OK, Ack()
            case messages.Estop():
                machine.estop()
                return Status.OK, Ack()
        return self._command(request), Ack()

    def _command(self, request: Message) -> Status:
        moved = self._motion(request)
        return self._setting(request) if moved is None else moved

    def _motion(self, request: Message) -> Status | None:
        """Carry out a request that moves something or prepares it; None for any other."""
        machine = self.machine
        match request:
            case messages.MoveAbs():
                return machine.move(request)
            case messages.WayPoint():
                return machine.keep(request)
            case messages.Sweep():
                return machine.sweep(request)
            case messages.Home():
                return machine.home(request)
        return None

    def _setting(self, request: Message) -> Status:
        machine = self.machine
        match request:
            case messages.Lamp():
                return machine.lights.set_lamp(request, machine.faults, machine.now_s)
            case messages.Strobe():
                return machine.lights.strobe(request, machine.faults, machine.now_s)
            case messages.PositionTrigger():
                return machine.trigger_at_positions(request)
            case messages.SetCurrent():
                return machine.lights.set_current(request, machine.faults)
            case messages.Watchdog():
                return machine.set_watchdog(request)
            case messages.Clear():
                return machine.clear(request)
            case messages.Motors():
                return machine.set_motors(request)
        return Status.UNKNOWN_OPCODE

    def _collect_events(self) -> None:
        for time_s, event in self.machine.take_events():
            self._event_seq = (self._event_seq + 1) & 0xFFFF
            opcode = Opcode.MOVE_DONE if isinstance(event, messages.MoveDone) else Opcode.FRAME
            packet = Packet(Kind.EVENT, opcode, Status.OK, self._event_seq, self._session, layout.pack(event))
            self._out.append((time_s, encode(packet)))


def _frame(request: Packet, status: Status, reply: Message, session: int | None = None) -> bytes:
    """Frame of a response. Only OK carries a payload."""
    payload = layout.pack(reply) if status is Status.OK else b""
    return encode(
        Packet(
            Kind.RESPONSE,
            request.opcode,
            status,
            request.seq,
            request.session if session is None else session,
            payload,
        )
    )
