"""The INT8 form of a model, with explicit Q/DQ nodes in the ONNX file: every TensorRT and OpenVINO reads it.

Q/DQ nodes go before each Conv, on its activation (one scale) and on its weights (one scale per output channel, axis 0),
and before the identity branch of a residual Add. Quantisation is symmetric, with an explicit zero point of 0.
Weights have 7 bits, so that no sum saturates on a CPU without VNNI.

These stay in float: biases, tensors between a Conv and its activation, HardSwish, convolutions of pooled 1 x 1 maps
(squeeze and excitation), the head from the pooling on, and the first Conv. With three channels the first Conv gains
little, and its input has values far beyond its deviation of 1, so its rounding affects everything that follows: leaving
it in float halved the deviation of a difference net.
"""

from collections.abc import Callable, Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from parfocal.calib.quantise.onnx_graph import Graph, head_of

FloatArray = NDArray[np.float32]
# Runs a graph on one batch and returns its outputs, by name. The caller brings the inference runtime.
Evaluate = Callable[[onnx.ModelProto, FloatArray], dict[str, FloatArray]]

QMAX = 127
# A CPU without VNNI adds two products of unsigned and signed 8 bits in 16 bits. With weights of 7 bits these sums
# cannot saturate: 2 * 255 * 63 < 2**15. The shipped models deviate from FP32 as much as with 8 bits (docs/engines.md).
WEIGHT_QMAX = 63
N_BINS = 2048
# Candidate ranges of a scale, as shares of the largest value. The one with the least squared error is used.
SATURATIONS = np.linspace(0.7, 1.0, 31)
MIN_SCALE = 1e-6  # for a channel whose weights are all 0


def quantised(model: onnx.ModelProto, batches: Iterable[FloatArray], evaluate: Evaluate) -> onnx.ModelProto:
    """Return an FP32 model with Q/DQ nodes, calibrated on normalised batches (n, channels, h, w)."""
    return with_qdq(model, activation_ranges(model, list(batches), evaluate))


def quantised_tensors(graph: Graph) -> list[str]:
    """Return the names of the activations that get a Q/DQ pair, in order."""
    return list(dict.fromkeys(node.input[slot] for node, slot in _quantised_slots(graph)))


def activation_ranges(
    model: onnx.ModelProto, batches: list[FloatArray], evaluate: Evaluate
) -> dict[str, float]:
    """Return, for each activation to quantise, the magnitude that maps to 127.

    It minimises the squared error of clipping and rounding over the batches.
    """
    graph = Graph(model)
    names = quantised_tensors(graph)
    probed = graph.finished()
    there = {value.name for value in [*probed.graph.output, *probed.graph.input]}
    probed.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in there
    )
    largest = dict.fromkeys(names, 0.0)
    for batch in batches:
        values = _activations(probed, batch, names, evaluate)
        largest = {name: max(largest[name], float(np.abs(values[name]).max())) for name in names}
    histograms = {name: np.zeros(N_BINS) for name in names}
    for batch in batches:
        for name, value in _activations(probed, batch, names, evaluate).items():
            top = max(largest[name], MIN_SCALE)
            histograms[name] += np.histogram(np.abs(value), N_BINS, (0.0, top))[0]
    return {name: _best_range(histograms[name], max(largest[name], MIN_SCALE)) for name in names}


def with_qdq(model: onnx.ModelProto, ranges: dict[str, float]) -> onnx.ModelProto:
    """Return a copy of an FP32 model with Q/DQ nodes. `ranges` come from `activation_ranges`."""
    graph = Graph(model)
    slots = {(node.output[0], slot) for node, slot in _quantised_slots(graph)}
    nodes: list[onnx.NodeProto] = []
    dequantised: dict[str, str] = {}
    for node in graph.nodes:
        for slot, name in enumerate(node.input):
            if (node.output[0], slot) not in slots:
                continue
            if name not in dequantised:
                nodes += _pair(graph, name, np.array(ranges[name] / QMAX, np.float32))
                dequantised[name] = f"{name}.dq"
            node.input[slot] = dequantised[name]
        if (node.output[0], 0) in slots and node.op_type == "Conv":
            weights = node.input[1]
            if weights not in dequantised:
                nodes += _pair(graph, weights, _weight_scales(graph.constants[weights].astype(np.float32)))
                dequantised[weights] = f"{weights}.dq"
            node.input[1] = dequantised[weights]
        nodes.append(node)
    graph.set_nodes(nodes)
    finished = graph.finished()
    onnx.checker.check_model(finished)
    return finished


def _quantised_slots(graph: Graph) -> list[tuple[onnx.NodeProto, int]]:
    """Return the inputs, except weights, that get a Q/DQ pair, as pairs of node and input index."""
    producers, shapes = graph.producers(), graph.shapes()
    model_input, head = graph.model.graph.input[0].name, head_of(graph)
    slots = []
    for node in graph.nodes:
        if head & set(node.output):
            continue
        if node.op_type == "Conv" and node.input[1] in graph.constants:
            if node.input[0] != model_input and shapes.get(node.input[0], [])[2:] != [1, 1]:
                slots.append((node, 0))
        elif node.op_type == "Add" and _is_residual(node, producers):
            slots.append((node, _identity_slot(node, producers)))
    return slots


def _is_residual(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    made_by = [producers[name].op_type for name in node.input if name in producers]
    return len(made_by) == 2 and "Conv" in made_by


def _identity_slot(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> int:
    """Return the input index of the identity branch. The other branch ends in the Conv of the block.

    That Conv fuses with the Add and stays in float. If both branches end in a Conv, the later one is that of the block.
    """
    order = list(producers)
    conv = [slot for slot in (0, 1) if producers[node.input[slot]].op_type == "Conv"]
    own = max(conv, key=lambda slot: order.index(node.input[slot]))
    return 1 - own


def _pair(graph: Graph, name: str, scale: FloatArray) -> list[onnx.NodeProto]:
    """Return the two nodes that convert a tensor to int8 and back. A scale of shape (channels,) applies to axis 0."""
    inputs = [
        graph.add_constant(f"{name}.scale", scale),
        graph.add_constant(f"{name}.zero_point", np.zeros(scale.shape, np.int8)),
    ]
    pair = [
        helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}.q"], f"{name}.q"),
        helper.make_node("DequantizeLinear", [f"{name}.q", *inputs], [f"{name}.dq"], f"{name}.dq"),
    ]
    if scale.ndim:
        for node in pair:
            node.attribute.append(helper.make_attribute("axis", 0))
    return pair


def _weight_scales(weights: FloatArray) -> FloatArray:
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    scales: FloatArray = np.maximum(largest / WEIGHT_QMAX, MIN_SCALE).astype(np.float32)
    return scales


def _activations(
    probed: onnx.ModelProto, batch: FloatArray, names: list[str], evaluate: Evaluate
) -> dict[str, FloatArray]:
    values = {probed.graph.input[0].name: batch, **evaluate(probed, batch)}
    return {name: values[name] for name in names}


def _best_range(histogram: NDArray[np.float64], largest: float) -> float:
    """Return the range with the least squared error for a histogram of magnitudes over 0..largest."""
    centres = (np.arange(N_BINS) + 0.5) * largest / N_BINS

    def error(saturation: float) -> float:
        scale = saturation * largest / QMAX
        restored = np.minimum(np.rint(centres / scale), QMAX) * scale
        return float((histogram * (centres - restored) ** 2).sum())

    return float(min(SATURATIONS, key=error)) * largest
