"""Which trigger a frame belongs to, by count and time. Pure.

The board counts its triggers, and the camera its frames. A frame or an event may be lost, and a camera may expose once
more or late, so neither count alone says which frame shows which tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from parfocal.board.own.board import TriggeredFrame

# A frame belongs to the trigger that it began with, to within this share of the time between two triggers.
SAME_SHARE = 0.25


def told_once(triggers: Iterable[TriggeredFrame], n_armed: int) -> tuple[TriggeredFrame, ...]:
    """The triggers of a sweep in their order, each once: an event may be sent again."""
    by_index = {each.index: each for each in triggers if each.index < n_armed}
    return tuple(by_index[index] for index in sorted(by_index))


def tolerance_s(triggers_s: Sequence[float], alone_s: float) -> float:
    """How far a frame may begin from its trigger, s. `alone_s`: the time between two triggers where there is one."""
    apart_s = min((later - earlier for earlier, later in itertools.pairwise(triggers_s)), default=alone_s)
    return SAME_SHARE * apart_s


def trigger_of(frame_s: float, triggers_s: Sequence[float], n_taken: int, within_s: float) -> int | None:
    """The place in `triggers_s` of the trigger that a frame began with, or None.

    `frame_s`: when its exposure began. `n_taken`: the first triggers whose frames have come; a second frame of one of
    them is none of the others'. A frame beyond `within_s` of every trigger belongs to none.
    """
    left = range(n_taken, len(triggers_s))
    nearest = min(left, key=lambda place: abs(triggers_s[place] - frame_s), default=None)
    if nearest is None or abs(triggers_s[nearest] - frame_s) > within_s:
        return None
    return nearest
