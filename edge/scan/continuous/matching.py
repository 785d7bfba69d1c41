"""Which trigger a frame belongs to, by count and time. Pure.

The board counts its triggers, and the camera its frames. A frame or an event may be lost, and a camera may expose once
more or late, so neither count alone says which frame shows which tile.
"""

from __future__ import annotations

from collections.abc import Iterable

from parfocal.board.own.triggers import TriggeredFrame

# A frame belongs to the trigger that it began with, to within this share of the time between two triggers.
SAME_SHARE = 0.25


def trigger_of(
    frame_s: float, triggers: Iterable[TriggeredFrame], last_index: int, within_s: float
) -> TriggeredFrame | None:
    """The trigger that a frame began with, or None.

    `frame_s`: when its exposure began. `last_index`: of the last trigger whose frame has come; a second frame of it, or
    of one before, is none of the others'. A frame beyond `within_s` of every trigger belongs to none.
    """
    left = (each for each in triggers if each.index > last_index)
    nearest = min(left, key=lambda each: abs(each.trigger_s - frame_s), default=None)
    if nearest is None or abs(nearest.trigger_s - frame_s) > within_s:
        return None
    return nearest
