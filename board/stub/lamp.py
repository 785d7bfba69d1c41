"""The stub's lamp: duty, on-time, and a strobe that triggers a camera."""

from __future__ import annotations

import bisect

from parfocal.board.wire.messages import Lamp, Status, Strobe

NEVER_S = float("inf")
_MAX_DUTY = 10000
_MAX_ON_TIME_MS = 600_000
_MIN_PERIOD_US = 1000
_MAX_WIDTH_US = 100_000


class LampDriver:
    """What the lamp does by itself after a request. Times are those of the stub's clock."""

    def __init__(self, now_s: float) -> None:
        self._steady = 0
        self._steady_until_s = NEVER_S
        self._history: list[tuple[float, int]] = [(now_s, 0)]
        self._strobe: Strobe | None = None
        self._strobe_start_s = now_s
        self._edges_done = 0  # three per frame: trigger, flash on, flash off
        self.last_strobe_id = 0
        self.frames_done = 0

    @property
    def duty(self) -> int:
        """Duty now, 1/10000."""
        return self._history[-1][1]

    @property
    def is_used(self) -> bool:
        """Whether it is lit or will be lit, which the watchdog guards."""
        return self._steady > 0 or self._strobe is not None

    def next_due_s(self) -> float:
        """When it next changes by itself, s."""
        return min(self._steady_until_s, self._edge_s())

    def run_due(self, due_s: float) -> tuple[Strobe, int] | None:
        """Do what is due at `due_s`; return the strobe and the index of its frame when a trigger was given."""
        if self._steady_until_s <= due_s:
            self._steady, self._steady_until_s = 0, NEVER_S
            self._show(due_s, 0)
            return None
        strobe, (index, phase) = self._strobe, divmod(self._edges_done, 3)
        if strobe is None:
            return None
        self._edges_done += 1
        if phase == 0:
            self.frames_done = index + 1
            return strobe, index
        self._show(due_s, strobe.duty if phase == 1 else self._steady)
        if self._edges_done == 3 * strobe.count:
            self._strobe = None
        return None

    def set(self, request: Lamp, now_s: float) -> Status:
        """Carry out LAMP."""
        if request.duty > _MAX_DUTY or request.on_time_ms > _MAX_ON_TIME_MS:
            return Status.BAD_VALUE
        self._steady = request.duty
        timed = request.duty and request.on_time_ms
        self._steady_until_s = now_s + request.on_time_ms / 1000.0 if timed else NEVER_S
        if self._strobe is None or self._edges_done % 3 != 2:
            self._show(now_s, request.duty)
        return Status.OK

    def strobe(self, request: Strobe, now_s: float) -> Status:
        """Carry out STROBE."""
        if request.strobe_id <= self.last_strobe_id:
            return Status.DUPLICATE
        lasts_us = request.delay_us + request.width_us
        if request.count and not (
            request.duty <= _MAX_DUTY
            and request.period_us >= max(_MIN_PERIOD_US, lasts_us)
            and request.width_us <= _MAX_WIDTH_US
        ):
            return Status.BAD_VALUE
        self._show(now_s, self._steady)
        self.last_strobe_id = request.strobe_id
        self._strobe, self._strobe_start_s = request if request.count else None, now_s
        self._edges_done = self.frames_done = 0
        return Status.OK

    def darken(self, now_s: float) -> None:
        """Turn all light off and end the strobe."""
        self._strobe = None
        self._steady, self._steady_until_s = 0, NEVER_S
        self._show(now_s, 0)

    def duty_at(self, time_s: float) -> float:
        """Duty at `time_s`, 0..1."""
        index = bisect.bisect_right(self._history, time_s, key=lambda entry: entry[0])
        return self._history[max(index - 1, 0)][1] / _MAX_DUTY

    def forget_before(self, time_s: float) -> None:
        """Drop the history before `time_s`, except its last entry."""
        index = bisect.bisect_right(self._history, time_s, key=lambda entry: entry[0])
        del self._history[: max(index - 1, 0)]

    def continue_history(self, before: LampDriver) -> None:
        """Take over the history of an earlier driver of the same lamp."""
        self._history = before._history

    def _edge_s(self) -> float:
        """Time of the strobe's next edge."""
        if self._strobe is None:
            return NEVER_S
        index, phase = divmod(self._edges_done, 3)
        delay_us = (0, self._strobe.delay_us, self._strobe.delay_us + self._strobe.width_us)[phase]
        return self._strobe_start_s + (index * self._strobe.period_us + delay_us) / 1e6

    def _show(self, time_s: float, duty: int) -> None:
        if duty != self.duty:
            self._history.append((time_s, duty))
