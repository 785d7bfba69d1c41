"""Clocks, which are passed in as arguments: a wall clock, and a virtual clock for tests."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Protocol

_FASTEST = 1000.0  # beyond it a scheduler's millisecond is a second, too late for any watchdog


class Clock(Protocol):
    """A clock that everything uses which needs the time."""

    def now_s(self) -> float:
        """Time of the microscope, s. Its zero is arbitrary."""
        ...

    def sleep_s(self, duration_s: float) -> None:
        """Return after `duration_s` of the microscope's time; at once if it is not positive."""
        ...


class PacedClock(Clock, Protocol):
    """A clock whose pace relative to wall time is known, which the link needs.

    Whether the host is alive is a matter of wall time even when a stub runs faster than real time. So reply
    deadlines and the heartbeat are in wall seconds.
    """

    @property
    def speed(self) -> float:
        """Clock seconds per wall second."""
        ...

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` every `period_wall_s` of wall time until the returned function is called."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC times `speed`. All processes of the machine with the same speed share its time."""

    def __init__(self, speed: float = 1.0) -> None:
        """`speed`: clock seconds per wall second, positive."""
        if not 0.0 < speed <= _FASTEST:
            raise ValueError(
                f"clock speed {speed} is invalid: it must be positive, and at most {_FASTEST:.0f}"
            )
        self._speed = speed

    @property
    def speed(self) -> float:
        """Clock seconds per wall second."""
        return self._speed

    def now_s(self) -> float:
        """Time of the microscope, s."""
        return time.monotonic() * self._speed

    def sleep_s(self, duration_s: float) -> None:
        """Sleep `duration_s` of the microscope's time."""
        if duration_s > 0.0:
            time.sleep(duration_s / self._speed)

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` from a daemon thread every `period_wall_s`, until the returned function is called."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(period_wall_s):
                action()

        thread = threading.Thread(target=beat, name="parfocal-every", daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            if thread is not threading.current_thread():
                thread.join()

        return end


class VirtualClock:
    """Time that passes only when somebody waits. Timers run in order, in the thread that waits.

    A timer may itself wait. Time then passes inside it, and the outer wait ends no earlier than requested.
    """

    def __init__(self, start_s: float = 100.0) -> None:
        """`start_s` is not zero, so that no code can rely on a start at 0."""
        self._now_s = start_s
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def speed(self) -> float:
        """1: virtual time is its own wall time."""
        return 1.0

    def now_s(self) -> float:
        """Virtual time, s."""
        return self._now_s

    def sleep_s(self, duration_s: float) -> None:
        """Let `duration_s` pass."""
        self.advance_to(self._now_s + duration_s)

    def stall_s(self, duration_s: float) -> None:
        """Let `duration_s` pass for everything except this program. Timers that were due run late, afterwards."""
        self._now_s += duration_s

    def call_at(self, time_s: float, action: Callable[[], None]) -> None:
        """Call `action` once when virtual time reaches `time_s`."""
        heapq.heappush(self._timers, (time_s, next(self._order), action))

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` every `period_wall_s` of virtual time, until the returned function is called."""
        alive = [True]

        def tick() -> None:
            if alive:
                self.call_at(self._now_s + period_wall_s, tick)
                action()

        self.call_at(self._now_s + period_wall_s, tick)
        return alive.clear

    def next_timer_s(self) -> float:
        """Time of the next timer, s; infinity when there is none."""
        return self._timers[0][0] if self._timers else float("inf")

    def advance_to(self, time_s: float) -> None:
        """Run every timer due up to `time_s`, then stand at `time_s`. Time never goes back."""
        while self._timers and self._timers[0][0] <= time_s:
            due_s, _, action = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, due_s)
            action()
        self._now_s = max(self._now_s, time_s)
