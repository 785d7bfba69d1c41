"""When a frame was exposed, from the time stamp of the camera's own clock and its arrival. Pure."""

from __future__ import annotations

from collections import deque

_KEPT_S = 10.0  # quartz clocks differ by 1e-4 at most: 1 ms in this time


class DeviceClock:
    """Puts time stamps of a camera onto the clock of this machine.

    A frame arrives late by a time that is not constant, as the machine may be busy. The camera's clock counts without
    that, but begins anywhere. So the frame that arrived the least late tells how far apart the two clocks are.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()
        self._last_device_s = 0.0

    def host_s(self, device_s: float, latest_s: float) -> float:
        """The time of a stamp on the clock of this machine, s.

        `device_s`: the stamp, 0 from a camera without a clock. `latest_s`: when the stamped moment was at the latest,
        on the clock of this machine; it is returned as it is without a camera's clock.
        """
        if device_s <= self._last_device_s:  # no clock, or it began anew
            self._seen.clear()
        self._last_device_s = device_s
        if device_s == 0.0:
            return latest_s
        self._seen.append((latest_s, latest_s - device_s))
        while self._seen[0][0] < latest_s - _KEPT_S:
            self._seen.popleft()
        return device_s + min(apart_s for _, apart_s in self._seen)
