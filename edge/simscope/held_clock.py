"""The microscope's clock beside a stub in real time: it stands still while an image is rendered."""

import contextlib
from collections.abc import Callable, Iterator

from parfocal.board.clock import PacedClock


class HeldClock:
    """A paced clock that can be held.

    A real camera costs no computing time; rendering an image takes 40 ms or more. The product sees the
    microscope's time, which leaves that out. `shared_s` converts it to the clock that the stub's process shares.
    """

    def __init__(self, clock: PacedClock) -> None:
        """`clock` is shared with the stub's process."""
        self._clock = clock
        self._holds: list[tuple[float, float]] = [(float("-inf"), 0.0)]

    @property
    def speed(self) -> float:
        """Clock seconds per wall second."""
        return self._clock.speed

    def now_s(self) -> float:
        """The microscope's time, s."""
        return self._clock.now_s() - self._holds[-1][1]

    def sleep_s(self, duration_s: float) -> None:
        """Let `duration_s` of the microscope's time pass."""
        self._clock.sleep_s(duration_s)

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Call `action` by the shared clock: the board's watchdog does not wait for images."""
        return self._clock.every(period_wall_s, action)

    def shared_s(self, time_s: float) -> float:
        """The shared clock's time, s, at a microscope's time, s."""
        held_s = next(held for began_s, held in reversed(self._holds) if began_s <= time_s)
        return time_s + held_s

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Stop the microscope's time inside the block."""
        began_s, shared_began_s = self.now_s(), self._clock.now_s()
        try:
            yield
        finally:
            total_s = self._holds[-1][1] + self._clock.now_s() - shared_began_s
            self._holds.append((began_s, total_s))
            del self._holds[1:-64]  # older times are never asked for
