"""An INT8 form with its rounding done in float: it predicts the same on every runtime, without integer kernels."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from parfocal.calib.quantise.onnx_graph import Array, Graph

LEAST, MOST = -128.0, 127.0


def in_float(form: bytes) -> bytes:
    """Return the content of an INT8 form with plain arithmetic in place of each pair of Q/DQ nodes."""
    graph = Graph(onnx.load_from_string(form))
    bounds = [
        graph.add_constant(f"int8.{name}", np.array(v, np.float32))
        for name, v in (("least", LEAST), ("most", MOST))
    ]
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            value, scale = node.input[:2]
            if value in graph.constants:
                graph.add_constant(node.output[0], _rounded(graph.constants[value], graph.constants[scale]))
                continue
            steps = [
                helper.make_node("Div", [value, scale], [f"{node.output[0]}.div"]),
                helper.make_node("Round", [f"{node.output[0]}.div"], [f"{node.output[0]}.round"]),
                helper.make_node("Clip", [f"{node.output[0]}.round", *bounds], [node.output[0]]),
            ]
            nodes += steps
        elif node.op_type == "DequantizeLinear":
            value, scale = node.input[:2]
            if value in graph.constants:
                whole = graph.constants[value]
                weights = whole.astype(np.float32) * _along_first(graph.constants[scale], whole)
                graph.add_constant(node.output[0], weights)
            else:
                nodes.append(helper.make_node("Mul", [value, scale], [node.output[0]]))
        else:
            nodes.append(node)
    graph.set_nodes(nodes)
    content: bytes = graph.finished().SerializeToString(deterministic=True)
    return content


def _rounded(weights: Array, scale: Array) -> Array:
    steps = weights.astype(np.float32) / _along_first(scale, weights)
    whole: NDArray[np.float32] = np.clip(np.rint(steps), LEAST, MOST)
    return whole


def _along_first(scale: Array, weights: Array) -> NDArray[np.float32]:
    shape = (-1, *(1,) * (weights.ndim - 1)) if scale.ndim else ()
    return scale.astype(np.float32).reshape(shape)
