"""The way points that a stub keeps for its next sweep."""

from __future__ import annotations

import itertools

from parfocal.board.wire.messages import Status, Sweep, WayPoint

MOST = 200


class WayPoints:
    """Those kept so far, in the order in which they came."""

    def __init__(self) -> None:
        self._kept: list[WayPoint] = []

    def drop(self) -> None:
        """Keep none."""
        self._kept = []

    def take(self) -> tuple[WayPoint, ...]:
        """Hand them over to a sweep, and keep none."""
        taken, self._kept = tuple(self._kept), []
        return taken

    def may_be_next(self, request: WayPoint) -> bool:
        """Whether a point may have this index."""
        return request.index in (0, len(self._kept)) and request.index < MOST

    def keep(self, request: WayPoint) -> None:
        """Keep one more, or the first."""
        self._kept = [*self._kept[: request.index], request]

    def refusal(self, request: Sweep, pos_steps: int) -> Status:
        """Why a sweep from `pos_steps` may not go along them, or OK."""
        if request.count == 0 or request.count != len(self._kept):
            return Status.WAY_POINTS
        sign = 1 if request.target_steps >= pos_steps else -1
        way = [sign * point.at_steps for point in self._kept] + [sign * request.target_steps]
        is_in_order = all(a <= b for a, b in itertools.pairwise(way))
        return Status.OK if is_in_order else Status.BAD_VALUE
