"""The seam between a foreign board and its motors: what one dialect must do."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Protocol

import msgspec

from parfocal.board.clock import PacedClock
from parfocal.board.motor import Rates

Steps = tuple[int, int, int]


class Report(msgspec.Struct, frozen=True):
    """The state of a foreign board, as it says itself. Positions are counted from where the axes home.

    `state`: its own word. `is_resting`: nothing moves and a move may begin. `fault`: why no move may begin, or empty.
    `is_homed`: the counters are tied to the stage. `lamp_duty`: 0..1.
    `switches`: those that are pressed, such as "z_lower".
    """

    state: str
    is_resting: bool
    pos_steps: Steps
    is_homed: bool
    fault: str = ""
    lamp_duty: float = 0.0
    switches: tuple[str, ...] = ()


class Recognised(msgspec.Struct, frozen=True):
    """Who answered at a port, and its state. `problems`: settings that keep it from being used, a sentence each."""

    kind: str
    firmware: str
    state: str
    is_homed: bool
    problems: tuple[str, ...] = ()


class Turns:
    """Who holds the motors of a board, and whether a STOP has ended what they requested."""

    def __init__(self) -> None:
        self.n_stops = 0
        self.n_forgotten = 0
        self.sending = threading.RLock()  # held while a command is sent that a STOP must not overtake unseen
        self._lock = threading.RLock()
        self._since: int | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the motors. A STOP sent after this call ends everything requested inside."""
        asked = self.n_stops
        with self._lock:
            outer = self._since
            self._since = asked if outer is None else outer
            try:
                yield
            finally:
                self._since = outer

    @property
    def is_stopped(self) -> bool:
        """Whether a STOP was sent since the turn began. Call inside `turn`."""
        return self._since is not None and self.n_stops != self._since


class Dialect(Protocol):
    """One foreign board, opened: its lines and what they mean.

    `turns` counts STOPs and losses of position. `tolerance_steps`: how far a reported position may lie from the true
    count of steps, because the board rounds it.
    """

    clock: PacedClock
    turns: Turns
    tolerance_steps: tuple[float, float, float]

    def report(self) -> Report:
        """Ask the board for its state; two equal answers in a row, since nothing protects a line from damage.

        Raises LinkTimeout, PositionLost, BoardNotFound.
        """
        ...

    def begin(self, index: int, from_steps: int, target_steps: int, rates: Rates) -> bool:
        """Request a move of one axis; return whether the board has acknowledged it in time.

        It is requested once: what happened to a line without an answer is seen in the position.
        Raises MoveRefused (nothing moved), PositionLost, BoardNotFound.
        """
        ...

    def halt(self) -> None:
        """End a move now, with a ramp where the board has one. From any thread. Raises BoardNotFound."""
        ...

    def home(self, index: int) -> None:
        """Tie the counter of one axis to the stage, and end at 0 upwards. Raises as `Motor.home` does."""
        ...
