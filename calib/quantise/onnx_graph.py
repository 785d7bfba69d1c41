"""Edits of ONNX graphs that the INT8 and FP16 forms share."""

from collections import defaultdict

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[np.generic]


class Graph:
    """An editable copy of a model, with all constants as initialisers.

    Attributes:
        model: the copy.
        constants: values of all initialisers, by name.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.constants: dict[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer
        }
        self._fold_constants()

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """The nodes, in order of execution."""
        return list(self.model.graph.node)

    def producers(self) -> dict[str, onnx.NodeProto]:
        """Return the node that produces each tensor, by name of the tensor."""
        return {name: node for node in self.nodes for name in node.output}

    def consumers(self) -> dict[str, list[onnx.NodeProto]]:
        """Return the nodes that read each tensor, by name of the tensor."""
        found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                found[name].append(node)
        return found

    def shapes(self) -> dict[str, list[int | None]]:
        """Return the inferred shape of each tensor, by name; None for a free dimension."""
        graph = onnx.shape_inference.infer_shapes(self.finished()).graph
        return {
            value.name: [
                d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim
            ]
            for value in [*graph.input, *graph.value_info, *graph.output]
        }

    def add_constant(self, name: str, value: Array) -> str:
        """Add or replace an initialiser, and return its name."""
        self.constants[name] = value
        return name

    def set_nodes(self, nodes: list[onnx.NodeProto]) -> None:
        """Replace all nodes."""
        del self.model.graph.node[:]
        self.model.graph.node.extend(nodes)

    def finished(self) -> onnx.ModelProto:
        """Return the model, with only the initialisers that are still used."""
        used = {name for node in self.nodes for name in node.input}
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used
        )
        return self.model

    def _fold_constants(self) -> None:
        """Turn Constant nodes, and Identity nodes on constants, into initialisers."""
        kept = []
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]]
            else:
                kept.append(node)
        self.set_nodes(kept)


def head_of(graph: Graph) -> set[str]:
    """Return the outputs of the nodes of the head: all nodes that the last pooling over the map does not depend on.

    The head is that pooling, what follows it, and any branch beside the convolutions. A pooling that is followed by a
    Conv belongs to a squeeze and excitation. In a graph without another pooling, the head starts at the last Gemm or
    MatMul. A graph without convolutions is all head.

    Raises:
        ValueError: the graph has no such layer.
    """
    if not any(node.op_type == "Conv" for node in graph.nodes):
        return {name for node in graph.nodes for name in node.output}
    made_by = graph.producers()
    pooling = [node for node in graph.nodes if is_pooling(node)]
    dense = [node for node in graph.nodes if node.op_type in ("Gemm", "MatMul")]
    for first in (*pooling[-1:], *dense[-1:]):
        body: set[str] = set()
        pending = list(first.input)
        while pending:
            name = pending.pop()
            if name in made_by and name not in body:
                body |= set(made_by[name].output)
                pending += made_by[name].input
        head = [node for node in graph.nodes if not body & set(node.output)]
        if not any(node.op_type == "Conv" for node in head):
            return {name for node in head for name in node.output}
    raise ValueError("the graph has no head: no pooling, Gemm or MatMul after its last Conv")


def is_pooling(node: onnx.NodeProto) -> bool:
    """Whether a node averages a map over height and width."""
    axes = [list(a.ints) for a in node.attribute if a.name == "axes"]
    return node.op_type == "GlobalAveragePool" or (
        node.op_type == "ReduceMean" and any(sorted(axis % 4 for axis in found) == [2, 3] for found in axes)
    )
