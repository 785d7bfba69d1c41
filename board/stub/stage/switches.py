"""The two limit switches of a stub's axis: hysteresis, bounce, and sticking contacts.

The firmware treats a switch as pressed at its first contact and as released at its first opening. It waits for the
end of the bounce only after that, so bounce costs a homing no accuracy.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.config import StubAxisConfig

_TOGGLES_PER_BOUNCE = 6


class Contact(enum.Enum):
    """A contact follows its lever or sticks."""

    WORKS = "works"
    STUCK_CLOSED = "stuck closed"
    STUCK_OPEN = "stuck open"


class Switches:
    """Lower and upper switch, and how they react to a path of the stage."""

    def __init__(self, config: StubAxisConfig) -> None:
        self.lower = self.upper = Contact.WORKS
        # The hysteresis lies between press and release. Homing ties the counter to the release.
        self.release_um = config.lower_switch_um - config.um_per_step / 2.0
        self.press_um = config.lower_switch_um - config.switch_hysteresis_um
        self.upper_um = config.upper_switch_um
        self.bounce_s = config.bounce_s

    def pressing(self, stage_um: NDArray[np.float64], sign: int) -> int | None:
        """Index of the first edge at which the switch ahead closes, or None."""
        contact = self.upper if sign > 0 else self.lower
        if contact is not Contact.WORKS:
            return 0 if contact is Contact.STUCK_CLOSED and len(stage_um) else None
        return _first(stage_um >= self.upper_um if sign > 0 else stage_um <= self.press_um)

    def releasing(self, stage_um: NDArray[np.float64]) -> int | None:
        """Index of the first edge upwards at which the lower switch opens, or None."""
        if self.lower is not Contact.WORKS:
            return 0 if self.lower is Contact.STUCK_OPEN and len(stage_um) else None
        return _first(stage_um >= self.release_um)

    def lower_closed(
        self,
        times_s: NDArray[np.float64],
        stage_um: NDArray[np.float64],
        first_stage_um: float,
        at_um: float,
        sign: int,
        time_s: float,
    ) -> bool:
        """Whether the lower contact is closed at `time_s` of a leg, at `at_um`. It toggles while it bounces."""
        if self.lower is not Contact.WORKS:
            return self.lower is Contact.STUCK_CLOSED
        closed = at_um < self.release_um if sign > 0 else at_um <= self.press_um
        if not len(times_s) or time_s - float(times_s[-1]) >= self.bounce_s:
            return closed  # at rest for longer than any bounce
        came_from_beyond = first_stage_um < self.release_um if sign > 0 else first_stage_um > self.press_um
        crossed = _first(stage_um >= self.release_um if sign > 0 else stage_um <= self.press_um)
        if crossed is None or not came_from_beyond:
            return closed
        since_s = time_s - float(times_s[crossed])
        if not 0.0 <= since_s < self.bounce_s:
            return closed
        return closed ^ bool(int(since_s / self.bounce_s * _TOGGLES_PER_BOUNCE) % 2)

    def upper_closed(self, at_um: float) -> bool:
        """Whether the upper contact is closed with the stage at `at_um`."""
        if self.upper is not Contact.WORKS:
            return self.upper is Contact.STUCK_CLOSED
        return at_um >= self.upper_um


def _first(where: NDArray[np.bool_]) -> int | None:
    """Index of the first True, or None."""
    if not len(where):
        return None
    index = int(np.argmax(where))
    return index if where[index] else None
