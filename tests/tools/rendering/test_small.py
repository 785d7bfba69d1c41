"""What small samples are seen through."""

import numpy as np
import pytest

from tools.arrays import FloatArray
from tools.rendering import small
from tools.rendering.cameras import compressing_camera, random_camera
from tools.rendering.objectives import OBJECTIVES

OBJECTIVE = OBJECTIVES["20x/0.75"]
LINES: FloatArray = np.zeros((3, 32, 32), np.float32)
LINES[:, :, ::4] = 0.8


def test_a_quarter_of_the_small_samples_are_usual_ones() -> None:
    rng = np.random.default_rng(5)
    drawn = [small.seen_through(OBJECTIVE, ("lines", LINES), rng) for _ in range(200)]
    is_usual = [
        len(one.sample.height_um) == 1
        and not one.sample.phase_rad.any()
        and 0.2 <= one.sample.phase_per_density_rad <= 0.4
        and abs(one.optics.condenser_sigma - 0.6) <= 0.03
        for one in drawn
    ]
    assert 0.18 < np.mean(is_usual) < 0.36
    assert {one.sample.groups[0][1] for one in drawn} == {"lines"}
    cameras = np.array([len(one.cameras) for one in drawn])
    assert np.mean(cameras == 2) == pytest.approx(0.75 * 0.35, abs=0.08)
    assert (cameras[is_usual] == 1).mean() > 0.9  # of those that look usual, some are others by chance
    assert all(one.cameras[0] is random_camera for one in drawn)


def test_the_other_small_samples_are_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small, "USUAL_SHARE", 0.0)
    rng = np.random.default_rng(6)
    others = [small.seen_through(OBJECTIVE, ("lines", LINES), rng) for _ in range(50)]
    assert sum(len(one.sample.height_um) > 1 for one in others) > 15
    assert {one.cameras for one in others} == {(random_camera,), (random_camera, compressing_camera)}
