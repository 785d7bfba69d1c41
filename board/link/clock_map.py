"""Maps the board's clock to the host's, from the PINGs with the smallest round trip."""

from __future__ import annotations

from collections import deque

import msgspec

_KEPT_PINGS = 64  # half a minute at two PINGs a second, while nothing moves; crystals drift 1 ms in it


class _Pair(msgspec.Struct, frozen=True):
    """One PING: the earliest and the latest possible host time of its board time, each minus board time."""

    earliest_s: float
    latest_s: float

    @property
    def round_trip_s(self) -> float:
        return self.latest_s - self.earliest_s


class ClockMap:
    """Board time to host time. The host's clock may lag while it is held, but never runs ahead."""

    def __init__(self) -> None:
        self._pairs: deque[_Pair] = deque(maxlen=_KEPT_PINGS)
        self._best: _Pair | None = None

    def note(self, sent_s: float, received_s: float, board_time_s: float) -> None:
        """Note a PING sent and answered at these host times. The board read its clock somewhere in between."""
        pair = _Pair(sent_s - board_time_s, received_s - board_time_s)
        if len(self._pairs) == self._pairs.maxlen and self._pairs[0] is self._best:
            self._best = None
        self._pairs.append(pair)
        if self._best is None:
            self._best = min(self._pairs, key=lambda kept: kept.round_trip_s)
        elif pair.round_trip_s <= self._best.round_trip_s:
            self._best = pair

    def forget(self) -> None:
        """Forget everything: the board has restarted."""
        self._pairs.clear()
        self._best = None

    def latest_host_s(self, board_time_s: float) -> float | None:
        """Latest possible host time of a board time, s; None before the first answered PING."""
        return None if self._best is None else board_time_s + self._best.latest_s

    def host_s(self, board_time_s: float) -> float | None:
        """Most likely host time of a board time, s; None before the first answered PING."""
        if self._best is None:
            return None
        return board_time_s + (self._best.earliest_s + self._best.latest_s) / 2.0
