"""The heartbeat: feeds the board's watchdog, and notices when host or cable were silent."""

from __future__ import annotations

import threading
from collections.abc import Callable

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardNotFound, LinkTimeout
from parfocal.board.link.inbox import Inbox
from parfocal.board.link.outbox import Outbox, SessionEnded

_BEATS_PER_WATCHDOG = 4  # two may be late, and the board still hears a third in time


class Heartbeat:
    """Beats from `begin` on, in whatever thread the clock calls its timers."""

    def __init__(
        self,
        inbox: Inbox,
        outbox: Outbox,
        clock: PacedClock,
        turn: threading.Lock,
        repeat: Callable[[], None],
    ) -> None:
        """`turn` is held by whoever has a request under way; `repeat` asks anew for what a silence ended."""
        self.is_moving = False  # told by whoever waits for a motion: then the heart beats faster
        self._inbox = inbox
        self._outbox = outbox
        self._clock = clock
        self._turn = turn
        self._repeat = repeat
        self._watchdog_wall_s = self._idle_wall_s = 0.0
        self._beats = self._beats_unsent = self._silences_seen = 0
        self._beat_s: float | None = None

    def begin(self, watchdog_wall_s: float, idle_wall_s: float) -> Callable[[], None]:
        """Feed the board's watchdog from now on, until the returned function is called.

        `watchdog_wall_s`: its patience while something moves, `idle_wall_s`: while nothing does.
        """
        self._watchdog_wall_s, self._idle_wall_s = watchdog_wall_s, idle_wall_s
        return self._clock.every(watchdog_wall_s / _BEATS_PER_WATCHDOG, self._beat)

    def is_beating(self) -> bool:
        """Whether the heart beats, for which it is given the time of two beats.

        A watchdog that fired while it does, fired for a silence that is over: the host stood still, or the
        cable lost too much. What it broke off may go on.
        """
        beats = self._beats
        self._clock.sleep_s(2.0 * self._watchdog_wall_s / _BEATS_PER_WATCHDOG * self._clock.speed)
        return self._beats != beats

    def _beat(self) -> None:
        """Send a PING without waiting for its answer; not while a request is under way, which feeds too."""
        self._beats += 1
        self._note_silence()
        # Counted in beats, which are wall time, and not by a clock that somebody may hold.
        self._beats_unsent += 1
        beats_per_ping = 1 if self.is_moving else max(1, round(self._idle_wall_s / self._watchdog_wall_s))
        is_due = self._beats_unsent >= beats_per_ping or self._inbox.silences != self._silences_seen
        if not is_due or not self._turn.acquire(blocking=False):
            return
        self._beats_unsent = 0
        transport = self._inbox.transport
        try:
            if self._inbox.silences != self._silences_seen:
                self._silences_seen = self._inbox.silences
                self._repeat()  # the lamp is lit again before the next picture
                return
            self._outbox.ping()
            self._inbox.glance()
        except (LinkTimeout, SessionEnded):
            pass  # the next beat tries again
        except BoardNotFound:
            # Whoever asks for something next is told. The port is closed at once, though, or the device comes
            # back under another name.
            transport.close()
        finally:
            self._turn.release()

    def _note_silence(self) -> None:
        """The heartbeat came late, so the host was silent; or nothing was heard since, so the cable was."""
        patience_s = (self._watchdog_wall_s if self.is_moving else self._idle_wall_s) * self._clock.speed
        now_s, late_s = self._clock.now_s(), 0.5 * self._watchdog_wall_s * self._clock.speed
        since_s, self._beat_s = now_s - (self._beat_s or now_s), now_s
        if since_s > late_s:
            self._inbox.silences += 1
        elif now_s - self._inbox.heard_s > patience_s * (1.0 - 0.5 / _BEATS_PER_WATCHDOG):
            self._inbox.is_silent = True
