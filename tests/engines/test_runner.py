"""All runners: the same checks, the same predictions."""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.errors import BuildFailed, InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.shipped import Model, list_models
from parfocal.engines.runner import Runner

PARITY_UM = 1e-3

MakeModel = Callable[..., Path]
RunnerFromFile = Callable[..., Runner]

each_runner = pytest.mark.parametrize("runner_from_file", [OpenVinoRunner, OnnxRuntimeRunner])


def standardised_batch(n: int, patch_px: int, seed: int = 1, channels: int = 3) -> NDArray[np.float32]:
    """Return patches as prepared: each channel of each patch with mean 0 and deviation 1."""
    batch = np.random.default_rng(seed).normal(size=(n, channels, patch_px, patch_px))
    batch -= batch.mean(axis=(2, 3), keepdims=True)
    batch /= batch.std(axis=(2, 3), keepdims=True)
    return batch.astype(np.float32)


@each_runner
@pytest.mark.parametrize(("batch", "sizes"), [("n", (4, 1, 7, 4)), (4, (4, 4))])
def test_each_patch_is_predicted_independently(
    make_model: MakeModel, runner_from_file: RunnerFromFile, batch: int | str, sizes: tuple[int, ...]
) -> None:
    runner = runner_from_file(make_model(batch=batch), n_threads=1)
    patches = standardised_batch(7, 32)
    alone = np.concatenate([runner.infer(np.repeat(patch[None], sizes[0], axis=0))[:1] for patch in patches])
    assert np.ptp(alone) > 0.1
    for n in sizes:
        distance_um = runner.infer(patches[:n])
        assert distance_um.dtype == np.float32
        np.testing.assert_allclose(distance_um, alone[:n], atol=1e-5)


@each_runner
def test_prediction_is_not_overwritten_by_the_next_one(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    runner = runner_from_file(make_model(), n_threads=1)
    batch = standardised_batch(4, 32)
    kept = runner.infer(batch)
    as_it_was = kept.copy()
    runner.infer(standardised_batch(4, 32, seed=9))
    batch[:] = 0.0
    np.testing.assert_array_equal(kept, as_it_was)
    kept[:] = 0.0  # the caller owns it
    assert not np.array_equal(runner.infer(standardised_batch(4, 32)), kept)


@each_runner
def test_memory_order_of_the_batch_does_not_matter(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    runner = runner_from_file(make_model(), n_threads=1)
    batch = standardised_batch(4, 32)
    channels_last = np.ascontiguousarray(batch.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(runner.infer(channels_last), runner.infer(batch), atol=1e-6)
    np.testing.assert_allclose(runner.infer(batch[::2]), runner.infer(batch)[::2], atol=1e-6)


@each_runner
@pytest.mark.parametrize(
    ("shape", "dtype", "n_fixed", "given", "taken"),
    [
        ((4, 3, 32, 32), np.float64, "n", "float64 (4, 3, 32, 32)", "float32 (n, 3, 32, 32)"),
        ((4, 3, 32, 32), np.uint8, "n", "uint8 (4, 3, 32, 32)", "float32 (n, 3, 32, 32)"),
        ((4, 32, 32, 3), np.float32, "n", "float32 (4, 32, 32, 3)", "float32 (n, 3, 32, 32)"),
        ((4, 3, 32, 31), np.float32, "n", "float32 (4, 3, 32, 31)", "float32 (n, 3, 32, 32)"),
        ((3, 32, 32), np.float32, "n", "float32 (3, 32, 32)", "float32 (n, 3, 32, 32)"),
        ((), np.float32, "n", "float32 ()", "float32 (n, 3, 32, 32)"),
        ((0, 3, 32, 32), np.float32, "n", "float32 (0, 3, 32, 32)", "float32 (n, 3, 32, 32)"),
        ((3, 3, 32, 32), np.float32, 4, "float32 (3, 3, 32, 32)", "float32 (4, 3, 32, 32)"),
    ],
)
def test_batch_that_does_not_fit_is_refused(
    make_model: MakeModel,
    runner_from_file: RunnerFromFile,
    shape: tuple[int, ...],
    dtype: type[np.generic],
    n_fixed: int | str,
    given: str,
    taken: str,
) -> None:
    runner = runner_from_file(make_model(batch=n_fixed), n_threads=1)
    with pytest.raises(InputMismatch) as refusal:
        runner.infer(np.zeros(shape, dtype))
    assert f"the batch is {given}, the model takes {taken}" in str(refusal.value)


@each_runner
def test_graph_with_two_values_per_patch_is_refused(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    runner = runner_from_file(make_model(output_size=2), n_threads=1)
    with pytest.raises(InputMismatch, match=r"4 patches gave an output \(4, 2\), not one distance for each"):
        runner.infer(standardised_batch(4, 32))


@each_runner
@pytest.mark.parametrize("change", [{"input_name": "image"}, {"output_name": "z"}, {"patch_px": 224}])
def test_graph_that_contradicts_its_contract_is_refused(
    make_model: MakeModel, contract: Contract, runner_from_file: RunnerFromFile, change: dict[str, str | int]
) -> None:
    path = make_model(contract=msgspec.structs.replace(contract, **change))
    with pytest.raises(
        BuildFailed, match=r"its graph has difference \(n, 3, 32, 32\) -> distance_um\. Export"
    ):
        runner_from_file(path, n_threads=1)


@each_runner
def test_graph_with_a_second_input_is_refused(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    path = make_model()
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("exposure_us", TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    with pytest.raises(BuildFailed, match=r"its graph has .*exposure_us \(1\)"):
        runner_from_file(path, n_threads=1)


@each_runner
def test_graph_with_an_unknown_operator_is_refused_in_one_line(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    path = make_model()
    model = onnx.load(path)
    model.graph.node[0].op_type = "Konv"
    onnx.save(model, path)
    with pytest.raises(
        BuildFailed, match=r"small\.onnx failed: (OpenVINO|ONNX Runtime) says: .*Konv"
    ) as refusal:
        runner_from_file(path, n_threads=1)
    assert "\n" not in str(refusal.value)


@each_runner
def test_model_cut_off_is_refused(make_model: MakeModel, runner_from_file: RunnerFromFile) -> None:
    path = make_model()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BuildFailed, match="ends .* bytes too early"):
        runner_from_file(path, n_threads=1)


@each_runner
def test_negative_thread_count_raises_value_error(
    make_model: MakeModel, runner_from_file: RunnerFromFile
) -> None:
    with pytest.raises(ValueError, match="n_threads is -1"):
        runner_from_file(make_model(), n_threads=-1)


@pytest.mark.parametrize("n_threads", [0, 1, 2])
def test_openvino_predicts_what_onnx_runtime_predicts(make_model: MakeModel, n_threads: int) -> None:
    path = make_model()
    batch = standardised_batch(4, 32)
    found_um = OpenVinoRunner(path, n_threads=n_threads).infer(batch)
    np.testing.assert_allclose(found_um, OnnxRuntimeRunner(path, n_threads=1).infer(batch), atol=PARITY_UM)


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.contract.name)
def test_shipped_model_predicts_the_same_on_both(model: Model) -> None:
    batch = standardised_batch(4, model.contract.patch_px, channels=model.contract.channels)
    found_um = OpenVinoRunner(model.path, n_threads=1).infer(batch)
    reference_um = OnnxRuntimeRunner(model.path, n_threads=1).infer(batch)
    np.testing.assert_allclose(found_um, reference_um, atol=PARITY_UM)


@pytest.mark.parametrize("vendor", ["openvino", "onnxruntime"])
def test_missing_runtime_is_named(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, vendor: str
) -> None:
    monkeypatch.setitem(sys.modules, vendor, None)
    runner_from_file = {"openvino": OpenVinoRunner, "onnxruntime": OnnxRuntimeRunner}[vendor]
    with pytest.raises(BuildFailed, match=r"cannot be imported .* Run `make setup`\."):
        runner_from_file(make_model(), n_threads=1)
