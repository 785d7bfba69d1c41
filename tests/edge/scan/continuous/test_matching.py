"""Which frame of a sweep shows which tile, whatever the camera has missed or done twice."""

from __future__ import annotations

import pytest

from parfocal.board.own.triggers import TriggeredFrame
from parfocal.edge.scan.continuous.matching import trigger_of

TRIGGERS = tuple(TriggeredFrame(index, 10.0 + 0.1 * index) for index in range(4))


def matched(*frames_s: float) -> list[int | None]:
    """Indices of the triggers of frames that come one after another."""
    indices, last = list[int | None](), -1
    for frame_s in frames_s:
        trigger = trigger_of(frame_s, TRIGGERS, last, 0.025)
        indices.append(None if trigger is None else trigger.index)
        last = last if trigger is None else trigger.index
    return indices


@pytest.mark.parametrize(
    ("frames_s", "places"),
    [
        ((10.0, 10.1, 10.2, 10.3), [0, 1, 2, 3]),
        ((10.001, 10.099, 10.202, 10.3), [0, 1, 2, 3]),  # stamped a little off
        ((10.0, 10.2, 10.3), [0, 2, 3]),  # a frame was missed
        ((10.1, 10.2, 10.3), [1, 2, 3]),  # the first one
        ((10.0, 10.008, 10.1, 10.2, 10.3), [0, None, 1, 2, 3]),  # a trigger was doubled
        ((10.0, 10.15, 10.2, 10.3), [0, None, 2, 3]),  # a frame began late
        ((9.5, 10.0, 10.1, 10.2), [None, 0, 1, 2]),  # left from the sweep before
        ((10.0, 10.1, 10.2, 10.3, 10.4), [0, 1, 2, 3, None]),  # a trigger was not for us
        ((10.05, 10.15, 10.25, 10.35), [None, None, None, None]),  # half a period late: nobody knows whose
    ],
)
def test_each_frame_belongs_to_its_own_trigger_or_to_none(
    frames_s: tuple[float, ...], places: list[int | None]
) -> None:
    assert matched(*frames_s) == places
