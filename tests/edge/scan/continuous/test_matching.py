"""Which frame of a sweep shows which tile, whatever the camera has missed or done twice."""

from __future__ import annotations

import pytest

from parfocal.board.own.board import TriggeredFrame
from parfocal.edge.scan.continuous.matching import told_once, tolerance_s, trigger_of

TRIGGERS_S = (10.0, 10.1, 10.2, 10.3)


def matched(*frames_s: float) -> list[int | None]:
    """Places of the triggers of frames that come one after another."""
    places, n_taken = list[int | None](), 0
    for frame_s in frames_s:
        place = trigger_of(frame_s, TRIGGERS_S, n_taken, tolerance_s(TRIGGERS_S, 1.0))
        places.append(place)
        n_taken = n_taken if place is None else place + 1
    return places


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


def test_an_event_that_came_twice_is_one_trigger() -> None:
    a, b, beyond = TriggeredFrame(0, 10.0), TriggeredFrame(1, 10.1), TriggeredFrame(7, 10.2)
    assert told_once((b, a, a, b, beyond), n_armed=2) == (a, b)
    assert tolerance_s((10.0, 10.1), alone_s=1.0) == pytest.approx(0.025)
    assert tolerance_s((10.0,), alone_s=1.0) == 0.25
