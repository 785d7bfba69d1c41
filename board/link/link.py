"""The link: one session with one board over a transport. Requests can be resent and never act twice.

`outbox` sends and resends, `inbox` sorts what arrives, `heartbeat` feeds the watchdog. One request is under
way at a time. Only STOP overtakes it, and makes the requests before it stale on the board.

A port that is gone is closed at once and opened again when it is back. The boot_id in the answer to a new HELLO
shows whether the board kept running or has rebooted. If it kept running, the request continues in the new session;
ids of moves and strobes keep it from acting twice. If it has rebooted, the request raises PositionLost.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
import threading
from collections.abc import Callable
from typing import TypeVar

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardNotFound, LinkTimeout, ProtocolMismatch
from parfocal.board.link.answers import Refusal, decoded, mismatch, rebooted, stopped, unit_of
from parfocal.board.link.clock_map import ClockMap
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.heard import Heard
from parfocal.board.link.heartbeat import Heartbeat
from parfocal.board.link.inbox import Inbox
from parfocal.board.link.outbox import ATTEMPTS, OPENING_WALLS_S, Outbox
from parfocal.board.link.transport import Transport
from parfocal.board.wire import layout, messages
from parfocal.board.wire.messages import Fault, Frame, Message, MoveDone, Status
from parfocal.board.wire.packet import Packet

_REOPEN_WALL_S = 0.05  # how often to look for a port that is gone

R = TypeVar("R", bound=Message)


class Link:
    """One session. Every method may be called from any thread."""

    def __init__(
        self,
        transport: Transport,
        clock: PacedClock,
        reopen: Callable[[], Transport] | None = None,
        reconnect_wall_s: float = 0.0,
    ) -> None:
        """Take over `transport`. Nothing is sent before `open_session`.

        `reopen` opens the port again after it was gone; it is tried for `reconnect_wall_s`.
        """
        self.clock = clock
        self.hello: messages.HelloReply | None = None
        self._counters = LinkCounters()
        self._inbox = Inbox(transport, clock, self._counters)
        self._outbox = Outbox(self._inbox, clock, self._counters)
        self._turn = threading.Lock()  # one request at a time
        self.heart = Heartbeat(self._inbox, self._outbox, clock, self._turn, self._repeat, self._counters)
        self._reopen = reopen
        self._reconnect_wall_s = reconnect_wall_s
        self._standing: dict[type[Message], Message] = {}
        self._keeping = threading.Lock()  # one at a time, in the order in which they are sent
        self._repair = threading.RLock()  # one reconnection at a time
        self._boots = 0

    @property
    def counters(self) -> LinkCounters:
        """Errors so far, as a copy."""
        return copy.copy(self._counters)

    @property
    def board_clock(self) -> ClockMap:
        """The clock of the board in terms of the host's."""
        return self._inbox.board_clock

    @property
    def boots(self) -> int:
        """How often a board answered that knew nothing about earlier sessions: one start of a board each."""
        return self._boots

    @property
    def sessions(self) -> int:
        """How many sessions were opened so far. An answer may have been lost with the previous one."""
        return self._outbox.sessions

    @property
    def stops(self) -> int:
        """How often STOP was sent. A motion remembers it, so that no later part of it begins after a STOP."""
        return self._outbox.stops

    def open_session(self) -> messages.HelloReply:
        """Open a session, the first or a new one.

        Raises ProtocolMismatch (nothing moved), LinkTimeout, BoardNotFound.
        """
        version = messages.PROTOCOL_VERSION
        reply = self._send_hello(messages.Hello(secrets.randbits(32), layout.schema_hash(), version, version))
        if reply.version != version:
            raise mismatch(f"protocol version {version}", f"version {reply.version}")
        hello = decoded(reply, messages.HelloReply)
        if hello.schema_hash != layout.schema_hash():
            raise mismatch(f"message table {layout.schema_hash():08x}", f"{hello.schema_hash:08x}")
        if reply.session == 0:
            raise ProtocolMismatch("HELLO got no session; nothing moved. Reset the board and try again.")
        self._inbox.session = reply.session
        before, self.hello = self.hello, hello
        if before is None or unit_of(before) != unit_of(hello):
            self._boots += 1
            self.board_clock.forget()
        self._counters.reconnects += self._outbox.sessions > 0
        self._outbox.sessions += 1
        return hello

    def _send_hello(self, hello: messages.Hello) -> Packet:
        """Send `hello`, return its response. Raises LinkTimeout and ProtocolMismatch, with what was heard instead."""
        self._inbox.session = 0
        heard = self._inbox.heard = Heard()
        try:
            return self._outbox.ask(hello, _always)
        except LinkTimeout as silent:
            if heard.other_version is not None:
                version = messages.PROTOCOL_VERSION
                raise mismatch(f"protocol version {version}", f"version {heard.other_version}") from silent
            raise LinkTimeout(
                f"the board did not answer HELLO in {sum(OPENING_WALLS_S):.0f} s: {heard.summary()}"
            ) from silent
        finally:
            self._inbox.heard = None

    def keep(self, message: Message) -> None:
        """Send `message` now and again in every later session. Raises as `request`.

        It is kept even when it gets no answer, so that a lamp that was to go dark is not lit again by an earlier
        request. It is not kept when the board refuses it.
        """
        with self._keeping:
            before = self._standing.get(type(message))
            self._standing[type(message)] = message
            try:
                self.request(message, messages.Ack)
            except Refusal:
                self.forget(type(message))
                if before is not None:
                    self._standing[type(message)] = before
                raise

    def forget(self, kind: type[Message]) -> None:
        """Do not send messages of this kind again in later sessions."""
        self._standing.pop(kind, None)

    def take_frames(self) -> tuple[Frame, ...]:
        """Events of strobes that have arrived since the last call."""
        return self._inbox.take_frames()

    def request(self, message: Message, reply: type[R], unless_stopped_since: int | None = None) -> R:
        """Send `message` until it is answered; return the answer.

        `unless_stopped_since`: an earlier value of `stops`. After a later STOP no byte of this request is sent.
        Raises Refusal, MoveStopped, LinkTimeout, PositionLost, BoardNotFound.
        """
        for _ in range(ATTEMPTS):
            answer = self._exchange(message, unless_stopped_since)
            if answer.status == Status.OK:
                return self._heeded(decoded(answer, reply))
            if answer.status == Status.NO_SESSION:
                raise rebooted()
            if answer.status == Status.WATCHDOG and self._rearm_watchdog():
                continue
            if answer.status != Status.STALE:
                raise Refusal(layout.opcode_of(message), answer.status)
            # A STOP overtook it: a motion ends here, anything else is requested again.
            if unless_stopped_since is not None:
                raise stopped()
        raise Refusal(layout.opcode_of(message), Status.STALE)

    def stop(self) -> None:
        """Stop every axis, ahead of everything else. Raises LinkTimeout, BoardNotFound, PositionLost."""
        self._urgent(messages.Stop())

    def estop(self) -> None:
        """Emergency stop, ahead of everything else. Raises LinkTimeout, BoardNotFound, PositionLost."""
        self._urgent(messages.Estop())

    def wait_for_move_done(self, move_id: int, deadline_s: float) -> MoveDone | None:
        """Wait for the event of a move; None when `deadline_s` passes, or the session ends, without it.

        Raises PositionLost, LinkTimeout, BoardNotFound.
        """
        sessions = self._outbox.sessions

        def ended() -> bool:
            done = self._inbox.last_done
            return self._outbox.sessions != sessions or (done is not None and done.move_id == move_id)

        try:
            self._inbox.wait(ended, deadline_s)
        except BoardNotFound as gone:
            self._resume(sessions, gone)
        done = self._inbox.last_done
        return done if done is not None and done.move_id == move_id else None

    def stay_closed(self) -> None:
        """Do not open the port again from now on, once it is gone."""
        self._reopen = None

    def close(self) -> None:
        """Release the port. Idempotent."""
        self._inbox.transport.close()

    def _exchange(self, message: Message, unless_stopped_since: int | None) -> Packet:
        def check() -> None:
            if unless_stopped_since is not None and self._outbox.stops != unless_stopped_since:
                raise stopped()

        with self._turn:
            return self._ask_in_session(message, check)

    def _urgent(self, message: messages.Stop | messages.Estop) -> None:
        if self._ask_in_session(message, _always).status == Status.NO_SESSION:
            raise rebooted()

    def _ask_in_session(self, message: Message, check: Callable[[], None]) -> Packet:
        """Send `message` and return its response, in a new session if the old one has ended."""
        answer = None
        for _ in range(ATTEMPTS):
            sessions, gone = self._outbox.sessions, None
            try:
                answer = self._outbox.ask(message, check)
                if answer.status != Status.NO_SESSION or self.hello is None:
                    return answer
            except BoardNotFound as error:
                gone = error
            self._resume(sessions, gone)
        if answer is None:
            raise LinkTimeout(f"the port was lost {ATTEMPTS} times within one request. Check the cable.")
        return answer

    def _resume(self, sessions: int, gone: BoardNotFound | None) -> None:
        """Open a new session, unless another thread has done so since there were `sessions`.

        Raises PositionLost when the board has rebooted, `gone` when it does not come back, LinkTimeout.
        """
        with self._repair:
            if self._outbox.sessions != sessions:
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
        self._inbox.transport.close()
        while self._reopen is not None and self.clock.now_s() < deadline_s:
            try:
                transport = self._reopen()
            except BoardNotFound:
                self.clock.sleep_s(_REOPEN_WALL_S * self.clock.speed)
                continue
            self._inbox.connect(transport)
            return
        raise gone

    def _repeat(self) -> None:
        """Send again what the board should keep. A refusal is ignored here: the next request reports it."""
        for message in tuple(self._standing.values()):
            self._outbox.ask(message, _always)

    def _heeded(self, reply: R) -> R:
        """The reply. If it says that the watchdog has fired, the heart lights again what is meant to be lit."""
        if isinstance(reply, messages.State) and reply.faults & Fault.WATCHDOG:
            self.heart.note_watchdog()
        return reply

    def _rearm_watchdog(self) -> bool:
        """Rearm a watchdog that fired during a silence; return False when the silence goes on."""
        if not self.heart.wait_for_beat():
            return False
        with self._turn, contextlib.suppress(BoardNotFound):  # the next request meets it too, and resumes
            self._repeat()
        return True


def _always() -> None:
    """A check that never objects."""
