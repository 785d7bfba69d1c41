"""The link: one session with one board over a transport; requests that can be resent and never act twice.

A request keeps its seq when it is resent, and the board answers a seq it knows from its reply cache, so a
resend cannot move twice. One request is under way at a time; STOP alone goes past it, and makes the requests
before it stale on the board. Whoever waits reads: there is no thread in here, so that a link in virtual time
is deterministic; with several threads one of them reads for all.

A port that is gone is closed at once and opened again when it is back; a new HELLO tells by the boot_id
whether it is the same board that never stopped (the request goes on in the new session; ids of moves and
strobes keep it from acting twice) or one that has rebooted (PositionLost).
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import msgspec

from parfocal.board import messages
from parfocal.board.answers import Refusal, decoded, mismatch, rebooted, stopped, unit_of
from parfocal.board.clock import PacedClock
from parfocal.board.clock_map import ClockMap
from parfocal.board.errors import (
    BoardNotFound,
    LinkTimeout,
    ProtocolMismatch,
)
from parfocal.board.messages import Frame, Kind, Message, MoveDone, Opcode, Status
from parfocal.board.packet import Packet, StreamDecoder, encode
from parfocal.board.transport import Transport

REPLY_WALL_S = 0.06  # a USB reply takes 1 ms, an FTDI at its default 16 ms; well under half the watchdog
ATTEMPTS = 24  # with 25 % of requests damaged and 10 % of replies lost one command in 1e11 runs out of them
_TURN_WALL_S = 0.05  # longest sleep of a thread for which another one reads
_REOPEN_WALL_S = 0.05  # how often a port that is gone is looked for
_KEPT_FRAMES = 1024  # events of a strobe that nobody has asked for yet
_KEPT_PINGS = 16
_BEATS_PER_WATCHDOG = 4  # two may be late, and the board still hears a third in time

R = TypeVar("R", bound=Message)


class LinkCounters(msgspec.Struct, frozen=True):
    """What went wrong so far. All zero on a healthy link."""

    crc_errors: int = 0
    framing_errors: int = 0
    resends: int = 0
    stale: int = 0  # requests the board called stale
    late: int = 0  # replies that came after their request was answered or given up
    unknown: int = 0  # packets of another session, version, kind or layout
    reconnects: int = 0  # sessions opened again after the first
    silences: int = 0  # times that host or cable were silent for so long that the watchdog may have fired


class _Slot:
    """Where the reply to one request arrives."""

    def __init__(self, opcode: Opcode) -> None:
        self.opcode = opcode
        self.seq = -1
        self.reply: Packet | None = None


class _SessionEnded(BoardNotFound):
    """Another thread has opened a new session: what was asked in the old one gets no answer any more."""


class Link:
    """One session. Every method may be called from any thread."""

    def __init__(
        self,
        transport: Transport,
        clock: PacedClock,
        reopen: Callable[[], Transport] | None = None,
        reconnect_wall_s: float = 0.0,
    ) -> None:
        """Take over `transport`; nothing is sent before `open_session`.

        `reopen` opens the port again when it was gone; it is tried for `reconnect_wall_s`.
        """
        self.clock = clock
        self.board_clock = ClockMap()
        self.hello: messages.HelloReply | None = None
        self._transport = transport
        self._decoder = StreamDecoder()
        self._session = 0
        self._seq = 0
        self._stops = 0
        self._resends = self._stale = self._late = self._unknown = 0
        self._pending: dict[int, _Slot] = {}
        self._pings: dict[int, float] = {}
        self._last_done: MoveDone | None = None
        self._frames: deque[Frame] = deque(maxlen=_KEPT_FRAMES)
        self._reopen = reopen
        self._reconnect_wall_s = reconnect_wall_s
        self._standing: dict[type[Message], Message] = {}
        self._repair = threading.RLock()  # one reconnection at a time
        self._sessions = 0
        self._boots = 0
        self._silences = 0
        self._is_silent = False
        self._beats = self._silences_seen = 0
        self._watchdog_wall_s = self._idle_wall_s = 0.0
        self.is_moving = False  # told by whoever waits for a motion: then the heart beats faster
        self._beats_unsent = 0
        self._heard_s = clock.now_s()
        self._beat_s: float | None = None
        self._turn = threading.Lock()  # one request at a time
        self._writing = threading.Lock()  # one frame at a time, and the order of STOP against moves
        self._news = threading.Condition()  # guards everything that arrives
        self._reader: int | None = None  # thread that reads for all

    @property
    def counters(self) -> LinkCounters:
        """Errors so far."""
        return LinkCounters(
            self._decoder.crc_errors,
            self._decoder.framing_errors,
            self._resends,
            self._stale,
            self._late,
            self._unknown,
            max(0, self._sessions - 1),
            self._silences,
        )

    @property
    def boots(self) -> int:
        """How often a board was met that knew nothing of what was before."""
        return self._boots

    @property
    def sessions(self) -> int:
        """How many sessions were opened so far; a new one may have lost an answer of the one before."""
        return self._sessions

    @property
    def stops(self) -> int:
        """How often STOP was sent; a motion remembers it, so that no later part of it starts after a STOP."""
        return self._stops

    def open_session(self) -> messages.HelloReply:
        """HELLO, the first or again. Raises ProtocolMismatch (nothing moved), LinkTimeout, BoardNotFound."""
        nonce = secrets.randbits(32)
        version = messages.PROTOCOL_VERSION
        self._session = 0
        reply = self._transact(messages.Hello(nonce, messages.schema_hash(), version, version), _always)
        if reply.version != version or len(reply.payload) == 0:
            raise mismatch(f"protocol version {version}", f"version {reply.version}")
        hello = decoded(reply, messages.HelloReply)
        if hello.schema_hash != messages.schema_hash():
            raise mismatch(f"message table {messages.schema_hash():08x}", f"{hello.schema_hash:08x}")
        if hello.nonce != nonce or reply.session == 0:
            raise ProtocolMismatch("HELLO got no session; nothing moved. Reset the board and try again.")
        self._session = reply.session
        before, self.hello = self.hello, hello
        if before is None or unit_of(before) != unit_of(hello):
            self._boots += 1
            self.board_clock.forget()
        self._sessions += 1
        return hello

    def keep(self, message: Message) -> None:
        """Have `message` sent now and again in every session to come. Raises as `request` does."""
        self.request(message, messages.Ack)
        self._standing[type(message)] = message

    def take_frames(self) -> tuple[Frame, ...]:
        """Events of strobes that have come since asked last."""
        with self._news:
            frames = tuple(self._frames)
            self._frames.clear()
        return frames

    def request(self, message: Message, reply: type[R], unless_stopped_since: int | None = None) -> R:
        """Send `message` until it is answered; return the answer.

        `unless_stopped_since`: value of `stops` after which no byte of this request may follow a STOP.
        Raises Refusal, MoveStopped, LinkTimeout, PositionLost, BoardNotFound.
        """
        for _ in range(ATTEMPTS):
            answer = self._exchange(message, unless_stopped_since)
            if answer.status == Status.OK:
                return decoded(answer, reply)
            if answer.status == Status.NO_SESSION:
                raise rebooted()
            if answer.status == Status.WATCHDOG and self._is_armed_again():
                continue
            if answer.status != Status.STALE:
                raise Refusal(messages.opcode_of(message), answer.status)
            # A STOP overtook it before it arrived: a motion ends here, anything else is asked anew.
            if unless_stopped_since is not None:
                raise stopped()
        raise Refusal(messages.opcode_of(message), Status.STALE)

    def stop(self) -> None:
        """Stop every axis, ahead of all else. Raises LinkTimeout, BoardNotFound, PositionLost."""
        self._urgent(messages.Stop())

    def estop(self) -> None:
        """Emergency stop, ahead of all else. Raises LinkTimeout, BoardNotFound, PositionLost."""
        self._urgent(messages.Estop())

    def heartbeat(self, watchdog_wall_s: float, idle_wall_s: float) -> Callable[[], None]:
        """Feed the board's watchdog from now on, until the returned function is called.

        `watchdog_wall_s`: its patience while something moves, `idle_wall_s`: while nothing does.
        """
        self._watchdog_wall_s, self._idle_wall_s = watchdog_wall_s, idle_wall_s
        return self.clock.every(watchdog_wall_s / _BEATS_PER_WATCHDOG, self._beat)

    def is_beating(self) -> bool:
        """Whether the heart beats, for which it is given the time of two beats.

        A watchdog that fired while it does, fired for a silence that is over: the host stood still, or the
        cable lost too much. What it broke off may go on.
        """
        beats = self._beats
        self.clock.sleep_s(2.0 * self._watchdog_wall_s / _BEATS_PER_WATCHDOG * self.clock.speed)
        return self._beats != beats

    def move_done(self, move_id: int, deadline_s: float) -> MoveDone | None:
        """End of a move, or None when `deadline_s` of the clock passes, or the session, without its event.

        Raises PositionLost, LinkTimeout, BoardNotFound.
        """
        sessions = self._sessions

        def ended() -> bool:
            done = self._last_done
            return self._sessions != sessions or (done is not None and done.move_id == move_id)

        try:
            self._wait(ended, deadline_s)
        except BoardNotFound as gone:
            self._resume(sessions, gone)
        done = self._last_done
        return done if done is not None and done.move_id == move_id else None

    def stay_closed(self) -> None:
        """From now on a port that is gone is not opened again."""
        self._reopen = None

    def close(self) -> None:
        """Give the port back. Idempotent."""
        self._transport.close()

    def _exchange(self, message: Message, unless_stopped_since: int | None) -> Packet:
        def check() -> None:
            if unless_stopped_since is not None and self._stops != unless_stopped_since:
                raise stopped()

        with self._turn:
            return self._in_session(message, check)

    def _urgent(self, message: messages.Stop | messages.Estop) -> None:
        if self._in_session(message, _always).status == Status.NO_SESSION:
            raise rebooted()

    def _in_session(self, message: Message, check: Callable[[], None]) -> Packet:
        """Answer to `message`, in a new session where the old one has ended."""
        answer = None
        for _ in range(ATTEMPTS):
            sessions, gone = self._sessions, None
            try:
                answer = self._transact(message, check)
                if answer.status != Status.NO_SESSION or self.hello is None:
                    return answer
            except BoardNotFound as error:
                gone = error
            self._resume(sessions, gone)
        if answer is None:
            raise LinkTimeout(f"the port was lost {ATTEMPTS} times within one request. Check the cable.")
        return answer

    def _resume(self, sessions: int, gone: BoardNotFound | None) -> None:
        """Open a session again, unless another thread has since there were `sessions`.

        Raises PositionLost when the board has rebooted, `gone` when it does not come back, LinkTimeout.
        """
        with self._repair:
            if self._sessions != sessions:
                return
            boots = self._boots
            deadline_s = self.clock.now_s() + self._reconnect_wall_s * self.clock.speed
            while True:
                if gone is not None:
                    self._open_again(gone, deadline_s)
                try:
                    self.open_session()
                    self._repeat()
                    break
                except BoardNotFound as error:
                    gone = error
            if self._boots != boots:
                raise rebooted()

    def _open_again(self, gone: BoardNotFound, deadline_s: float) -> None:
        """Wait for the port and open it. Raises `gone` when it is not back in time."""
        self._transport.close()
        while self._reopen is not None and self.clock.now_s() < deadline_s:
            try:
                transport = self._reopen()
            except BoardNotFound:
                self.clock.sleep_s(_REOPEN_WALL_S * self.clock.speed)
                continue
            with self._news:
                self._transport = transport
                self._decoder.reset()
            return
        raise gone

    def _repeat(self) -> None:
        """What the board is to keep. A refusal is not for here: whoever asks for something next is told."""
        for message in tuple(self._standing.values()):
            self._transact(message, _always)

    def _is_armed_again(self) -> bool:
        """Arm a watchdog that has fired for a silence which is over."""
        if not self.is_beating():
            return False
        with self._turn, contextlib.suppress(BoardNotFound):  # what is asked next meets that too, and resumes
            self._repeat()
        return True

    def _beat(self) -> None:
        """Send a PING without waiting for its answer; not while a request is under way, which feeds too."""
        self._beats += 1
        patience_s = (self._watchdog_wall_s if self.is_moving else self._idle_wall_s) * self.clock.speed
        self._note_silence(patience_s)
        # Counted in beats, which are wall time, and not by a clock that somebody may hold.
        self._beats_unsent += 1
        beats_per_ping = 1 if self.is_moving else max(1, round(self._idle_wall_s / self._watchdog_wall_s))
        is_due = self._beats_unsent >= beats_per_ping or self._silences != self._silences_seen
        if not is_due or not self._turn.acquire(blocking=False):
            return
        self._beats_unsent = 0
        transport = self._transport
        try:
            if self._silences != self._silences_seen:
                self._silences_seen = self._silences
                self._repeat()  # the lamp is lit again before the next picture
                return
            with self._writing:
                frame = self._next_frame(messages.Ping())
                with self._news:
                    self._note_ping(messages.Ping())
                transport.write(frame)
            with self._news:
                if self._reader is not None:
                    return
                self._reader = threading.get_ident()
            self._read(0.0, None)
        except (LinkTimeout, _SessionEnded):
            pass  # the next beat tries again
        except BoardNotFound:
            # Whoever asks for something next is told. The port is closed at once, though, or the device comes
            # back under another name.
            transport.close()
        finally:
            self._turn.release()

    def _note_silence(self, patience_s: float) -> None:
        """The heartbeat came late, so the host was silent; or nothing was heard since, so the cable was."""
        now_s, late_s = self.clock.now_s(), 0.5 * self._watchdog_wall_s * self.clock.speed
        since_s, self._beat_s = now_s - (self._beat_s or now_s), now_s
        if since_s > late_s:
            self._silences += 1
        elif now_s - self._heard_s > patience_s * (1.0 - 0.5 / _BEATS_PER_WATCHDOG):
            self._is_silent = True

    def _note_ping(self, message: Message) -> None:
        """Time of a PING about to be sent; the caller holds `_news`."""
        if type(message) is messages.Ping:
            while len(self._pings) >= _KEPT_PINGS:
                del self._pings[next(iter(self._pings))]
            self._pings[self._seq] = self.clock.now_s()

    def _transact(self, message: Message, check: Callable[[], None]) -> Packet:
        """Send and resend under one seq until the reply is there; `check` may object before every frame."""
        slot = _Slot(messages.opcode_of(message))
        try:
            with self._writing:
                check()
                if isinstance(message, messages.Stop | messages.Estop):
                    self._stops += 1
                frame, sessions = self._next_frame(message), self._sessions
                with self._news:
                    slot.seq = self._seq
                    self._pending[slot.seq] = slot
                    self._note_ping(message)
                self._transport.write(frame)
            for _ in range(ATTEMPTS):
                deadline_s = self.clock.now_s() + REPLY_WALL_S * self.clock.speed
                self._wait(lambda: slot.reply is not None or self._sessions != sessions, deadline_s)
                if slot.reply is not None:
                    return slot.reply
                with self._writing:
                    check()
                    if self._sessions != sessions:
                        raise _SessionEnded
                    self._resends += 1
                    self._transport.write(frame)
        finally:
            with self._news:
                self._pending.pop(slot.seq, None)
        raise LinkTimeout(
            f"{slot.opcode.name} sent {ATTEMPTS} times in {ATTEMPTS * REPLY_WALL_S:.1f} s without an answer. "
            "Check the cable and that the board is a parfocal board."
        )

    def _next_frame(self, message: Message) -> bytes:
        """Frame under the next seq; the caller holds `_writing`, so that frames leave in order of seq."""
        payload = messages.pack(message)
        self._seq = (self._seq + 1) & 0xFFFF
        return encode(Packet(Kind.REQUEST, messages.opcode_of(message), 0, self._seq, self._session, payload))

    def _wait(self, arrived: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for `arrived`, reading unless another thread reads; False when `deadline_s` has passed."""
        me = threading.get_ident()
        while True:
            with self._news:
                if arrived():
                    return True
                left_wall_s = (deadline_s - self.clock.now_s()) / self.clock.speed
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

    def _read(self, timeout_s: float, outer_reader: int | None) -> None:
        """Read once and sort what came; the caller has made itself the reader."""
        data = b""
        try:
            data = self._transport.read(timeout_s)
        finally:
            with self._news:
                self._reader = outer_reader
                for packet in self._decoder.feed(data):
                    self._sort(packet)
                self._news.notify_all()

    def _sort(self, packet: Packet) -> None:
        slot = self._pending.get(packet.seq) if packet.kind == Kind.RESPONSE else None
        if slot is not None and (slot.opcode != packet.opcode or slot.reply is not None):
            slot = None
        if slot is not None and slot.opcode is Opcode.HELLO:
            slot.reply = packet
        elif packet.version != messages.PROTOCOL_VERSION or packet.session != self._session:
            self._unknown += 1
            return
        elif packet.kind == Kind.RESPONSE:
            self._note_pong(packet)
            if slot is not None:
                slot.reply = packet
                self._stale += packet.status == Status.STALE
            else:
                self._late += packet.opcode != Opcode.PING  # nobody waits for the answers to the heartbeat
        else:
            self._note_event(packet)
        self._heard_s = self.clock.now_s()
        self._silences += self._is_silent
        self._is_silent = False

    def _note_pong(self, packet: Packet) -> None:
        """A pair of times for the clock of the board; the second answer to a resent PING tells nothing."""
        sent_s = self._pings.pop(packet.seq, None)
        if sent_s is None or packet.opcode != Opcode.PING or packet.status != Status.OK:
            return
        with contextlib.suppress(ProtocolMismatch):  # nobody waits for it
            pong = decoded(packet, messages.Pong)
            self.board_clock.note(sent_s, self.clock.now_s(), pong.board_time_us / 1e6)

    def _note_event(self, packet: Packet) -> None:
        try:
            event = messages.unpack(packet.kind, packet.opcode, packet.payload)
        except (KeyError, ValueError):
            self._unknown += 1
            return
        if isinstance(event, MoveDone):
            self._last_done = event
        elif isinstance(event, Frame):
            self._frames.append(event)


def _always() -> None:
    """STOP objects to nothing."""
