"""The real parser and builder of TensorRT on every form: tensorrt-rtx builds without a GPU.

It is strongly typed, like TensorRT 11. These tests check parsing and types, not speed or accuracy.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parfocal.calib.quantise.forms import made_form
from parfocal.calib.quantise.half import in_half
from parfocal.calib.quantise.int8 import quantised
from parfocal.calib.quantise.onnx_graph import Graph
from parfocal.engines.errors import BuildFailed
from parfocal.engines.gpu.tensorrt_builder import Recipe, build_engine, form_of
from parfocal.engines.key import Int8Mode, Precision
from parfocal.engines.model.forms import form_content
from parfocal.engines.model.shipped import model_path
from tests.calib.quantise.nets import (
    batches,
    beside_spectra,
    binned_by_matmul,
    binned_by_sum,
    mobilenet_v2,
    mobilenet_v3,
)
from tools.engines.int8 import evaluate

RECIPE = Recipe(precision="fp32", int8_mode="none", batches=(4,))
MakeNet = Callable[[], onnx.ModelProto]


@pytest.fixture(scope="module")
def trt() -> ModuleType:
    if sys.platform != "linux":
        pytest.skip("tensorrt-rtx is tried on Linux only")
    pytest.importorskip("tensorrt_rtx_libs", reason="tensorrt-rtx not installed: `make engines-test`")
    module: ModuleType = pytest.importorskip("tensorrt_rtx_bindings")
    return module


@functools.cache
def int8_content(net: MakeNet) -> bytes:
    content: bytes = quantised(net(), batches(), evaluate).SerializeToString()
    return content


def form(net: MakeNet, name: str) -> onnx.ModelProto:
    model = onnx.load_from_string(int8_content(net)) if "int8" in name else net()
    return in_half(model) if "fp16" in name else model


@pytest.mark.parametrize("name", ["fp32", "int8_qdq", "fp16", "int8_qdq_fp16"])
@pytest.mark.parametrize("net", [mobilenet_v2, mobilenet_v3, beside_spectra, binned_by_matmul, binned_by_sum])
def test_every_form_of_each_net_is_built(trt: ModuleType, net: MakeNet, name: str) -> None:
    built = build_engine(trt, form(net, name).SerializeToString(), RECIPE)
    assert len(built.engine) > 1000


def test_several_static_profiles_are_built_into_one_engine(trt: ModuleType) -> None:
    recipe = Recipe(precision="fp16", int8_mode="none", batches=(7, 9))
    assert build_engine(trt, form(mobilenet_v3, "fp16").SerializeToString(), recipe).engine


def test_tensorrt_rtx_is_strongly_typed_like_tensorrt_11(trt: ModuleType) -> None:
    assert form_of(trt, "fp16", "none") == "fp16"
    assert form_of(trt, "int8", "explicit") == "int8_qdq_fp16"
    with pytest.raises(BuildFailed, match="no longer has a calibrator"):
        form_of(trt, "int8", "implicit")


# `difference-40x` has the graph of `difference-20x`.
@pytest.mark.parametrize(
    "path", [model_path("difference-20x"), model_path("single-20x")], ids=lambda path: path.stem
)
@pytest.mark.parametrize(
    ("precision", "mode"), [("fp32", "none"), ("fp16", "none"), ("int8", "explicit")], ids=lambda one: one
)
def test_every_precision_of_a_shipped_model_is_built(
    trt: ModuleType, path: Path, precision: Precision, mode: Int8Mode
) -> None:
    recipe = Recipe(precision=precision, int8_mode=mode, batches=(4,))
    content = form_content(path, form_of(trt, precision, mode), made_form)
    assert build_engine(trt, content, recipe).engine


def unsigned_zero_point(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and not node.attribute:
            node.input[2] = graph.add_constant("unsigned", np.array(128, np.uint8))


def quantised_bias(graph: Graph) -> None:
    """Quantise a bias as onnxruntime.quantization does: INT32 with a DequantizeLinear."""
    nodes = graph.nodes
    at = [i for i, node in enumerate(nodes) if node.op_type == "Conv"][1]
    bias = graph.constants[nodes[at].input[2]]
    scale = graph.add_constant("bias.scale", np.full(len(bias), 1e-4, np.float32))
    zero = graph.add_constant("bias.zero", np.zeros(len(bias), np.int32))
    whole = graph.add_constant("bias.q", np.rint(bias.astype(np.float32) / 1e-4).astype(np.int32))
    node = helper.make_node("DequantizeLinear", [whole, scale, zero], ["bias.dq"], axis=0)
    nodes[at].input[2] = "bias.dq"
    graph.set_nodes([*nodes[:at], node, *nodes[at:]])


@pytest.mark.parametrize("damage", [unsigned_zero_point, quantised_bias])
def test_parser_refuses_what_the_placement_check_refuses(
    trt: ModuleType, damage: Callable[[Graph], None]
) -> None:
    graph = Graph(form(mobilenet_v2, "int8_qdq"))
    damage(graph)
    with pytest.raises(BuildFailed, match=r"TensorRT 1\.\d") as refusal:
        build_engine(trt, graph.finished().SerializeToString(), RECIPE)
    assert "\n" not in str(refusal.value)


def mixed_types(model: onnx.ModelProto) -> None:
    """FP16 weights on a float32 activation, which strong typing must refuse."""
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), weights.name))
    assert weights.data_type == TensorProto.FLOAT16


@pytest.mark.parametrize("content", [b"", b"no model", mobilenet_v2().SerializeToString()[:-500]])
def test_corrupt_model_is_refused(trt: ModuleType, content: bytes) -> None:
    with pytest.raises(BuildFailed, match="ONNX parser of TensorRT|the ONNX file has no input"):
        build_engine(trt, content, RECIPE)


def test_mixed_types_are_refused(trt: ModuleType) -> None:
    model = mobilenet_v2()
    mixed_types(model)
    with pytest.raises(BuildFailed, match=r"TensorRT 1\.\d"):
        build_engine(trt, model.SerializeToString(), RECIPE)
