"""CUDA through cuda-bindings, without pycuda. The fakes of both match the real modules."""

import ast
import functools
import gc
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from parfocal.engines.errors import BuildFailed, EngineError
from parfocal.engines.gpu import cuda_memory
from parfocal.engines.gpu.cuda_memory import CudaMemory
from parfocal.engines.gpu.open import open_memory
from parfocal.engines.gpu.tensorrt_builder import Recipe, build_engine
from parfocal.engines.gpu.tensorrt_runner import TensorRtRunner
from tests.contracts import difference_contract
from tests.engines.gpu.fake_cuda import FakeCuda
from tests.engines.gpu.fake_cuda_bindings import FakeBindings, Result
from tests.engines.gpu.fake_tensorrt import FakeTensorRt, kernel_um, patches

BACKEND = "parfocal.engines.gpu.cuda_bindings"
CONTRACT = difference_contract(patch_px=32)
RECIPE = Recipe(precision="fp16", int8_mode="none", batches=(4,))

each_way = pytest.mark.parametrize("zero_copy", [True, False], ids=["zero-copy", "copies"])


@pytest.fixture
def bindings(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBindings]:
    """cuda-bindings on the fake's memory, and no pycuda."""
    fake = FakeBindings(cuda)
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("cuda", "cuda.bindings", "cuda.bindings.driver"):
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.delitem(sys.modules, BACKEND, raising=False)
    yield fake
    gc.collect()  # free the buffers before the fake is removed
    sys.modules.pop(BACKEND, None)


@each_way
def test_engine_predicts_and_frees_its_memory(
    bindings: FakeBindings, install: Callable[[str], FakeTensorRt], zero_copy: bool
) -> None:
    trt = install("10.3")
    memory = open_memory(zero_copy=zero_copy)
    runner = TensorRtRunner(trt, build_engine(trt, b"onnx", RECIPE).engine, CONTRACT, (4,), memory)
    n_there = len(bindings.host)
    for _ in range(3):
        np.testing.assert_allclose(runner.infer(patches())[:, 0], kernel_um(patches()), rtol=1e-5)
    assert len(bindings.host) == n_there == 2
    assert any("Memcpy" in call for call in bindings.fake.log) != zero_copy
    del runner
    gc.collect()
    assert bindings.host == {}
    assert zero_copy or bindings.fake.device_memory == {}
    assert bindings.graphs == {}
    assert bindings.fake.stack() == []


@each_way
def test_prediction_is_one_launch_of_a_graph(
    bindings: FakeBindings, install: Callable[[str], FakeTensorRt], zero_copy: bool
) -> None:
    trt = install("11.4")
    recipe = Recipe(precision="fp16", int8_mode="none", batches=(7, 9))
    engine = build_engine(trt, b"onnx", recipe).engine
    runner = TensorRtRunner(trt, engine, CONTRACT, (7, 9), open_memory(zero_copy=zero_copy))
    bindings.fake.log.clear()
    for n in (7, 9, 7):
        np.testing.assert_allclose(runner.infer(patches(n) + n)[:, 0], kernel_um(patches(n) + n), rtol=1e-5)
    assert bindings.fake.log == ["cuGraphLaunch", "cuStreamSynchronize"] * 3


def test_work_that_cannot_be_captured_is_an_engine_error(
    bindings: FakeBindings, install: Callable[[str], FakeTensorRt], monkeypatch: pytest.MonkeyPatch
) -> None:
    trt = install("10.3")
    engine = build_engine(trt, b"onnx", RECIPE).engine
    refused = Result.CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
    monkeypatch.setattr(bindings, "cuStreamEndCapture", lambda _: (refused, None))
    with pytest.raises(EngineError, match="CUDA call failed: cuStreamEndCapture failed: .*invalidated"):
        TensorRtRunner(trt, engine, CONTRACT, (4,), open_memory(zero_copy=True))
    assert bindings.fake.stack() == []


def test_out_of_memory_is_reported(bindings: FakeBindings) -> None:
    memory = open_memory(zero_copy=False)
    bindings.fake.free_bytes = 100
    with pytest.raises(BuildFailed, match="out of memory: cuMemAlloc failed: .*Close"), memory.current():
        memory.buffer((100,), np.float32)
    assert bindings.fake.stack() == []


def test_failed_call_is_an_engine_error(bindings: FakeBindings) -> None:
    memory = open_memory(zero_copy=False)
    with pytest.raises(EngineError, match="CUDA call failed: cuMemHostAlloc failed: .*invalid context"):
        memory.buffer((1,), np.float32)
    assert bindings.fake.stack() == []


def test_device_that_cannot_be_opened_is_a_failed_build(
    bindings: FakeBindings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "cuDevicePrimaryCtxRetain", lambda _: (Result(201), None))
    with pytest.raises(BuildFailed, match="use of the CUDA device failed: .*cuDevicePrimaryCtxRetain failed"):
        open_memory(zero_copy=False)


def test_pycuda_is_preferred(bindings: FakeBindings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_memory(zero_copy=False)).__name__ == "BindingsMemory"
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, bindings.fake)
    assert type(open_memory(zero_copy=False)) is CudaMemory


def offered_by_pycuda() -> dict[str, list[str]]:
    """Return the parameters of each function in pycuda.txt."""
    lines = (Path(__file__).parent / "pycuda.txt").read_text().splitlines()
    entries = [line.rstrip(")").partition("(") for line in lines if not line.startswith("#")]
    return {name: [p for p in parameters.split(", ") if p] for name, _, parameters in entries}


def called_on_pycuda() -> set[str]:
    """Return the attributes of pycuda.driver that the product uses, also nested ones."""
    nodes = ast.walk(ast.parse(Path(cuda_memory.__file__).read_text()))
    read = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return {text.removeprefix("self._cuda.") for text in read if re.fullmatch(r"self\._cuda\.[\w.]+", text)}


def called_on_cuda_bindings() -> set[str]:
    """Return the functions of the driver that the product calls."""
    source = (Path(cuda_memory.__file__).parent / "cuda_bindings.py").read_text()
    return set(re.findall(r"\bcu[A-Z]\w+", source))


def test_only_functions_of_pycuda_are_called() -> None:
    assert len(called_on_pycuda()) >= 10
    assert called_on_pycuda() <= set(offered_by_pycuda())


@pytest.mark.parametrize(("name", "parameters"), offered_by_pycuda().items())
def test_fake_pycuda_matches_the_real_one(cuda: FakeCuda, name: str, parameters: list[str]) -> None:
    if name == "Stream.handle":  # an attribute of instances
        return
    thing = functools.reduce(getattr, name.split("."), cast("Any", cuda))
    if parameters:
        assert [p for p in inspect.signature(thing).parameters if p != "self"] == parameters


def test_only_functions_of_the_fake_cuda_bindings_are_called() -> None:
    assert called_on_cuda_bindings() == {name for name in dir(FakeBindings) if name.startswith("cu")}


def test_fake_cuda_bindings_match_the_real_ones() -> None:
    driver = pytest.importorskip(
        "cuda.bindings.driver", reason="cuda-bindings not installed: `make engines-test`"
    )
    fake = FakeBindings(FakeCuda())
    n_checked = 0
    for name in called_on_cuda_bindings():
        given = list(inspect.signature(getattr(fake, name)).parameters)
        assert list(inspect.signature(getattr(driver, name)).parameters) == given, name
        n_checked += 1
    assert n_checked >= 20
    assert {result.name: int(result) for result in Result} == {
        result.name: int(getattr(driver.CUresult, result.name)) for result in Result
    }
    mode = "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"
    assert int(getattr(driver.CUstreamCaptureMode, mode)) == fake.CUstreamCaptureMode[mode]
    assert fake.CU_MEMHOSTALLOC_DEVICEMAP == driver.CU_MEMHOSTALLOC_DEVICEMAP
