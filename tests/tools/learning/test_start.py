"""A training that starts from a shipped model predicts like that model."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")
onnx = pytest.importorskip("onnx", reason="the training extra is not installed")

from parfocal.engines.model.contract import CondenserTerms, Kind, contract_from_onnx  # noqa: E402
from parfocal.engines.model.head import load_head  # noqa: E402
from tools.export import Trained, contract_of, reference, write_onnx, written_head  # noqa: E402
from tools.learning.recipe import SPECTRA_ONLY, Recipe  # noqa: E402
from tools.learning.start import body_from, start_from, summary_from  # noqa: E402
from tools.learning.training import recalibrate  # noqa: E402
from tools.networks.focus import Head, Whole  # noqa: E402

# The newer exporter of torch needs another package, and writes graphs that TensorRT 8.6 does not parse.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("kind", ["pair", "difference", "single"])
def test_the_weights_of_a_model_are_restored_from_its_file(tmp_path: Path, kind: Kind) -> None:
    recipe = Recipe(kind=kind, patch_px=96)
    torch.manual_seed(3)
    x = torch.randn(16, 6 if kind == "pair" else 3, 96, 96)
    trained = recipe.network()
    recalibrate(trained, [2.0 * x + 0.3])  # not the statistics of x
    path = tmp_path / "model.onnx"
    write_onnx(Trained(recipe, trained.eval()), contract_of("model", recipe, "20x/0.75"), path)
    begun = recipe.network()
    start_from(begun, path, x)
    with torch.no_grad():
        expected = trained.eval()(x).numpy()
        # In training mode it uses the statistics of x, which change nothing here.
        assert np.allclose(begun.train()(x).numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("kind", ["pair", "single"])
def test_a_model_with_spectra_is_restored_completely(tmp_path: Path, kind: Kind) -> None:
    recipe = Recipe(kind=kind, patch_px=96)
    torch.manual_seed(3)
    x = torch.randn(4, 6 if kind == "pair" else 3, 96, 96)
    net = recipe.with_spectra(recipe.network())
    recalibrate(net, [x])
    head = Head(net.n_features, takes_condenser=True)
    head.mean.normal_()
    head.deviation.uniform_(0.5, 2.0)
    condensers = CondenserTerms(default=0.6, least=0.4, most=0.8)
    trained = Trained(recipe, net.eval(), head.eval(), condensers)
    path = tmp_path / "model.onnx"
    contract = contract_of("model", recipe, "20x/0.75", written_head(path, trained))
    write_onnx(trained, contract, path)
    begun = recipe.with_spectra(recipe.network()).eval()
    body_from(begun.body, path)
    summary_from(begun, path)
    arrays = load_head(path, contract_from_onnx(path))
    assert arrays is not None
    again = Head(begun.n_features, takes_condenser=True)
    again.load(arrays)
    with torch.no_grad():
        expected = trained.distances()(x).numpy()
        assert np.allclose(Whole(begun, again.eval(), 0.6)(x).numpy(), expected, atol=1e-3)
    assert np.allclose(reference(path).predict(x.numpy()).distance_um, expected, atol=1e-3)
    with pytest.raises(ValueError, match="--head spectrum"):
        start_from(recipe.network(), path, x)


@pytest.mark.parametrize("kind", ["pair", "single"])
def test_a_model_of_spectra_only_predicts_from_its_file(tmp_path: Path, kind: Kind) -> None:
    recipe = Recipe(kind=kind, patch_px=96, head=SPECTRA_ONLY)
    torch.manual_seed(3)
    x = torch.randn(4, 6 if kind == "pair" else 3, 96, 96)
    net = recipe.with_spectra(None)
    trained = Trained(recipe, net.eval(), Head(net.n_features, takes_condenser=False).eval())
    path = tmp_path / "model.onnx"
    write_onnx(trained, contract_of("model", recipe, "20x/0.75", 0.345, written_head(path, trained)), path)
    assert not any(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    with torch.no_grad():
        expected = trained.distances()(x).numpy()
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(reference(path).predict(x.numpy()).distance_um, expected, atol=1e-4)
    with pytest.raises(ValueError, match="summarises"):
        summary_from(net, path)


def test_a_body_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    recipe = Recipe(kind="difference", patch_px=96)
    write_onnx(Trained(recipe, recipe.network().eval()), contract_of("model", recipe, "20x/0.75"), path)
    with pytest.raises(ValueError, match="--kind"):
        body_from(Recipe(kind="pair").network(), path)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    recipe = Recipe(kind="difference", patch_px=96)
    write_onnx(Trained(recipe, recipe.network().eval()), contract_of("model", recipe, "20x/0.75"), path)
    with pytest.raises(ValueError, match="--kind"):
        start_from(Recipe(kind="pair").network(), path, torch.zeros(1, 6, 96, 96))
