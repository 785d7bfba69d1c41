"""Small ONNX files for the tests of engines, with a real contract."""

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from parfocal.engines import backends
from parfocal.engines.cpu.reference import OnnxRuntimeRunner
from parfocal.engines.gpu.cuda_probe import CudaDevice
from parfocal.engines.model.contract import METADATA_KEY, Contract, contract_from_onnx
from parfocal.engines.model.forms import int8_path, load_int8
from parfocal.engines.model.golden import batch_of, save_golden
from parfocal.engines.model.head import load_head
from parfocal.engines.predictor import Predictor
from tests.calib.quantise.nets import mobilenet_v3
from tests.contracts import difference_contract, single_contract
from tests.engines.gpu.fake_cuda import FakeCuda
from tests.engines.gpu.fake_tensorrt import FakeTensorRt
from tools.engines import int8

CONTRACT = difference_contract(patch_px=32)
SINGLE = single_contract(patch_px=64)
ORIN = CudaDevice(name="Orin", sm="8.7", driver="12.6", is_integrated=True, l4t="R36 (release)")
CARD = CudaDevice(name="RTX", sm="8.9", driver="12.6", is_integrated=False, l4t="")

MakeModel = Callable[..., Path]


def convolutional_net(batch: int | str, output_size: int) -> onnx.ModelProto:
    """Two strided convolutions, pooling and a linear head: the layers of a MobileNet, a few kB."""
    random = np.random.default_rng(2)
    weights = {
        "w1": random.normal(0.0, 0.3, (8, 3, 3, 3)),
        "w2": random.normal(0.0, 0.3, (16, 8, 3, 3)),
        "w3": random.normal(0.0, 3.0, (output_size, 16)),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["difference", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Clip", ["c1", "zero", "six"], ["r1"]),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c2"], ["r2"]),
            helper.make_node("GlobalAveragePool", ["r2"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w3"], ["distance_um"], transB=1),
        ],
        "small",
        [helper.make_tensor_value_info("difference", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("distance_um", TensorProto.FLOAT, [batch, output_size])],
        [
            *(numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()),
            numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
            numpy_helper.from_array(np.array(6.0, np.float32), "six"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def contract() -> Contract:
    """The contract of the models that `make_model` makes."""
    return CONTRACT


def written_model(
    folder: Path,
    contract: Contract = CONTRACT,
    batch: int | str = "n",
    output_size: int = 1,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a model with the given metadata and batch size."""
    model = convolutional_net(batch, output_size)
    text = msgspec.json.encode(contract).decode()
    helper.set_model_props(model, {METADATA_KEY: text} if metadata is None else metadata)
    path = folder / f"{contract.name}.onnx"
    onnx.save(model, path)
    return path


def written_single(folder: Path) -> Path:
    """Write a model of single shots with the layers of a MobileNetV3."""
    model = mobilenet_v3(SINGLE.patch_px, SINGLE.input_name)
    helper.set_model_props(model, {METADATA_KEY: msgspec.json.encode(SINGLE).decode()})
    path = folder / f"{SINGLE.name}.onnx"
    onnx.save(model, path)
    return path


def written_scales(path: Path, patches: NDArray[np.int8] | NDArray[np.uint8] | None = None) -> None:
    """Write golden patches and INT8 scales of a model, as `tools.export` does. Half of `patches` is for calibration."""
    random = np.random.default_rng(3)
    if patches is None:
        patches = random.integers(-40, 41, (12, 3, 32, 32)).astype(np.int8)
    n = len(patches) // 2
    contract = contract_from_onnx(path)
    reference = Predictor(OnnxRuntimeRunner(path, n_threads=1), load_head(path, contract))
    reference_um = reference.predict(batch_of(patches[:n], contract)).distance_um
    distance_um = (reference_um + random.normal(0.0, 0.3, n)).clip(-5, 5).astype(np.float32)
    save_golden(path, patches[:n], distance_um, reference_um, patches[n:])
    int8.measure(path)


def written_golden(
    path: Path, distance_um: NDArray[np.float32], reference_um: NDArray[np.float32], seed: int = 3
) -> None:
    """Write six golden patches of noise with the given true and reference distances, and six for calibration.

    If the model has INT8 scales already, they are updated to the new golden patches.
    """
    patches = np.random.default_rng(seed).integers(-40, 41, (12, 3, 32, 32)).astype(np.int8)
    has_scales = int8_path(path).exists()
    save_golden(path, patches[:6], distance_um, reference_um, patches[6:])
    if has_scales:
        int8.save(path, load_int8(path).ranges)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a model with the given metadata and batch size."""
    return functools.partial(written_model, tmp_path)


@pytest.fixture(scope="session")
def equipped_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its golden patches and its INT8 scales. Copy it; do not change it."""
    folder = tmp_path_factory.mktemp("equipped")
    written_scales(written_model(folder))
    return folder


@pytest.fixture
def equipped(equipped_once: Path, tmp_path: Path) -> Path:
    """Path of a model with its golden patches and its INT8 scales."""
    shutil.copytree(equipped_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / f"{CONTRACT.name}.onnx"


@pytest.fixture(scope="session")
def single_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of single shots, its golden patches and its INT8 scales. Copy it; do not change it."""
    folder = tmp_path_factory.mktemp("single")
    random = np.random.default_rng(4)
    stained = random.integers(60, 256, (18, 3, 1, 1)) - random.integers(0, 60, (18, 3, 40, 48))
    written_scales(written_single(folder), stained.astype(np.uint8))
    return folder


@pytest.fixture
def single(single_once: Path, tmp_path: Path) -> Path:
    """Path of a model of single shots with its golden patches and its INT8 scales."""
    shutil.copytree(single_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / f"{SINGLE.name}.onnx"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A stand-in for pycuda, installed."""
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "pycuda", fake)
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    return fake


@pytest.fixture
def install(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FakeTensorRt]:
    """Install a stand-in for TensorRT of a generation, on an Orin."""

    def install(generation: str) -> FakeTensorRt:
        trt = FakeTensorRt(generation, cuda)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        monkeypatch.setattr(backends, "probe", lambda: ORIN)
        return trt

    return install
