"""Walks: the legs of an axis on its way, one after the other, alone or beside those of other axes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence

from parfocal.board.errors import BoardError
from parfocal.board.motor import Leg

# Yields each leg, and is sent the time of its end. Returns when the stage is settled, s.
Walk = Generator[Leg, float, float]


def walk_together(walks: Mapping[str, Walk], move: Callable[[Mapping[str, Leg]], float]) -> float:
    """Go along several walks at once; return the time at which all of them are settled, s.

    `move` makes one leg of each of the named walks and returns the time of the end of the last, s. Its error is raised
    in every walk under way, and then here.
    """
    settled_s = float("-inf")
    legs: dict[str, Leg] = {}
    for name, walk in walks.items():
        settled_s = max(settled_s, _advance(name, walk, None, legs))
    while legs:
        under_way, legs = legs, {}
        try:
            completed_s = move(under_way)
        except BoardError as error:
            made = _ended_early([walks[name] for name in under_way], error)
            if made is error:
                raise
            raise made from error
        for name in under_way:
            settled_s = max(settled_s, _advance(name, walks[name], completed_s, legs))
    return settled_s


def _advance(name: str, walk: Walk, completed_s: float | None, legs: dict[str, Leg]) -> float:
    """Put the next leg of a walk into `legs`; the time at which it is settled if it has ended, s, else -inf."""
    try:
        legs[name] = next(walk) if completed_s is None else walk.send(completed_s)
    except StopIteration as ended:
        return float(ended.value)
    return float("-inf")


def _ended_early(walks: Sequence[Walk], error: BoardError) -> BoardError:
    """Tell every walk that its leg failed; the error that the first of them makes of it."""
    told = [_told(walk, error) for walk in walks]
    return told[0]


def _told(walk: Walk, error: BoardError) -> BoardError:
    try:
        walk.throw(error)
    except BoardError as told:
        return told
    return error
