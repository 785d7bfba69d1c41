"""Predicting with a TensorRT engine, on stand-ins for TensorRT and pycuda."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from parfocal.engines.errors import BuildFailed, EngineError, EngineStale, InputMismatch
from parfocal.engines.gpu.cuda_probe import CudaDevice
from parfocal.engines.gpu.open import open_memory
from parfocal.engines.gpu.tensorrt_builder import Recipe, build_engine
from parfocal.engines.gpu.tensorrt_runner import TensorRtRunner
from parfocal.engines.model.contract import Contract
from tests.engines.conftest import CARD, ORIN
from tests.engines.gpu.fake_cuda import FakeCuda
from tests.engines.gpu.fake_tensorrt import FakeTensorRt, kernel_um, patches


@pytest.mark.parametrize("device", [ORIN, CARD], ids=["zero-copy", "copies"])
def test_caller_owns_the_prediction_and_buffers_are_allocated_once(
    install: Callable[[str], FakeTensorRt], cuda: FakeCuda, contract: Contract, device: CudaDevice
) -> None:
    trt = install("10.3")
    recipe = Recipe(precision="fp16", int8_mode="none", batches=(7, 9))
    engine = build_engine(trt, b"onnx", recipe).engine
    runner = TensorRtRunner(trt, engine, contract, (7, 9), open_memory(zero_copy=device.is_integrated))
    n_buffers = len(cuda.device_memory)
    assert n_buffers == 4
    for n in (7, 9, 7):
        kept = runner.infer(patches(n))
        np.testing.assert_allclose(kept[:, 0], kernel_um(patches(n)), rtol=1e-5)
        runner.infer(np.zeros((n, 3, 32, 32), np.float32))
        np.testing.assert_allclose(kept[:, 0], kernel_um(patches(n)), rtol=1e-5)
    assert len(cuda.device_memory) == n_buffers
    copies = [call for call in cuda.log if call.startswith("memcpy")]
    assert (copies == []) == device.is_integrated
    with pytest.raises(InputMismatch, match="the batch has 4 patches, the engine takes 7 or 9"):
        runner.infer(patches(4))
    with pytest.raises(InputMismatch, match="the batch is float64"):
        runner.infer(patches(7).astype(np.float64))


def test_any_thread_may_predict_and_keeps_no_context(
    install: Callable[[str], FakeTensorRt], cuda: FakeCuda, contract: Contract
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp32", int8_mode="none", batches=(4,))).engine
    runner = TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=False))
    found: list[Any] = []

    def work() -> None:
        found.append(runner.infer(patches(4)))
        found.append(list(cuda.stack()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    np.testing.assert_allclose(found[0][:, 0], kernel_um(patches(4)), rtol=1e-5)
    assert found[1] == []
    assert cuda.stack() == []


def test_cuda_call_without_a_context_is_refused_by_the_fake(cuda: FakeCuda) -> None:
    with pytest.raises(cuda.Error, match="invalid device context"):
        open_memory(zero_copy=False).buffer((1,), np.float32)


def test_engine_of_another_device_is_stale(
    install: Callable[[str], FakeTensorRt], contract: Contract
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp16", int8_mode="none", batches=(4,))).engine
    trt.device = "Thor"
    with pytest.raises(
        EngineStale,
        match=r"TensorRT 10\.3\.0 refuses the engine of model small: the engine plan is of Orin, not of Thor\. Run",
    ):
        TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=True))


def test_engine_without_a_profile_for_the_batch_is_stale(
    install: Callable[[str], FakeTensorRt], contract: Contract
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp16", int8_mode="none", batches=(4,))).engine
    with pytest.raises(EngineStale, match="does not take batches of 5"):
        TensorRtRunner(trt, engine, contract, (5,), open_memory(zero_copy=True))


def test_engine_that_contradicts_its_contract_is_refused(
    install: Callable[[str], FakeTensorRt], contract: Contract
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp16", int8_mode="none", batches=(4,))).engine
    trt.output_name = "z"
    with pytest.raises(
        BuildFailed, match=r"difference \(INPUT FLOAT\), z \(OUTPUT FLOAT\), the contract promises"
    ):
        TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=True))


def test_device_out_of_memory_is_reported(
    install: Callable[[str], FakeTensorRt], cuda: FakeCuda, contract: Contract
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp16", int8_mode="none", batches=(4,))).engine
    cuda.free_bytes = 1000
    with pytest.raises(BuildFailed, match="CUDA device out of memory: cuMemAlloc failed"):
        TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=False))
    trt.no_context = True
    with pytest.raises(BuildFailed, match="the device has no memory for its context"):
        TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=True))
    assert cuda.stack() == []


def test_device_that_fails_later_is_an_engine_error(
    install: Callable[[str], FakeTensorRt],
    cuda: FakeCuda,
    contract: Contract,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", Recipe(precision="fp16", int8_mode="none", batches=(4,))).engine
    runner = TensorRtRunner(trt, engine, contract, (4,), open_memory(zero_copy=False))
    trt.can_enqueue = False
    with pytest.raises(EngineError, match="TensorRT did not accept it"):
        runner.infer(patches(4))
    trt.can_enqueue = True

    def failing(*_: object) -> None:
        raise cuda.Error("cuMemcpyDtoHAsync failed: an illegal memory access was encountered")

    monkeypatch.setattr(cuda, "memcpy_dtoh_async", failing)
    with pytest.raises(EngineError, match="CUDA call failed: cuMemcpyDtoHAsync failed"):
        runner.infer(patches(4))
    assert cuda.stack() == []
