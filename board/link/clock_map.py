"""The clock of the board in terms of the host's, from the PINGs with the smallest round trip."""

from __future__ import annotations

from collections import deque

import msgspec

_KEPT_PINGS = 64  # at two PINGs a second, when nothing moves: half a minute, in which crystals drift 1 ms


class _Pair(msgspec.Struct, frozen=True):
    """One PING: the earliest and the latest host time that its board time can be, each less board time."""

    earliest_s: float
    latest_s: float

    @property
    def round_trip_s(self) -> float:
        return self.latest_s - self.earliest_s


class ClockMap:
    """Board time to host time. The host's clock may lag behind, when it is held, but never runs ahead."""

    def __init__(self) -> None:
        self._pairs: deque[_Pair] = deque(maxlen=_KEPT_PINGS)
        self._best: _Pair | None = None

    def note(self, sent_s: float, received_s: float, board_time_s: float) -> None:
        """A PING sent and answered at these host times; the board read its clock somewhere in between."""
        pair = _Pair(sent_s - board_time_s, received_s - board_time_s)
        if len(self._pairs) == self._pairs.maxlen and self._pairs[0] is self._best:
            self._best = None
        self._pairs.append(pair)
        if self._best is None:
            self._best = min(self._pairs, key=lambda kept: kept.round_trip_s)
        elif pair.round_trip_s <= self._best.round_trip_s:
            self._best = pair

    def forget(self) -> None:
        """The board has started anew."""
        self._pairs.clear()
        self._best = None

    @property
    def round_trip_s(self) -> float | None:
        """Smallest round trip among the PINGs kept, s; twice the worst error of a mapped time."""
        return None if self._best is None else self._best.round_trip_s

    def latest_host_s(self, board_time_s: float) -> float | None:
        """Latest host time that a board time can be, s; None before the first PING was answered."""
        return None if self._best is None else board_time_s + self._best.latest_s

    def host_s(self, board_time_s: float) -> float | None:
        """Most likely host time of a board time, s; None before the first PING was answered."""
        if self._best is None:
            return None
        return board_time_s + (self._best.earliest_s + self._best.latest_s) / 2.0
