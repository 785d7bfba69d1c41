"""Rewritten graphs predict the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from parfocal.engines.cpu.openvino import import_openvino
from parfocal.engines.cpu.rewrites import narrow_input_once
from parfocal.engines.model.shipped import list_models
from tests.calib.quantise.nets import batches, beside_spectra, mobilenet_v2
from tools.engines.int8 import evaluate

BATCH = 4


def read(graph: onnx.ModelProto, n: int = BATCH) -> Any:  # noqa: ANN401 (OpenVINO's)
    """An OpenVINO model with a fixed batch."""
    model = import_openvino().Core().read_model(graph.SerializeToString())
    model.reshape([n, *(size.get_length() for size in list(model.inputs[0].partial_shape)[1:])])
    return model


def predicted_as_before(model: Any, graph: onnx.ModelProto) -> bool:  # noqa: ANN401 (OpenVINO's)
    """Whether the model predicts what ONNX Runtime does, also for values far beyond the usual range."""
    found = import_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    patches = 100.0 * batches(n=1)[0]
    return np.allclose(found(patches)[0], evaluate(graph, patches)["distance_um"], rtol=1e-4)


@pytest.mark.parametrize(("net", "readers"), [(beside_spectra, 2), (mobilenet_v2, 1)])
def test_input_of_several_layers_is_converted_once(net: Callable[[], onnx.ModelProto], readers: int) -> None:
    graph = net()
    model = read(graph)
    assert len(model.inputs[0].get_target_inputs()) == readers
    narrow_input_once(import_openvino(), model)
    (only,) = model.inputs[0].get_target_inputs()
    assert (only.get_node().get_type_name() == "Clamp") == (readers > 1)
    assert predicted_as_before(model, graph)


def test_it_applies_to_every_shipped_model_with_convolutions() -> None:
    graphs = [onnx.load(shipped.path) for shipped in list_models()]
    with_convolutions = [
        graph for graph in graphs if any(node.op_type == "Conv" for node in graph.graph.node)
    ]
    assert len(with_convolutions) == 3
    for graph in with_convolutions:
        model = read(graph, n=1)
        narrow_input_once(import_openvino(), model)
        assert "Clamp" in {r.get_node().get_type_name() for r in model.inputs[0].get_target_inputs()}
