"""Bright ends of a slide, and what pixels are made of."""

import numpy as np
import pytest

from parfocal.edge.tissue.ends import bright_end
from parfocal.edge.tissue.glass import mean_of, range_of


@pytest.mark.parametrize("slant", [-0.08, 0.0, 0.08])  # columns per row
def test_the_edge_of_a_bright_end_is_found_whichever_way_it_slants(slant: float) -> None:
    rows, columns = np.mgrid[:200, :300]
    is_end = columns < 60.0 + slant * (rows - 100.0)
    pixels = np.where(is_end, 235, 215)[..., None].repeat(3, axis=2).astype(np.uint8)
    found = bright_end(pixels)
    assert found is not None
    assert sum(found) / 2.0 == pytest.approx(60.0, abs=1.5)
    assert (found[1] - found[0]) / 2.0 == pytest.approx(abs(slant) * 100.0, abs=6.5)


def test_the_mean_and_the_range_of_channels_are_those_of_numpy() -> None:
    channels = np.random.default_rng(1).random((20, 30, 3)).astype(np.float32)
    assert np.array_equal(mean_of(channels), channels.mean(axis=2))
    assert np.array_equal(range_of(channels), np.ptp(channels, axis=2))
