"""The microscope's time next to a stub in real time: it stands still while a picture is being computed."""

import contextlib
from collections.abc import Callable, Iterator

from parfocal.board.clock import PacedClock


class HeldClock:
    """A paced clock that can be held.

    A camera exposes in no time of the computer's; a rendered one takes a quarter of a second of it. Time of
    the microscope, which the product sees, leaves that out; `shared_s` gives the time of the clock that the
    stub's process shares.
    """

    def __init__(self, clock: PacedClock) -> None:
        """`clock` is the one shared with the stub."""
        self._clock = clock
        self._holds: list[tuple[float, float]] = [(float("-inf"), 0.0)]

    @property
    def speed(self) -> float:
        """Clock seconds per wall second."""
        return self._clock.speed

    def now_s(self) -> float:
        """Time of the microscope, s."""
        return self._clock.now_s() - self._holds[-1][1]

    def sleep_s(self, duration_s: float) -> None:
        """Let time of the microscope pass."""
        self._clock.sleep_s(duration_s)

    def every(self, period_wall_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """As of the shared clock: the board's watchdog does not wait for pictures."""
        return self._clock.every(period_wall_s, action)

    def shared_s(self, time_s: float) -> float:
        """The shared clock's time at a moment of the microscope's time."""
        held_s = next(held for began_s, held in reversed(self._holds) if began_s <= time_s)
        return time_s + held_s

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the microscope's time."""
        began_s, shared_began_s = self.now_s(), self._clock.now_s()
        try:
            yield
        finally:
            total_s = self._holds[-1][1] + self._clock.now_s() - shared_began_s
            self._holds.append((began_s, total_s))
            del self._holds[1:-64]  # nobody asks for moments that far back
