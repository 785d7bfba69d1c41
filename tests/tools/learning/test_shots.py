"""Small samples for the head of an objective without a body. Needs the training extra."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the training extra is not installed")

from tools.arrays import FloatArray
from tools.learning.data import shots
from tools.learning.data.features import Features
from tools.rendering.objectives import OBJECTIVES

OBJECTIVE = OBJECTIVES["10x/0.3"]


def lines(side: int, rng: np.random.Generator) -> tuple[str, FloatArray]:
    is_dark = (np.arange(side) + rng.integers(60)) % 60 < 30  # wide enough to be seen 50 um from the focus
    density = np.zeros((3, side, side), np.float32)
    density[:, is_dark] = rng.uniform(0.5, 1.0)
    return "lines", density


def means(x: FloatArray) -> FloatArray:
    assert x.shape[1] == 3
    return np.asarray(x.mean(axis=(2, 3)), np.float32)


def part(seed: int) -> dict[str, Features]:
    return shots.part_of(OBJECTIVE, lines, means, means, np.random.default_rng(seed))


def test_a_part_shows_each_sample_through_an_instrument_of_its_own_over_the_whole_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"PATCH_PX": 40, "SHOT_PX": 80, "SAMPLES": 2}.items():
        monkeypatch.setattr(shots, name, value)
    found, again, other = part(1), part(1), part(2)
    whole, blocks = found["single"], found["block"]
    assert len(np.unique(whole.condenser)) == 2
    assert whole.distance_um.min() < -OBJECTIVE.range_um
    assert whole.distance_um.max() > OBJECTIVE.range_um
    seen = np.unique(whole.plane, return_counts=True)[1]
    assert seen.max() == len(shots.CAMERAS)  # each height through every camera
    assert set(blocks.plane) <= set(whole.plane)
    assert whole.pooled.shape == (len(whole), 0)
    for kind, features in found.items():
        for name, values in vars(features).items():
            np.testing.assert_array_equal(values, getattr(again[kind], name))
    assert not np.isin(other["single"].condenser, whole.condenser).any()
