"""Frames that are missing by their ids."""

import pytest

from parfocal.edge.camera.vision.frame_ids import n_lost_between


@pytest.mark.parametrize(
    ("earlier", "later", "lost"),
    [
        (1, 2, 0),
        (1, 4, 2),
        (0, 1, 0),
        (65_534, 65_535, 0),
        (65_535, 1, 0),  # GigE Vision leaves out 0
        (65_535, 3, 2),
        (65_533, 1, 2),
        (65_535, 65_536, 0),  # 64 bits
        (70_000, 70_003, 2),
        (40, 0, 0),  # begun anew
        (40, 1, 0),
        (200_000, 1, 0),
    ],
)
def test_a_gap_in_the_ids_is_lost_frames_and_a_new_count_is_none(earlier: int, later: int, lost: int) -> None:
    assert n_lost_between(earlier, later) == lost
