"""A training that starts from a shipped model predicts like that model."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training extra is not installed")
pytest.importorskip("onnx", reason="the training extra is not installed")

from parfocal.engines.model.contract import Kind  # noqa: E402
from tools.export import contract_of, write_onnx  # noqa: E402
from tools.learning.recipe import Recipe  # noqa: E402
from tools.learning.start import body_from, head_from, is_spectral, start_from  # noqa: E402
from tools.learning.training import recalibrate  # noqa: E402

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
    write_onnx(trained, contract_of("model", recipe, "20x/0.75", 0.345), path)
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
    trained = recipe.with_spectra(recipe.network(), takes_condenser=False)
    trained.head.mean.normal_()
    trained.head.deviation.uniform_(0.5, 2.0)
    recalibrate(trained, [x])
    path = tmp_path / "model.onnx"
    write_onnx(trained, contract_of("model", recipe, "20x/0.75", 0.345), path)
    begun = recipe.with_spectra(recipe.network(), takes_condenser=False).eval()
    body_from(begun.body, path)
    head_from(begun.head, path)
    assert is_spectral(path)
    with torch.no_grad():
        assert np.allclose(begun(x).numpy(), trained(x).numpy(), atol=1e-3)
    with pytest.raises(ValueError, match="--head spectrum"):
        start_from(recipe.network(), path, x)


def test_a_body_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    recipe = Recipe(kind="difference", patch_px=96)
    write_onnx(recipe.network().eval(), contract_of("model", recipe, "20x/0.75", 0.345), path)
    with pytest.raises(ValueError, match="--kind"):
        body_from(Recipe(kind="pair").network(), path)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    recipe = Recipe(kind="difference", patch_px=96)
    write_onnx(recipe.network().eval(), contract_of("model", recipe, "20x/0.75", 0.345), path)
    with pytest.raises(ValueError, match="--kind"):
        start_from(Recipe(kind="pair").network(), path, torch.zeros(1, 6, 96, 96))
