"""Members that are trained beside those of a shipped head. Needs the training extra."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")
pytest.importorskip("onnx", reason="the training extra is not installed")

from parfocal.engines.model.contract import contract_from_onnx  # noqa: E402
from parfocal.engines.model.head import load_head  # noqa: E402
from tools.export import Trained, contract_of, trained_in, write_onnx, written_head  # noqa: E402
from tools.learning import fit, losses  # noqa: E402
from tools.learning.data.features import Features  # noqa: E402
from tools.learning.heads import head_from, new_head  # noqa: E402
from tools.learning.recipe import Recipe  # noqa: E402
from tools.networks.focus import MEMBERS, FocusNet, Head, head_of, joined  # noqa: E402
from tools.networks.spectrum import n_spectral  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RECIPE = Recipe(kind="single", patch_px=96)
OTHER_SCALE, OTHER_OFFSET = 3.0, 1.0


def features(n: int, net: FocusNet, seed: int = 2) -> Features:
    rng = np.random.default_rng(seed)
    assert net.body is not None
    sizes = n_spectral(3), net.body.pooled_features
    spectral, pooled = (rng.normal(0, 1, (n, k)).astype(np.float32) for k in sizes)
    return Features(
        spectral,
        pooled,
        (4.0 * spectral[:, 0]).astype(np.float32),
        np.full(n, 20.0, np.float32),
        rng.uniform(0.3, 0.9, n).astype(np.float32),
        np.full(n, "made"),
        np.arange(n),
    )


def network() -> FocusNet:
    torch.manual_seed(3)
    net: FocusNet = RECIPE.with_spectra(RECIPE.network()).eval()
    return net


def test_the_members_of_two_heads_predict_the_mean_of_both_with_how_far_they_lie_apart() -> None:
    net = network()
    made = features(200, net)
    one = new_head(net, made, 1.0)
    other = new_head(
        net, dataclasses.replace(made, spectral=OTHER_SCALE * made.spectral + OTHER_OFFSET), unit_um=2.0
    ).head
    given = fit.inputs_of(net, made, one.condensers)
    both = head_of(joined(one.head.arrays(), other.arrays()), takes_condenser=True)
    assert len(both.members) == 2 * MEMBERS
    first, second, found = (fit.predicted(head, given) for head in (one.head, other, both))
    assert first.sigma_um is not None
    assert second.sigma_um is not None
    assert found.sigma_um is not None
    expected_um = (first.distance_um + second.distance_um) / 2.0
    np.testing.assert_allclose(found.distance_um, expected_um, atol=1e-4)
    apart_um = (first.distance_um - second.distance_um) / 2.0
    variance = (first.sigma_um**2 + second.sigma_um**2) / 2.0 + apart_um**2
    np.testing.assert_allclose(found.sigma_um, np.sqrt(variance), rtol=1e-3)


def test_added_members_read_the_features_of_the_model_and_join_its_head(tmp_path: Path) -> None:
    shipped, made = network(), features(400, network())
    begun = new_head(shipped, made, 1.0)
    path = tmp_path / "model.onnx"
    trained = Trained(RECIPE, shipped, begun.head.eval(), begun.condensers)
    write_onnx(trained, contract_of("model", RECIPE, "20x/0.75", written_head(path, trained)), path)
    kept = load_head(path, contract_from_onnx(path))
    assert kept is not None

    net = RECIPE.with_spectra(shipped.body)
    added = head_from(net, path, made, 1.0, added=2)
    assert added is not None
    assert added.is_new
    assert net.summary is not None
    assert shipped.summary is not None
    np.testing.assert_array_equal(net.summary.weight.detach(), shipped.summary.weight.detach())
    fewer = head_from(net, path, made, 1.0, added=2, kept=3)
    assert fewer is not None
    assert fewer.kept is not None
    for (weight, bias), (every, every_bias) in zip(fewer.kept.layers, kept.layers, strict=True):
        np.testing.assert_array_equal(weight, every[:3])
        np.testing.assert_array_equal(bias, every_bias[:3])
    further = head_from(net, path, made, 1.0)
    assert further is not None
    assert not further.is_new
    assert further.kept is None

    out = tmp_path / "run"
    out.mkdir()
    how = fit.FitRecipe(epochs=2, fit_batch=100, linear_from=0.1)
    recipe = dataclasses.asdict(RECIPE)
    fit.fit(net, added.head, added.condensers, recipe, how, made, made, out, lambda _: None, kept=added.kept)
    head = trained_in(out).head
    assert head is not None
    assert len(head.members) == MEMBERS + 2
    assert json.loads((out / "log.json").read_text())["recipe"]["members"] == MEMBERS + 2
    given = fit.inputs_of(net, made, added.condensers)
    distances_um = fit.predicted(head, given).distance_um
    alone = [fit.predicted(part, given).distance_um for part in (begun.head, added.head)]
    mean_um = (MEMBERS * alone[0] + 2 * alone[1]) / (MEMBERS + 2)
    np.testing.assert_allclose(distances_um, mean_um, atol=1e-3)


def test_members_need_a_head_to_join(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "model.onnx"
    recipe = Recipe(kind="difference", patch_px=96)
    write_onnx(Trained(recipe, recipe.network().eval()), contract_of("model", recipe, "20x/0.75"), path)
    made = features(100, net)
    assert head_from(net, path, made, 1.0) is None
    with pytest.raises(ValueError, match="leave out --add-members"):
        head_from(net, path, made, 1.0, added=4)


@pytest.mark.parametrize("linear_from", [0.1, losses.LINEAR_FROM])
def test_the_loss_is_linear_from_there_on_and_smooth(linear_from: float) -> None:
    x = torch.tensor([0.0, 0.5, 0.999, 1.001, 2.0, 3.0]) * linear_from
    y = losses.smooth_l1(x, linear_from).numpy()
    assert y[0] == 0.0
    assert y[5] - y[4] == pytest.approx(0.5 * linear_from, rel=1e-4)
    assert y[3] - y[2] == pytest.approx(0.5 * 0.002 * linear_from, rel=0.02)
    assert y[1] == pytest.approx(0.25 * y[2], rel=0.01)
    assert losses.smooth_l1(-x, linear_from).numpy() == pytest.approx(y)
    # Of two values with unequal weights the quadratic part finds the mean, the linear one lies near the heavier.
    at = torch.linspace(-1.0, 1.0, 2001)
    weighed = 0.6 * losses.smooth_l1(at - 0.3, linear_from) + 0.4 * losses.smooth_l1(at + 0.3, linear_from)
    best = float(at[weighed.argmin()])
    assert best == pytest.approx(0.233 if linear_from < 0.3 else 0.06, abs=0.01)


def test_a_head_of_any_number_of_members_is_restored() -> None:
    head = Head(10, takes_condenser=False, members=3)
    again = head_of(head.arrays(), takes_condenser=False)
    x = torch.randn(5, 10)
    np.testing.assert_allclose(again.eval()(x).detach(), head.eval()(x).detach(), atol=1e-6)
