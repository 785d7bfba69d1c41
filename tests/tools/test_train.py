"""The arithmetic of the training; runs where the training extra is installed."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge import prepare  # noqa: E402
from tools import train  # noqa: E402
from tools.network import DifferenceNet  # noqa: E402


@pytest.mark.parametrize(
    ("x", "loss"), [(0.0, 0.0), (0.5, 0.125), (-0.5, 0.125), (2.0, 0.875), (-2.0, 0.875)]
)
def test_the_loss_is_equation_1(x: float, loss: float) -> None:
    assert float(train.smooth_l1(torch.tensor([x]))) == pytest.approx(loss)


@pytest.mark.parametrize("distance_um", [0.0, 1.0, -10.0])
def test_the_distance_weight_is_equation_2(distance_um: float) -> None:
    expected = 1.0 / (np.log(abs(distance_um) + 1.0) + 1.0)
    assert float(train.distance_weight(torch.tensor([distance_um]))) == pytest.approx(expected)


def test_training_normalises_as_the_microscope_does() -> None:
    patches = np.random.default_rng(0).normal(3.0, 9.0, (2, 3, 16, 16)).astype(np.float32)
    patches[1, 2] = 5.0
    found = train.standardised(torch.from_numpy(patches)).numpy()
    assert np.allclose(found, prepare.standardised(patches), atol=1e-4)


def test_the_network_gives_one_distance_for_patches_of_any_size() -> None:
    net = DifferenceNet().eval()
    for side_px in (96, 224):
        assert net(torch.zeros(2, 3, side_px, side_px)).shape == (2,)


def test_a_stopped_training_goes_on_where_it_was(tmp_path: Path) -> None:
    recipe = train.Recipe(batch=4)
    first = train.Training(recipe, tmp_path)
    batch = torch.randn(4, 3, 64, 64), torch.zeros(4), torch.ones(4)
    first.learn(*batch, rate=1e-3, near=False)
    first.save()
    second = train.Training(recipe, tmp_path)
    assert second.step == 1
    assert second.patches == 4
    for a, b in zip(first.net.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(a, b)
