"""A model in two parts, engine and head, predicts like the whole; and which condensers it takes."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.config import config_from_toml
from parfocal.edge.engine import check_model
from parfocal.engines.backends import OpenVinoMaker, TensorRtMaker
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.errors import BuildFailed, InputMismatch
from parfocal.engines.gpu.tensorrt_runner import TensorRtRunner
from parfocal.engines.model.contract import CondenserTerms, HeadTerms, contract_from_onnx
from parfocal.engines.model.golden import load_golden
from parfocal.engines.model.head import load_head, save_head
from parfocal.engines.model.shipped import list_models
from parfocal.engines.opening import open_chosen
from parfocal.engines.predictor import Predictor
from parfocal.engines.runner import Runner
from tests.contracts import difference_contract
from tests.engines.building import build_all
from tests.engines.conftest import CONTRACT, written_model, written_scales
from tests.engines.gpu.fake_tensorrt import FakeTensorRt, kernel_um, patches
from tests.engines.test_runner import standardised_batch
from tests.heads import made_head

F = 16
CONDENSER = CondenserTerms(default=0.6, least=0.25, most=0.95)


@pytest.fixture(scope="session")
def two_parts_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model whose head takes the condenser and tells uncertainty and strangeness."""
    folder = tmp_path_factory.mktemp("parts")
    path = folder / "small.onnx"
    head = made_head(F, takes_condenser=True, tells_sigma=True, tells_strangeness=True)
    terms = HeadTerms(sha256=save_head(path, head), features=F, condenser=CONDENSER)
    contract = msgspec.structs.replace(CONTRACT, head=terms)
    written_scales(written_model(folder, contract, output_size=F))
    return path


@pytest.mark.parametrize("runner_from_file", [OpenVinoRunner, OnnxRuntimeRunner])
def test_engine_computes_features_and_the_head_reads_them(
    two_parts_once: Path, runner_from_file: type[OpenVinoRunner]
) -> None:
    contract = contract_from_onnx(two_parts_once)
    runner: Runner = runner_from_file(two_parts_once, n_threads=1)
    head = load_head(two_parts_once, contract)
    assert head is not None
    batch = standardised_batch(4, 32)
    features = runner.infer(batch)
    assert features.shape == (4, F)
    found = Predictor(runner, head, 0.4).predict(batch)
    np.testing.assert_array_equal(found.distance_um, head.predict(features, 0.4).distance_um)
    assert found.sigma_um is not None
    assert found.strangeness is not None
    assert found.sigma_um.shape == found.strangeness.shape == (4,)


def test_model_without_a_head_predicts_distances_only(equipped: Path) -> None:
    runner = OpenVinoRunner(equipped, n_threads=1)
    batch = standardised_batch(4, 32)
    found = Predictor(runner).predict(batch)
    np.testing.assert_allclose(found.distance_um, runner.infer(batch)[:, 0])
    assert (found.sigma_um, found.strangeness) == (None, None)


def test_engines_are_judged_by_the_distances_after_the_head(two_parts_once: Path, tmp_path: Path) -> None:
    (model,) = list_models(two_parts_once.parent)
    cache = EngineCache(tmp_path)
    outcomes = build_all([model], OpenVinoMaker(1), cache)
    (fp32,) = [outcome.row for outcome in outcomes if outcome.row.precision == "fp32"]
    assert fp32.passed
    assert fp32.deviation is not None
    assert fp32.deviation.mean_um < 1e-3
    golden = load_golden(model.path)
    opened = open_chosen(model.path, cache)
    assert opened.predictor.condenser == 0.6
    found = opened.predictor.predict(golden.batch[:4])
    assert np.abs(found.distance_um - golden.reference_um[:4]).max() < 0.5
    other = open_chosen(model.path, cache, condenser=0.3).predictor.predict(golden.batch[:4])
    assert np.abs(found.distance_um - other.distance_um).max() > 0.01


def test_engine_without_its_head_is_refused(two_parts_once: Path, tmp_path: Path) -> None:
    alone = tmp_path / two_parts_once.name
    alone.write_bytes(two_parts_once.read_bytes())
    with pytest.raises(BuildFailed, match=r"read the head of model small failed"):
        open_chosen(alone, EngineCache(tmp_path / "engines"))


def test_graph_with_another_number_of_features_is_refused(two_parts_once: Path, tmp_path: Path) -> None:
    contract = contract_from_onnx(two_parts_once)
    assert contract.head is not None
    fewer = msgspec.structs.replace(contract, head=msgspec.structs.replace(contract.head, features=F - 1))
    runner = OpenVinoRunner(written_model(tmp_path, fewer, output_size=F), n_threads=1)
    with pytest.raises(InputMismatch, match=r"4 patches gave an output \(4, 16\), not 15 features for each"):
        runner.infer(standardised_batch(4, 32))


@pytest.mark.parametrize("given", [0.2, 0.96, float("nan")])
def test_condenser_outside_of_the_training_is_refused(two_parts_once: Path, given: float) -> None:
    contract = contract_from_onnx(two_parts_once)
    runner = OpenVinoRunner(two_parts_once, n_threads=1)
    with pytest.raises(
        InputMismatch, match=r"trained for condensers of 0\.25 to 0\.95 .*focus\.condenser is"
    ):
        Predictor(runner, load_head(two_parts_once, contract), given)


def test_condenser_is_refused_by_a_model_that_does_not_take_it(equipped: Path) -> None:
    with pytest.raises(
        InputMismatch, match="does not take the condenser as an input, and focus.condenser is 0.6"
    ):
        Predictor(OpenVinoRunner(equipped, n_threads=1), None, 0.6)


def test_configured_condenser_is_checked_before_an_engine_is_opened() -> None:
    terms = HeadTerms(sha256=64 * "0", features=F, condenser=CONDENSER)
    contract = difference_contract(head=terms)
    check_model(contract, config_from_toml("[focus]\ncondenser = 0.3", "t"))
    check_model(contract, config_from_toml("", "t"))
    with pytest.raises(InputMismatch, match=r"0\.25 to 0\.95"):
        check_model(contract, config_from_toml("[focus]\ncondenser = 1.0", "t"))


def test_features_come_out_of_a_tensorrt_engine(
    install: Callable[[str], FakeTensorRt], two_parts_once: Path, tmp_path: Path
) -> None:
    trt = install("10.3")
    trt.n_outputs = F
    (model,) = list_models(two_parts_once.parent)
    cache = EngineCache(tmp_path)
    build_all([model], TensorRtMaker(), cache, precision="fp32")
    predictor = open_chosen(model.path, cache).predictor
    assert isinstance(predictor.runner, TensorRtRunner)
    features = predictor.runner.infer(patches(4))
    assert features.shape == (4, F)
    np.testing.assert_allclose(features, kernel_um(patches(4), F), rtol=1e-5)
    assert predictor.head is not None
    expected = predictor.head.predict(features, 0.6).distance_um
    np.testing.assert_allclose(predictor.predict(patches(4)).distance_um, expected)


def test_tensorrt_engine_with_another_number_of_features_is_refused(
    install: Callable[[str], FakeTensorRt], two_parts_once: Path, tmp_path: Path
) -> None:
    trt = install("10.3")
    trt.n_outputs = F - 1
    (model,) = list_models(two_parts_once.parent)
    (fp32,) = build_all([model], TensorRtMaker(), EngineCache(tmp_path), precision="fp32")
    assert "not 16 features for each" in fp32.row.failed
