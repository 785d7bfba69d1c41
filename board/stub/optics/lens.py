"""The stub's lens driver: a current within a range."""

from __future__ import annotations

from collections.abc import Callable

from parfocal.board.wire.messages import Lens, SetCurrent, Status


class LensDriver:
    """The current through a tunable lens, uA. It is 0 at the start."""

    def __init__(self, rating: Lens) -> None:
        """`rating`: the range of its current."""
        self.rating = rating
        self.current_ua = 0
        self.changed: Callable[[int], None] = lambda _current_ua: None  # called with every new current, uA

    def set(self, request: SetCurrent) -> Status:
        """Carry out SET_CURRENT."""
        if not self.rating.min_ua <= request.current_ua <= self.rating.max_ua:
            return Status.BAD_VALUE
        self._drive(request.current_ua)
        return Status.OK

    def switch_off(self) -> None:
        """No more current."""
        self._drive(0)

    def _drive(self, current_ua: int) -> None:
        if current_ua != self.current_ua:
            self.current_ua = current_ua
            self.changed(current_ua)
