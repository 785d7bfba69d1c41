"""The heartbeat: feeds the board's watchdog, and notices when host or cable were silent."""

from __future__ import annotations

import threading
from collections.abc import Callable

from parfocal.board.clock import PacedClock
from parfocal.board.errors import BoardNotFound, LinkTimeout
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.inbox import Inbox
from parfocal.board.link.outbox import Outbox, SessionEnded

_BEATS_PER_WATCHDOG = 4  # two may be late, and the board still receives a third in time


class Heartbeat:
    """Beats after `begin`, in whatever thread the clock runs its timers."""

    def __init__(
        self,
        inbox: Inbox,
        outbox: Outbox,
        clock: PacedClock,
        turn: threading.Lock,
        repeat: Callable[[], None],
        counters: LinkCounters,
    ) -> None:
        """`turn` is held while a request is under way. `repeat` requests again what a silence has ended."""
        self.is_moving = False  # set while a motion is waited for: the heart then beats faster
        self._inbox = inbox
        self._outbox = outbox
        self._clock = clock
        self._turn = turn
        self._repeat = repeat
        self._counters = counters
        self._watchdog_wall_s = self._idle_wall_s = 0.0
        self._beats = self._beats_unsent = self._silences_seen = 0
        self._beat_s: float | None = None
        self._has_fired = False

    def begin(self, watchdog_wall_s: float, idle_wall_s: float) -> Callable[[], None]:
        """Feed the board's watchdog from now on, until the returned function is called.

        `watchdog_wall_s`: longest silence that the board accepts while something moves. `idle_wall_s`: the same
        while nothing moves.
        """
        self._watchdog_wall_s, self._idle_wall_s = watchdog_wall_s, idle_wall_s
        return self._clock.every(watchdog_wall_s / _BEATS_PER_WATCHDOG, self._beat)

    def wait_for_beat(self) -> bool:
        """Wait for the time of two beats; return whether the heart has beaten.

        If it has, a watchdog that fired did so during a silence that is over: the host stood still, or the
        cable lost too much. What it ended may be requested again.
        """
        beats = self._beats
        self._clock.sleep_s(2.0 * self._watchdog_wall_s / _BEATS_PER_WATCHDOG * self._clock.speed)
        return self._beats != beats

    def note_watchdog(self) -> None:
        """The board says that its watchdog has fired. The next beat requests again what that ended.

        On a lossy cable the board may miss what the host believes sent, so the host has noticed no silence.
        """
        self._has_fired = True

    def _beat(self) -> None:
        """Send a PING without waiting for its answer. A request under way feeds the watchdog too: then skip it."""
        self._beats += 1
        self._note_silence()
        # Counted in beats, which are wall time. The clock may be held by someone.
        self._beats_unsent += 1
        beats_per_ping = 1 if self.is_moving else max(1, round(self._idle_wall_s / self._watchdog_wall_s))
        has_ended = self._has_fired or self._counters.silences != self._silences_seen
        is_due = self._beats_unsent >= beats_per_ping or has_ended
        if not is_due or not self._turn.acquire(blocking=False):
            return
        self._beats_unsent = 0
        transport = self._inbox.transport
        try:
            if has_ended:
                self._silences_seen, self._has_fired = self._counters.silences, False
                self._repeat()  # the lamp is lit again before the next image
                return
            self._outbox.ping()
            self._inbox.glance()
        except (LinkTimeout, SessionEnded):
            pass  # the next beat tries again
        except BoardNotFound:
            # The next request reports it. But the port is closed at once, or the device comes back under another
            # name.
            transport.close()
        finally:
            self._turn.release()

    def _note_silence(self) -> None:
        """Count a silence of the host when a beat is late; note one of the cable when nothing was received."""
        patience_s = (self._watchdog_wall_s if self.is_moving else self._idle_wall_s) * self._clock.speed
        now_s, late_s = self._clock.now_s(), 0.5 * self._watchdog_wall_s * self._clock.speed
        since_s, self._beat_s = now_s - (self._beat_s or now_s), now_s
        if since_s > late_s:
            self._counters.silences += 1
        elif now_s - self._inbox.heard_s > patience_s * (1.0 - 0.5 / _BEATS_PER_WATCHDOG):
            self._inbox.note_silence()
