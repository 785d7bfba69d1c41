"""The arithmetic of the training, and a few steps of one. Needs the training extra."""

import itertools
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.edge.focus.picture import prepare  # noqa: E402
from parfocal.engines.model.contract import Kind  # noqa: E402
from tools.learning import losses, training  # noqa: E402
from tools.learning.data import batches  # noqa: E402
from tools.learning.recipe import Recipe  # noqa: E402
from tools.learning.training import Training, rate_at  # noqa: E402
from tools.networks import standardising  # noqa: E402


@pytest.mark.parametrize(
    ("x", "loss"), [(0.0, 0.0), (0.5, 0.125), (-0.5, 0.125), (2.0, 0.875), (-2.0, 0.875)]
)
def test_the_loss_is_equation_1(x: float, loss: float) -> None:
    assert float(losses.smooth_l1(torch.tensor([x]))) == pytest.approx(loss)


@pytest.mark.parametrize("distance_um", [0.0, 1.0, -10.0])
def test_the_distance_weight_is_equation_2(distance_um: float) -> None:
    expected = 1.0 / (np.log(abs(distance_um) + 1.0) + 1.0)
    assert float(losses.distance_weight(torch.tensor([distance_um]))) == pytest.approx(expected)


def test_training_normalises_as_the_microscope_does() -> None:
    patches = np.random.default_rng(0).normal(3.0, 9.0, (2, 3, 16, 16)).astype(np.float32)
    patches[1, 2] = 5.0
    found = standardising.standardised(torch.from_numpy(patches)).numpy()
    assert np.allclose(found, prepare.standardised(patches), atol=1e-4)


@pytest.mark.parametrize("kind", ["difference", "pair", "single"])
def test_the_network_predicts_one_distance_for_patches_of_any_size(kind: Kind) -> None:
    net = Recipe(kind=kind).network().eval()
    for side_px in (96, 224):
        assert net(torch.zeros(2, 6 if kind == "pair" else 3, side_px, side_px)).shape == (2,)


def test_the_flattening_head_depends_on_positions() -> None:
    net = Recipe(kind="difference", head="flatten", patch_px=64).network().eval()
    x = torch.randn(1, 3, 64, 64)
    assert net(x).shape == (1,)
    assert net.head.in_features == 1280 * 2 * 2


def test_the_rate_is_constant_and_then_falls() -> None:
    rates = [rate_at(share) for share in np.linspace(0.0, training.FROZEN_SHARE - 0.01, 101)]
    assert rates[0] == rates[30] == 1.0
    assert all(later <= sooner for sooner, later in itertools.pairwise(rates))
    assert rate_at(1.0) == training.FROZEN_RATE


def test_frozen_statistics_do_not_change_while_the_weights_do(tmp_path: Path) -> None:
    begun = Training(Recipe(batch=4), tmp_path, "cpu")
    statistics = [b.clone() for b in begun.net.buffers()]
    weights = [p.detach().clone() for p in begun.net.parameters()]
    begun.learn(a_batch(), rate=1.0, phase=2, frozen=True)
    assert all(torch.equal(a, b) for a, b in zip(statistics, begun.net.buffers(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights, begun.net.parameters(), strict=True))


def a_batch() -> batches.Batch:
    return batches.Batch(torch.randn(4, 6, 64, 64), torch.zeros(4), torch.full((4,), 9.0))


def test_a_stopped_training_resumes(tmp_path: Path) -> None:
    recipe = Recipe(batch=4)
    first = Training(recipe, tmp_path, "cpu")
    first.learn(a_batch(), rate=1.0, phase=1)
    first.elapsed_s = 7.0
    first.save()
    second = Training(recipe, tmp_path, "cpu")
    assert (second.step, second.patches, second.elapsed_s) == (1, 4, 7.0)
    for a, b in zip(first.net.parameters(), second.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_with_another_recipe_is_not_overwritten(tmp_path: Path) -> None:
    Training(Recipe(), tmp_path, "cpu").save()
    with pytest.raises(SystemExit, match="another recipe"):
        Training(Recipe(kind="difference"), tmp_path, "cpu")
