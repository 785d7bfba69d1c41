"""Virtual time: timers run in order, and time never goes back."""

from __future__ import annotations

import pytest

from parfocal.board.clock import MonotonicClock, VirtualClock


def test_timers_run_in_order_at_their_times() -> None:
    clock = VirtualClock(0.0)
    seen: list[tuple[str, float]] = []
    clock.call_at(2.0, lambda: seen.append(("late", clock.now_s())))
    clock.call_at(1.0, lambda: seen.append(("early", clock.now_s())))
    clock.sleep_s(3.0)
    assert seen == [("early", 1.0), ("late", 2.0)]
    assert clock.now_s() == 3.0


def test_a_timer_that_waits_takes_the_time_with_it() -> None:
    clock = VirtualClock(0.0)
    clock.call_at(1.0, lambda: clock.sleep_s(5.0))
    clock.sleep_s(2.0)
    assert clock.now_s() == 6.0
    clock.sleep_s(-1.0)
    assert clock.now_s() == 6.0


def test_every_repeats_until_it_is_ended() -> None:
    clock = VirtualClock(0.0)
    seen: list[float] = []
    end = clock.every(0.5, lambda: seen.append(clock.now_s()))
    clock.sleep_s(1.6)
    end()
    clock.sleep_s(5.0)
    assert seen == [0.5, 1.0, 1.5]


def test_a_clock_runs_forward() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        MonotonicClock(0.0)
    assert MonotonicClock(4.0).speed == 4.0
