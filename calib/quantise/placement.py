"""Check the Q/DQ nodes of an ONNX file: what TensorRT refuses, or builds into a slow or inaccurate engine."""

import numpy as np
import onnx

from parfocal.calib.quantise.onnx_graph import Graph, head_of

ACTIVATIONS = ("Relu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "LeakyRelu")
# Layers of a MobileNetV3 that must stay in float: its activation, and the gate of squeeze and excitation.
FLOAT_ONLY = ("HardSwish", "HardSigmoid", "Sigmoid", "GlobalAveragePool", "Mul")


def placement_faults(model: onnx.ModelProto, max_opset: int) -> list[str]:
    """Return the faults in the quantisation of a model, one line each; empty if there are none."""
    graph = Graph(model)
    made_by = graph.producers()
    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    faults = [] if opset <= max_opset else [f"the opset is {opset}, the parser reads up to {max_opset}"]
    head = head_of(graph)
    consumers = graph.consumers()
    for node in graph.nodes:
        from_dq = [name in made_by and made_by[name].op_type == "DequantizeLinear" for name in node.input]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            faults += _scale_faults(graph, node)
        if node.op_type == "QuantizeLinear" and node.input[0] in made_by:
            readers = {
                reader.op_type
                for dequantise in consumers[node.output[0]]
                for reader in consumers[dequantise.output[0]]
            }
            if made_by[node.input[0]].op_type == "Conv" and readers & set(ACTIVATIONS):
                faults.append(f"{node.input[0]} is quantised between a Conv and its activation")
        if head & set(node.output) and any(from_dq):
            faults.append(f"{node.output[0]} belongs to the head, but is quantised")
        elif node.op_type in ("Conv", "Gemm") and from_dq[2:3] == [True]:
            faults.append(f"the bias of {node.output[0]} is quantised")
        elif node.op_type == "Add" and from_dq == [True, True]:
            faults.append(f"both branches of {node.output[0]} are quantised")
        elif node.op_type in FLOAT_ONLY and any(from_dq):
            faults.append(f"the {node.op_type} {node.output[0]} is quantised")
        elif node.op_type == "Conv" and from_dq[0] != from_dq[1]:
            faults.append(
                f"of {node.output[0]} only the {'input' if from_dq[0] else 'weights'} are quantised"
            )
    return faults


def _scale_faults(graph: Graph, node: onnx.NodeProto) -> list[str]:
    name = node.input[0]
    if len(node.input) < 3 or node.input[2] not in graph.constants:
        return [f"{name} has no explicit zero point"]
    zero_point, scale = graph.constants[node.input[2]], graph.constants.get(node.input[1])
    faults = []
    if zero_point.dtype != np.int8:
        faults.append(f"the zero point of {name} is {zero_point.dtype}, must be int8")
    if np.any(zero_point != 0):
        faults.append(f"the zero point of {name} is not 0")
    if scale is None or not bool(np.all(scale.astype(np.float32) > 0.0)):
        faults.append(f"the scale of {name} is not a positive constant")
    elif node.op_type == "QuantizeLinear":
        is_weight = name in graph.constants
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        if is_weight and (scale.ndim != 1 or axis != 0):
            faults.append(f"the weights {name} have no scale for each output channel (axis 0)")
        if not is_weight and scale.ndim != 0:
            faults.append(f"the activation {name} has more than one scale")
    return faults
