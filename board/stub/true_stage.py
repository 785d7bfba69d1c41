"""The true state of the stage, for the simulated camera and for tests."""

from __future__ import annotations

from typing import Protocol

HISTORY_S = 10.0


class TrueStage(Protocol):
    """True positions, now or up to `HISTORY_S` of wall time ago, in the time of the shared clock."""

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        ...

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1."""
        ...
