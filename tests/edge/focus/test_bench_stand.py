"""The stand of the focus bench counts time as its tables say."""

import numpy as np
import pytest

from parfocal.edge.camera.frame import frame_after
from tests.bench.focus_stand import PLACES_UM, Stand


def test_waiting_for_the_camera_counts_from_when_the_stage_is_at_rest() -> None:
    """Also where it comes to rest while a frame is being exposed, which is of no use."""
    stripes = np.tile(np.array([120, 220], np.uint8), (64, 32))
    stand = Stand((np.stack([stripes] * 3, axis=2), 0.5))
    stand.at(PLACES_UM[0], 0.0)
    waits_s = []
    for step in range(1, 25):
        settled_s = stand.axis.approach_up(stand.axis.position_um + 0.3125 * step)
        asked_s = stand.bench.clock.now_s()
        frame = frame_after(stand, settled_s)
        waits_s.append(frame.exposure_start_s - max(settled_s, asked_s))
    assert stand.waited_s == pytest.approx(sum(waits_s), abs=1e-9)
    period_s, exposure_s = stand.config.camera.frame_period_s, stand.config.camera.exposure_s
    assert max(waits_s) > period_s - exposure_s  # some came to rest during an exposure
