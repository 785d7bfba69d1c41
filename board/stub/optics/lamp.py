"""The stub's lamp: duty, on-time, and triggers for a camera, by time (strobe) or by position."""

from __future__ import annotations

import bisect

from parfocal.board.wire.messages import AxisBit, Lamp, PositionTrigger, Status, Strobe

NEVER_S = float("inf")
_MAX_DUTY = 10000
_MAX_ON_TIME_MS = 600_000
_MIN_PERIOD_US = 1000
_MAX_WIDTH_US = 100_000
_MAX_DELAY_US = 100_000  # of a position trigger


class LampDriver:
    """What the lamp does by itself after a request. Times are those of the stub's clock."""

    def __init__(self, now_s: float) -> None:
        self._steady = 0
        self._steady_until_s = NEVER_S
        self._history: list[tuple[float, int]] = [(now_s, 0)]
        self._strobe: Strobe | PositionTrigger | None = None
        self._start_s = now_s  # of a strobe
        self._frame_s = now_s  # when the last trigger was given
        self._phase = 0  # next: 0 trigger, 1 flash on, 2 flash off
        self._index = 0  # of the next trigger or position
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

    @property
    def next_position(self) -> tuple[AxisBit, int, int] | None:
        """Axis, counter and direction of the position trigger that comes next, or None."""
        armed = self._strobe
        if not isinstance(armed, PositionTrigger) or self._index >= armed.count:
            return None
        at_steps = armed.first_steps + self._index * armed.spacing_steps
        return AxisBit(armed.axes), at_steps, 1 if armed.spacing_steps > 0 else -1

    def next_due_s(self) -> float:
        """When it next changes by itself, s."""
        return min(self._steady_until_s, self._edge_s())

    def run_due(self, due_s: float) -> int | None:
        """Do what is due at `due_s`; return the index of the trigger that was given."""
        if self._steady_until_s <= due_s:
            self._steady, self._steady_until_s = 0, NEVER_S
            if self._strobe is None or self._phase != 2:
                self._show(due_s, 0)
            return None
        strobe = self._strobe
        if strobe is None:
            return None
        if self._phase == 0:
            return self._trigger(due_s)
        self._show(due_s, strobe.duty if self._phase == 1 else self._steady)
        self._phase = (self._phase + 1) % 3
        self._end_after_the_last(strobe)
        return None

    def pass_position(self, time_s: float) -> int | None:
        """Note that `next_position` is reached; return its index when a trigger was given.

        None too soon after the trigger before, or while its flash is not over.
        """
        strobe = self._strobe
        since_us = round((time_s - self._frame_s) * 1e6)
        if self._phase == 0 and (self.frames_done == 0 or since_us >= _MIN_PERIOD_US):
            return self._trigger(time_s)
        self._index += 1
        if strobe is not None:
            self._end_after_the_last(strobe)
        return None

    def set(self, request: Lamp, now_s: float) -> Status:
        """Carry out LAMP."""
        if request.duty > _MAX_DUTY or request.on_time_ms > _MAX_ON_TIME_MS:
            return Status.BAD_VALUE
        self._steady = request.duty
        timed = request.duty and request.on_time_ms
        self._steady_until_s = now_s + request.on_time_ms / 1000.0 if timed else NEVER_S
        if self._strobe is None or self._phase != 2:
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
        self._begin(request, now_s)
        return Status.OK

    def arm(self, request: PositionTrigger, now_s: float) -> None:
        """Carry out POSITION_TRIGGER, once nothing speaks against it."""
        self._begin(request, now_s)

    def disarm(self, axes: AxisBit, now_s: float) -> None:
        """End a position trigger of one of `axes`, whose counters have lost their meaning."""
        if isinstance(self._strobe, PositionTrigger) and self._strobe.axes & axes:
            self._strobe = None
            self._show(now_s, self._steady)

    def darken(self, now_s: float) -> None:
        """Turn all light off and end the strobe."""
        self._strobe = None
        self._steady, self._steady_until_s = 0, NEVER_S
        self._show(now_s, 0)

    def duty_at(self, time_s: float) -> float:
        """Duty at `time_s`, 0..1."""
        index = bisect.bisect_right(self._history, time_s, key=lambda entry: entry[0])
        return self._history[max(index - 1, 0)][1] / _MAX_DUTY

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty from `begin_s` on and after every change until `end_s`: pairs of time, s, and duty, 0..1."""
        return light_of(self._history, begin_s, end_s)

    def forget_before(self, time_s: float) -> None:
        """Drop the history before `time_s`, except its last entry."""
        index = bisect.bisect_right(self._history, time_s, key=lambda entry: entry[0])
        del self._history[: max(index - 1, 0)]

    def continue_history(self, before: LampDriver) -> None:
        """Take over the history of an earlier driver of the same lamp."""
        self._history = before._history

    def _begin(self, request: Strobe | PositionTrigger, now_s: float) -> None:
        self._show(now_s, self._steady)
        self.last_strobe_id = request.strobe_id
        self._strobe, self._start_s = request if request.count else None, now_s
        self._phase = self._index = self.frames_done = 0

    def _trigger(self, time_s: float) -> int:
        self._frame_s, self._phase = time_s, 1
        self._index += 1
        self.frames_done += 1
        return self._index - 1

    def _end_after_the_last(self, strobe: Strobe | PositionTrigger) -> None:
        if self._phase == 0 and self._index >= strobe.count:
            self._strobe = None

    def _edge_s(self) -> float:
        """Time of the next edge that comes by time."""
        strobe = self._strobe
        if strobe is None:
            return NEVER_S
        if self._phase == 0:
            if isinstance(strobe, PositionTrigger):
                return NEVER_S
            return self._start_s + self._index * strobe.period_us / 1e6
        frame_s = self._frame_s
        if isinstance(strobe, Strobe):
            frame_s = self._start_s + (self._index - 1) * strobe.period_us / 1e6
        return frame_s + (strobe.delay_us + (0 if self._phase == 1 else strobe.width_us)) / 1e6

    def _show(self, time_s: float, duty: int) -> None:
        if duty != self.duty:
            self._history.append((time_s, duty))


def refusal_of_positions(request: PositionTrigger, is_homed: bool, max_steps: int) -> Status:
    """Why a board does not take these positions on an axis of `max_steps`, or OK."""
    is_sane = (
        request.spacing_steps != 0
        and request.duty <= _MAX_DUTY
        and request.width_us <= _MAX_WIDTH_US
        and request.delay_us <= _MAX_DELAY_US
    )
    if not is_sane:
        return Status.BAD_VALUE
    if not is_homed:
        return Status.NOT_HOMED
    last_steps = request.first_steps + (request.count - 1) * request.spacing_steps
    is_within = (
        min(request.first_steps, last_steps) >= 0 and max(request.first_steps, last_steps) <= max_steps
    )
    return Status.OK if is_within else Status.LIMIT


def light_of(
    history: list[tuple[float, int]], begin_s: float, end_s: float
) -> tuple[tuple[float, float], ...]:
    """Duty at `begin_s` and after every change until `end_s`, from a history of duties in 1/10000."""
    first = max(bisect.bisect_right(history, begin_s, key=lambda entry: entry[0]) - 1, 0)
    return tuple(
        (max(time_s, begin_s), duty / _MAX_DUTY) for time_s, duty in history[first:] if time_s < end_s
    )
