"""The true state of the stage, for the simulated camera and for tests."""

from __future__ import annotations

from typing import Protocol

# A camera that is triggered in a sweep hands its frames out after it: a row of 64 tiles at 40x takes 10 s and more.
HISTORY_S = 60.0


def check_history(time_s: float, now_s: float, history_s: float) -> None:
    """Raises ValueError for a time before the history or after now."""
    if not now_s - history_s <= time_s <= now_s + 1e-6:
        raise ValueError(
            f"true position {time_s - now_s:+.6f} s from now is unknown: only the last {history_s} s are known. "
            "Ask for the time at which an exposure began, once it has begun."
        )


class TrueStage(Protocol):
    """True positions, now or up to `HISTORY_S` of wall time ago, in the time of the shared clock."""

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        ...

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1."""
        ...
