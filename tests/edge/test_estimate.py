import numpy as np
import pytest

from parfocal.edge.config import FocusConfig
from parfocal.edge.estimate import blank, weighted

CONFIG = FocusConfig()


def f32(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("predictions", "weights", "distance_um", "spread_um"),
    [
        ((4.0, 4.0, 4.0, 4.0), (1.0, 2.0, 3.0, 4.0), 4.0, 0.0),
        ((1.0, 3.0), (1.0, 1.0), 2.0, 1.0),
        ((1.0, 3.0), (1.0, 3.0), 2.5, np.sqrt(0.75)),
        # An empty patch predicts anything; its weight keeps it from moving the mean or the spread.
        ((5.0, 5.0, 5.0, -9.0), (20.0, 20.0, 20.0, 0.0), 5.0, 0.0),
    ],
)
def test_the_mean_and_spread_are_weighted_by_contrast(
    predictions: tuple[float, ...], weights: tuple[float, ...], distance_um: float, spread_um: float
) -> None:
    found = weighted(f32(*predictions), f32(*weights))
    assert found.distance_um == pytest.approx(distance_um)
    assert found.spread_um == pytest.approx(spread_um, abs=1e-6)
    assert found.predictions_um == predictions


def test_one_patch_with_structure_is_enough_to_judge_a_field() -> None:
    limit = CONFIG.blank_contrast
    assert blank(f32(limit * 0.9, limit * 0.5, 0.0, 0.0), CONFIG)
    assert not blank(f32(limit * 1.1, 0.0, 0.0, 0.0), CONFIG)
