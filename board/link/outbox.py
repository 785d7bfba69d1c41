"""Sends to the board: each request under one seq, again and again until it is answered.

A request keeps its seq when it is resent, and the board answers a known seq from its reply cache, so a resend
cannot move twice. Frames leave in the order of their seq. A STOP makes the requests before it stale on the board.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardNotFound, LinkTimeout
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.inbox import Inbox, Slot
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Kind, Message, Opcode
from parfocal.board.wire.packet import Packet, encode

REPLY_WALL_S = 0.06  # a USB reply takes 1 ms, an FTDI by default 16 ms; well under half the watchdog
ATTEMPTS = 24  # with 25 % of requests damaged and 10 % of replies lost, one command in 1e11 uses them up
# A board that is reset when its port opens hears nothing for 2 s or more, until its boot loader gives up.
OPENING_WALLS_S = (REPLY_WALL_S,) * 4 + (4.0 * REPLY_WALL_S,) * (ATTEMPTS - 4)
NONCE_BYTES = 4  # at the beginning of HELLO and of its response, in every version


class SessionEnded(BoardNotFound):
    """Another thread has opened a new session. A request of the old session gets no answer any more."""


class Outbox:
    """Sends requests in the session of `inbox`. Every method may be called from any thread."""

    def __init__(self, inbox: Inbox, clock: PacedClock, counters: LinkCounters) -> None:
        """Nothing is sent yet."""
        self.sessions = 0  # opened so far; a request of a session that has ended is not sent again
        self.stops = 0
        self._counters = counters
        self._inbox = inbox
        self._clock = clock
        self._seq = 0
        self._writing = threading.Lock()  # one frame at a time, and STOP in order with moves

    def ask(self, message: Message, check: Callable[[], None]) -> Packet:
        """Send `message`, resend it under one seq until it is answered, return the response.

        `check` is called before every frame and may raise.
        Raises LinkTimeout, BoardNotFound, SessionEnded, and whatever `check` raises.
        """
        opcode, payload = layout.opcode_of(message), layout.pack(message)
        slot, walls_s = Slot(opcode), (REPLY_WALL_S,) * ATTEMPTS
        if isinstance(message, messages.Hello):
            slot, walls_s = Slot(opcode, payload[:NONCE_BYTES]), OPENING_WALLS_S
        try:
            with self._writing:
                check()
                if isinstance(message, messages.Stop | messages.Estop):
                    self.stops += 1
                frame, sessions = self._next_frame(opcode, payload), self.sessions
                self._inbox.expect(slot, self._seq)
                self._inbox.transport.write(frame)
            for wall_s in walls_s:
                deadline_s = self._clock.now_s() + wall_s * self._clock.speed
                self._inbox.wait(lambda: slot.reply is not None or self.sessions != sessions, deadline_s)
                if slot.reply is not None:
                    return slot.reply
                with self._writing:
                    check()
                    if self.sessions != sessions:
                        raise SessionEnded
                    self._counters.resends += 1
                    self._inbox.transport.write(frame)
        finally:
            self._inbox.give_up(slot)
        raise LinkTimeout(
            f"{opcode.name} sent {ATTEMPTS} times in {sum(walls_s):.1f} s without an answer. "
            "Check the cable and that the board is a parfocal board."
        )

    def ping(self) -> None:
        """Send a PING and do not wait for its answer. Raises BoardNotFound."""
        with self._writing:
            frame = self._next_frame(Opcode.PING, layout.pack(messages.Ping()))
            self._inbox.transport.write(frame)

    def _next_frame(self, opcode: Opcode, payload: bytes) -> bytes:
        """Frame under the next seq. The caller holds `_writing`, so that frames leave in the order of their seq."""
        self._seq = (self._seq + 1) & 0xFFFF
        if opcode is Opcode.PING:
            self._inbox.note_ping(self._seq)
        return encode(Packet(Kind.REQUEST, opcode, 0, self._seq, self._inbox.session, payload))
