"""Time comes in by argument: a wall clock, and a virtual one for tests."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Protocol

_FASTEST = 1000.0  # beyond it a scheduler's millisecond is a second, and no watchdog is fed in time


class Clock(Protocol):
    """What everything that needs the time takes."""

    def now_s(self) -> float:
        """Time of the microscope, s. Its zero is arbitrary."""
        ...

    def sleep_s(self, duration_s: float) -> None:
        """Return when `duration_s` of the microscope's time has passed; at once if it is not positive."""
        ...


class PacedClock(Clock, Protocol):
    """A clock whose pace against the wall is known: what the link needs for its liveness.

    Whether the host is alive is a matter of the wall clock even when a stub runs faster than life,
    so reply deadlines and the heartbeat are in wall seconds.
    """

    @property
    def speed(self) -> float:
        """Clock seconds per wall second."""
        ...

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` every `period_wall_s` of wall time until the returned function is called."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC times `speed`; shared by all processes of the machine that use the same speed."""

    def __init__(self, speed: float = 1.0) -> None:
        """`speed`: clock seconds per wall second, positive."""
        if not 0.0 < speed <= _FASTEST:
            raise ValueError(f"clock speed {speed} asked: it must be positive, and at most {_FASTEST:.0f}")
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
    """Time that passes only when somebody waits; timers run in the thread that waits, in order.

    A timer may itself wait: time then goes on inside it, and the outer wait ends no earlier than asked.
    """

    def __init__(self, start_s: float = 100.0) -> None:
        """`start_s` is not zero, so that no product code takes "time 0" for a fact."""
        self._now_s = start_s
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def speed(self) -> float:
        """Virtual time is its own wall time."""
        return 1.0

    def now_s(self) -> float:
        """Virtual time, s."""
        return self._now_s

    def sleep_s(self, duration_s: float) -> None:
        """Let `duration_s` pass."""
        self.advance_to(self._now_s + duration_s)

    def stall_s(self, duration_s: float) -> None:
        """Let `duration_s` pass for all but this program: timers that were due run late, afterwards."""
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
        """Run every timer due up to `time_s`, then stand at `time_s` (never earlier than now)."""
        while self._timers and self._timers[0][0] <= time_s:
            due_s, _, action = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, due_s)
            action()
        self._now_s = max(self._now_s, time_s)
