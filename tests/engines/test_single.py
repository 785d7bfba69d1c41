"""A model of single shots: golden patches, forms, engines and predictions."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.quantise.forms import made_form
from parfocal.edge.focus.picture import prepare
from parfocal.engines.backends import BATCHES, OpenVinoMaker, TensorRtMaker
from parfocal.engines.cache import EngineCache
from parfocal.engines.cpu.openvino import cpu_and_precisions
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.model.contract import contract_from_onnx
from parfocal.engines.model.forms import MADE_FORMS, form_content
from parfocal.engines.model.golden import batch_of, golden_path, load_golden, save_golden
from parfocal.engines.model.shipped import Model, list_models
from parfocal.engines.opening import open_chosen
from tests.contracts import difference_contract
from tests.engines.building import build_all
from tests.engines.conftest import SINGLE, written_single
from tests.engines.gpu.fake_tensorrt import FakeTensorRt, kernel_um

SIDE_PX = SINGLE.patch_px


@pytest.fixture
def model(single: Path) -> Model:
    return list_models(single.parent)[0]


def shots(n: int) -> NDArray[np.float32]:
    return np.random.default_rng(n).uniform(-1.0, 1.0, (n, 3, SIDE_PX, SIDE_PX)).astype(np.float32)


def test_golden_shots_are_loaded_as_the_model_takes_them(tmp_path: Path) -> None:
    path = written_single(tmp_path)
    shots = np.random.default_rng(4).integers(0, 256, (2, 3, SIDE_PX, SIDE_PX)).astype(np.uint8)
    nothing_um = np.zeros(2, np.float32)
    save_golden(path, shots, nothing_um, nothing_um, shots[:1])
    np.testing.assert_array_equal(load_golden(path).batch, prepare.standardised(shots.astype(np.float32)))


def test_golden_pairs_store_the_second_shot_as_int8() -> None:
    contract = difference_contract(kind="pair", patch_px=SIDE_PX)
    pairs = np.random.default_rng(5).integers(-128, 128, (2, 6, SIDE_PX, SIDE_PX)).astype(np.int8)
    as_fed = pairs.astype(np.float32) + np.array([0.0] * 3 + [128.0] * 3, np.float32)[:, None, None]
    np.testing.assert_allclose(batch_of(pairs, contract), prepare.standardised(as_fed), atol=1e-4)


def test_cropped_shot_is_extended_by_its_mirror_image(tmp_path: Path) -> None:
    path = written_single(tmp_path)
    part = np.random.default_rng(1).integers(0, 256, (1, 3, SIDE_PX // 2, SIDE_PX // 3)).astype(np.uint8)
    nothing_um = np.zeros(1, np.float32)
    save_golden(path, part, nothing_um, nothing_um, part)
    (whole,) = load_golden(path).batch
    height_px, width_px = part.shape[2:]
    assert whole.shape == (3, SIDE_PX, SIDE_PX)
    np.testing.assert_array_equal(whole[:, height_px:], whole[:, :height_px][:, ::-1])
    np.testing.assert_array_equal(whole[:, :, width_px : 2 * width_px], whole[:, :, :width_px][:, :, ::-1])
    assert golden_path(path).stat().st_size < whole.nbytes / 4


@pytest.mark.parametrize(
    ("patches", "said"),
    [
        (np.zeros((2, 3, 32, 32), np.int8), "shot is int8 .*must be uint8"),
        (np.zeros((2, 32, 32, 3), np.uint8), r"shot is uint8 \(2, 32, 32, 3\), must be"),
        (np.zeros((2, 3, 32, SIDE_PX + 1), np.uint8), f"at most {SIDE_PX} px"),
    ],
)
def test_golden_shots_of_the_wrong_type_raise_value_error(
    tmp_path: Path, patches: NDArray[np.uint8], said: str
) -> None:
    nothing_um = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=said):
        save_golden(written_single(tmp_path), patches, nothing_um, nothing_um, patches)


def test_every_form_is_made_and_has_the_contract(single: Path, tmp_path: Path) -> None:
    for form in MADE_FORMS:
        path = tmp_path / f"{form}.onnx"
        path.write_bytes(form_content(single, form, made_form))
        assert contract_from_onnx(path) == SINGLE


@pytest.mark.parametrize("n_threads", [1, 2])
def test_every_precision_is_built_and_one_is_chosen(model: Model, tmp_path: Path, n_threads: int) -> None:
    cache = EngineCache(tmp_path / "engines")
    outcomes = build_all([model], OpenVinoMaker(n_threads), cache)
    assert tuple(outcome.row.precision for outcome in outcomes) == cpu_and_precisions()[1]
    assert [outcome.row.failed for outcome in outcomes] == [""] * len(outcomes)
    assert {outcome.row.batch for outcome in outcomes} == {7}
    assert sum(outcome.chosen for outcome in outcomes) == 1
    build_all([model], OpenVinoMaker(n_threads), cache, precision="fp32")
    runner, reference = (
        open_chosen(model.path, cache).predictor.runner,
        OnnxRuntimeRunner(model.path, n_threads=1),
    )
    for n in BATCHES["single"]:
        np.testing.assert_allclose(runner.infer(shots(n)), reference.infer(shots(n)), atol=1e-3)


def test_int8_is_accurate_or_refused_with_the_figures(model: Model, tmp_path: Path) -> None:
    outcomes = build_all([model], OpenVinoMaker(1), EngineCache(tmp_path / "engines"), precision="int8")
    row = outcomes[0].row
    assert row.deviation is not None
    assert row.deviation.max_um < 0.5 or "um off within" in row.refused


@pytest.mark.parametrize("generation", ["10.3", "11.4"])
def test_tensorrt_gets_a_profile_for_each_batch_size(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path, generation: str
) -> None:
    trt = install(generation)
    trt.input_name, trt.patch_px = SINGLE.input_name, SIDE_PX
    cache = EngineCache(tmp_path / "engines")
    outcomes = build_all([model], TensorRtMaker(), cache, precision="fp16")
    assert [outcome.row.failed for outcome in outcomes] == [""]
    assert trt.profiles == [(n, 3, SIDE_PX, SIDE_PX) for n in (7, 9, 1)]
    runner = open_chosen(model.path, cache).predictor.runner
    for n in BATCHES["single"]:
        np.testing.assert_allclose(runner.infer(shots(n))[:, 0], kernel_um(shots(n)), rtol=1e-4, atol=1e-5)


def test_implicit_int8_is_calibrated_on_the_usual_batch(
    install: Callable[[str], FakeTensorRt], model: Model, tmp_path: Path
) -> None:
    trt = install("10.3")
    trt.input_name, trt.patch_px = SINGLE.input_name, SIDE_PX
    cache = EngineCache(tmp_path / "engines")
    build_all([model], TensorRtMaker(), cache, precision="int8", int8_mode="implicit")
    assert trt.calibrated == [[7 * 3 * SIDE_PX * SIDE_PX]]
