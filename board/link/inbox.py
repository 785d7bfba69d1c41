"""What arrives from the board: replies sorted to who waits for them, events kept, times of PINGs noted.

Whoever waits reads: there is no thread in here, so that a link in virtual time is deterministic; with several
threads one of them reads for all.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from parfocal.board.clock import PacedClock
from parfocal.board.errors import ProtocolMismatch
from parfocal.board.link.answers import decoded
from parfocal.board.link.clock_map import ClockMap
from parfocal.board.link.heard import Heard
from parfocal.board.link.transport import Transport
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Frame, Kind, MoveDone, Opcode, Status
from parfocal.board.wire.packet import Packet, StreamDecoder

_TURN_WALL_S = 0.05  # longest sleep of a thread for which another one reads
_KEPT_FRAMES = 1024  # events of a strobe that nobody has asked for yet
_KEPT_PINGS = 16


class Slot:
    """Where the reply to one request arrives."""

    def __init__(self, opcode: Opcode, nonce: bytes = b"") -> None:
        """`nonce`: how the answer to a HELLO begins; that to another host's begins otherwise."""
        self.opcode = opcode
        self.nonce = nonce
        self.seq = -1
        self.reply: Packet | None = None


class Inbox:
    """Everything that has come over a transport. Every method may be called from any thread."""

    def __init__(self, transport: Transport, clock: PacedClock) -> None:
        """Nothing is read before somebody waits."""
        self.board_clock = ClockMap()
        self.transport = transport
        self.session = 0  # whose packets are taken
        self.last_done: MoveDone | None = None
        self.heard_s = clock.now_s()
        self.heard: Heard | None = None  # noted while a session is opened
        self.silences = 0
        self.is_silent = False  # nothing was heard for too long; counted once something is heard again
        self.decoder = StreamDecoder()
        self.stale = self.late = self.unknown = 0
        self._clock = clock
        self._pending: dict[int, Slot] = {}
        self._pings: dict[int, float] = {}
        self._frames: deque[Frame] = deque(maxlen=_KEPT_FRAMES)
        self._news = threading.Condition()  # guards everything that arrives
        self._reader: int | None = None  # thread that reads for all

    def connect(self, transport: Transport) -> None:
        """Read from `transport` from now on; a frame that has begun to arrive is forgotten."""
        with self._news:
            self.transport = transport
            self.decoder.reset()

    def expect(self, slot: Slot, seq: int) -> None:
        """Put the reply to the request `seq` into `slot`."""
        with self._news:
            slot.seq = seq
            self._pending[seq] = slot

    def give_up(self, slot: Slot) -> None:
        """Nobody waits for `slot` any more."""
        with self._news:
            self._pending.pop(slot.seq, None)

    def note_ping(self, seq: int) -> None:
        """A PING is about to be sent."""
        with self._news:
            while len(self._pings) >= _KEPT_PINGS:
                del self._pings[next(iter(self._pings))]
            self._pings[seq] = self._clock.now_s()

    def take_frames(self) -> tuple[Frame, ...]:
        """Events of strobes that have come since asked last."""
        with self._news:
            frames = tuple(self._frames)
            self._frames.clear()
        return frames

    def wait(self, arrived: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for `arrived`, reading unless another thread reads; False when `deadline_s` has passed.

        Raises BoardNotFound.
        """
        me = threading.get_ident()
        while True:
            with self._news:
                if arrived():
                    return True
                left_wall_s = (deadline_s - self._clock.now_s()) / self._clock.speed
                if self._reader not in (None, me):
                    if left_wall_s <= 0.0:
                        return False
                    self._news.wait(min(left_wall_s, _TURN_WALL_S))
                    continue
                # A timer of a virtual clock may wait inside the read of its own thread: then it reads too.
                outer, self._reader = self._reader, me
            # A thread woken late still looks at what has come meanwhile.
            self._read(max(left_wall_s, 0.0), outer)
            if left_wall_s <= 0.0:
                with self._news:
                    return arrived()

    def glance(self) -> None:
        """Read what is there already, unless somebody reads. Raises BoardNotFound."""
        with self._news:
            if self._reader is not None:
                return
            self._reader = threading.get_ident()
        self._read(0.0, None)

    def _read(self, timeout_s: float, outer_reader: int | None) -> None:
        """Read once and sort what came; the caller has made itself the reader."""
        data = b""
        try:
            data = self.transport.read(timeout_s)
        finally:
            with self._news:
                self._reader = outer_reader
                packets = self.decoder.feed(data)
                if self.heard is not None:
                    self.heard.note(data, packets)
                for packet in packets:
                    self._sort(packet)
                self._news.notify_all()

    def _sort(self, packet: Packet) -> None:
        slot = self._pending.get(packet.seq) if packet.kind == Kind.RESPONSE else None
        if slot is not None and (slot.opcode != packet.opcode or slot.reply is not None):
            slot = None
        if slot is not None and slot.opcode is Opcode.HELLO:
            if packet.payload and not packet.payload.startswith(slot.nonce):
                self.unknown += 1  # a late answer to a host before this one
                return
            slot.reply = packet
        elif packet.version != messages.PROTOCOL_VERSION or not self._is_of_session(packet):
            self.unknown += 1
            return
        elif packet.kind == Kind.RESPONSE:
            self._note_pong(packet)
            if slot is not None:
                slot.reply = packet
                self.stale += packet.status == Status.STALE
            else:
                self.late += packet.opcode != Opcode.PING  # nobody waits for the answers to the heartbeat
        else:
            self._note_event(packet)
        self.heard_s = self._clock.now_s()
        self.silences += self.is_silent
        self.is_silent = False

    def _is_of_session(self, packet: Packet) -> bool:
        """A board that knows no session may also say so in session 0."""
        is_refusal = packet.kind == Kind.RESPONSE and packet.status == Status.NO_SESSION
        return packet.session == self.session or (is_refusal and packet.session == 0)

    def _note_pong(self, packet: Packet) -> None:
        """A pair of times for the clock of the board; the second answer to a resent PING tells nothing."""
        sent_s = self._pings.pop(packet.seq, None)
        if sent_s is None or packet.opcode != Opcode.PING or packet.status != Status.OK:
            return
        with contextlib.suppress(ProtocolMismatch):  # nobody waits for it
            pong = decoded(packet, messages.Pong)
            self.board_clock.note(sent_s, self._clock.now_s(), pong.board_time_us / 1e6)

    def _note_event(self, packet: Packet) -> None:
        try:
            event = layout.unpack(packet.kind, packet.opcode, packet.payload)
        except (KeyError, ValueError):
            self.unknown += 1
            return
        if isinstance(event, MoveDone):
            self.last_done = event
        elif isinstance(event, Frame):
            self._frames.append(event)
