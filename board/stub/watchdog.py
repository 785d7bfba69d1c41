"""The two times of a stub's watchdog, and when it was last fed."""

from __future__ import annotations

from parfocal.board.wire.messages import Watchdog

FIRST_LIMIT_S = 1.0


class WatchdogTimer:
    """Counts wall time, so its limits scale with the clock. Times are those of the stub's clock, s."""

    def __init__(self, now_s: float, clock_speed: float) -> None:
        self._clock_speed = clock_speed
        self.fed_s = now_s
        self.motion_limit_s = self.idle_limit_s = FIRST_LIMIT_S * clock_speed

    def set(self, request: Watchdog) -> bool:
        """Take new limits; whether they are allowed."""
        if not 100 <= request.motion_ms <= request.idle_ms <= 60000:
            return False
        self.motion_limit_s = request.motion_ms * self._clock_speed / 1000.0
        self.idle_limit_s = request.idle_ms * self._clock_speed / 1000.0
        return True

    def due_s(self, is_moving: bool) -> float:
        """When it fires unless it is fed."""
        return self.fed_s + (self.motion_limit_s if is_moving else self.idle_limit_s)
