"""Receives from the board: hands replies to those who wait for them, keeps events, notes the times of PINGs.

Whoever waits reads. There is no thread in here, so that a link in virtual time is deterministic. Of several
threads that wait, one reads for all.
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
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.heard import Heard
from parfocal.board.link.transport import Transport
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Frame, Kind, MoveDone, Opcode, Status
from parfocal.board.wire.packet import Packet, StreamDecoder

_TURN_WALL_S = 0.05  # longest sleep of a thread while another one reads for it
_KEPT_FRAMES = 1024  # events of a strobe that nobody has taken yet
_KEPT_PINGS = 16


class Slot:
    """Where the reply to one request arrives."""

    def __init__(self, opcode: Opcode, nonce: bytes = b"") -> None:
        """`nonce`: how the answer to a HELLO begins. The answer to another host's HELLO begins differently."""
        self.opcode = opcode
        self.nonce = nonce
        self.seq = -1
        self.reply: Packet | None = None


class Inbox:
    """Receives everything that comes over a transport. Every method may be called from any thread."""

    def __init__(self, transport: Transport, clock: PacedClock, counters: LinkCounters) -> None:
        """Nothing is read before somebody waits."""
        self.board_clock = ClockMap()
        self.transport = transport
        self.session = 0  # only packets of this session are accepted
        self.last_done: MoveDone | None = None
        self.heard_s = clock.now_s()
        self.heard: Heard | None = None  # collected while a session is opened
        self.decoder = StreamDecoder(counters)
        self._counters = counters
        self._is_silent = False  # nothing was heard for too long; counted once something is heard again
        self._clock = clock
        self._pending: dict[int, Slot] = {}
        self._pings: dict[int, float] = {}
        self._frames: deque[Frame] = deque(maxlen=_KEPT_FRAMES)
        self._news = threading.Condition()  # guards everything that arrives
        self._reader: int | None = None  # thread that reads for all

    def connect(self, transport: Transport) -> None:
        """Read from `transport` from now on, and drop a frame that has begun to arrive."""
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

    def note_silence(self) -> None:
        """Nothing was heard for too long: count a silence once something is heard again."""
        self._is_silent = True

    def take_frames(self) -> tuple[Frame, ...]:
        """Events of strobes that have arrived since the last call."""
        with self._news:
            frames = tuple(self._frames)
            self._frames.clear()
        return frames

    def wait(self, arrived: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until `arrived` is true, and read unless another thread reads; False when `deadline_s` has passed.

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
                # A timer of a virtual clock may wait inside a read of the same thread. Then it reads too.
                outer, self._reader = self._reader, me
            # A thread that wakes late still looks at what has arrived in the meantime.
            self._read(max(left_wall_s, 0.0), outer)
            if left_wall_s <= 0.0:
                with self._news:
                    return arrived()

    def glance(self) -> None:
        """Read what has already arrived, unless another thread reads. Raises BoardNotFound."""
        with self._news:
            if self._reader is not None:
                return
            self._reader = threading.get_ident()
        self._read(0.0, None)

    def _read(self, timeout_s: float, outer_reader: int | None) -> None:
        """Read once and sort what arrived. The caller has made itself the reader."""
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
                self._counters.unknown += 1  # a late answer to an earlier host
                return
            slot.reply = packet
        elif packet.version != messages.PROTOCOL_VERSION or not self._is_of_session(packet):
            self._counters.unknown += 1
            return
        elif packet.kind == Kind.RESPONSE:
            self._note_pong(packet)
            if slot is not None:
                slot.reply = packet
                self._counters.stale += packet.status == Status.STALE
            else:
                # Nobody waits for the answers to the heartbeat.
                self._counters.late += packet.opcode != Opcode.PING
        else:
            self._note_event(packet)
        self.heard_s = self._clock.now_s()
        self._counters.silences += self._is_silent
        self._is_silent = False

    def _is_of_session(self, packet: Packet) -> bool:
        """Whether to accept a packet. A board without a session may also say so in session 0."""
        is_refusal = packet.kind == Kind.RESPONSE and packet.status == Status.NO_SESSION
        return packet.session == self.session or (is_refusal and packet.session == 0)

    def _note_pong(self, packet: Packet) -> None:
        """Note a pair of times for the board's clock. A second answer to a resent PING carries no information."""
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
            self._counters.unknown += 1
            return
        if isinstance(event, MoveDone):
            self.last_done = event
        elif isinstance(event, Frame):
            self._frames.append(event)
