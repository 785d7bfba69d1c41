"""What the step interrupt of the emulated RP2040 takes, from cycle counts, and what it may take."""

from __future__ import annotations

from typing import Any

CYCLE_US = 1.0 / 125.0
# Longest interrupt, latest step, and longest time for which the main loop keeps the interrupt away.
MAX_ALARM_US, MAX_LATE_US, MAX_LOCK_US = 5.0, 10.0, 4.0


def assert_timely(situation: str, found: dict[str, Any]) -> None:
    """Print what `EmulatedBoard.run_until` measured with `edges`, and hold it against the limits."""
    alarm, lock, late = found["isr"], found["lock"], found["late"]
    assert alarm["n"] > 0
    mean_us, longest_us = alarm["sum"] / alarm["n"] * CYCLE_US, alarm["longest"] * CYCLE_US
    lock_us, late_us = lock["longest"] * CYCLE_US, late["longest"] / 1000.0
    print(  # noqa: T201  # `make firmware-check` shows it
        f"\n{situation}: {late['n']} steps, interrupt {mean_us:.2f} us on average, {longest_us:.2f} us at most, "
        f"kept away for {lock_us:.2f} us, step edges up to {late_us:.2f} us late"
    )
    assert longest_us <= MAX_ALARM_US, situation
    assert late_us <= MAX_LATE_US, situation
    assert lock_us <= MAX_LOCK_US, situation
