"""The FP16 form of a model, with float16 as types in the ONNX file: TensorRT 11 has no precision flags any more.

The body of the net, and the scales of its Q/DQ nodes, become float16. Input, output and head (from the pooling on, and
the branch beside the convolutions) stay float32. So predictions keep their resolution (float16 has steps of 0.008 um at
8 um), the powers of the spectra fit, and the runner needs no change.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from parfocal.calib.quantise.onnx_graph import Graph, head_of

# The first opset with QuantizeLinear and DequantizeLinear of float16. TensorRT 11 reads it; 8.6 never gets this form.
OPSET_WITH_HALF_SCALES = 19
SMALLEST_NORMAL_HALF = 6.2e-5
SCALE_SLOT = 1  # among the inputs of QuantizeLinear and DequantizeLinear


def in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of an FP32 model, with or without Q/DQ nodes, whose body is float16.

    Raises:
        ValueError: the graph has no head, or a constant exceeds the range of float16.
    """
    graph = Graph(model)
    _axes_as_inputs(graph)
    head = head_of(graph)
    model_input = graph.model.graph.input[0].name
    to_half = f"{model_input}.half"
    nodes = []
    if any(model_input in node.input and not head & set(node.output) for node in graph.nodes):
        nodes.append(helper.make_node("Cast", [model_input], [to_half], to_half, to=TensorProto.FLOAT16))
    crossing: set[str] = set()
    for node in graph.nodes:
        if head & set(node.output):
            for slot, name in enumerate(node.input):
                if not name or name in graph.constants or name in head or name == model_input:
                    continue
                to_float = f"{name}.float"
                if name not in crossing:
                    nodes.append(helper.make_node("Cast", [name], [to_float], to_float, to=TensorProto.FLOAT))
                    crossing.add(name)
                node.input[slot] = to_float
        else:
            _halve_constants(graph, node)
            for slot, name in enumerate(node.input):
                node.input[slot] = to_half if name == model_input else name
        nodes.append(node)
    graph.set_nodes(nodes)
    finished = graph.finished()
    if any(node.op_type == "QuantizeLinear" for node in nodes):
        finished.opset_import[0].version = OPSET_WITH_HALF_SCALES
        finished.ir_version = max(finished.ir_version, 9)  # the IR version of that opset
    del finished.graph.value_info[:]  # it lists types that have changed
    onnx.checker.check_model(finished, full_check=True)
    return finished


def _halve_constants(graph: Graph, node: onnx.NodeProto) -> None:
    for slot, name in enumerate(node.input):
        value = graph.constants.get(name)
        if value is None or value.dtype != np.float32:
            continue
        if slot == SCALE_SLOT and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            value = np.maximum(value, np.float32(SMALLEST_NORMAL_HALF))
        with np.errstate(over="ignore"):  # reported below, with the name of the tensor
            half = value.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"{name} contains {np.abs(value).max():g}, beyond the range of float16")
        node.input[slot] = graph.add_constant(f"{name}.half", half)


def _axes_as_inputs(graph: Graph) -> None:
    """Replace each mean over height and width by GlobalAveragePool and Flatten.

    From opset 18 on ReduceMean takes its axes as an input. The replacement is the same in every opset, and TensorRT has
    a layer of its own for it.
    """
    shapes = graph.shapes()
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type != "ReduceMean":
            nodes.append(node)
            continue
        settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        axes = sorted(axis % 4 for axis in settings.get("axes", []))
        if len(shapes.get(node.input[0], [])) != 4 or axes != [2, 3] or settings.get("keepdims", 1) != 0:
            raise ValueError(f"{node.name} is a ReduceMean, but not a mean over height and width")
        pooled = f"{node.output[0]}.pooled"
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled], pooled))
        nodes.append(helper.make_node("Flatten", [pooled], list(node.output), f"{pooled}.flat", axis=1))
    graph.set_nodes(nodes)
