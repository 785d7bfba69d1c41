"""The shipped two-shot model with its head outside of the graph (format 2): the same weights, so the same predictions.

What a model with such a head can learn on an instrument is measured on it (tests/bench/optics.py).
"""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from parfocal.engines.cpu.openvino import OpenVinoRunner
from parfocal.engines.model.contract import FORMAT_VERSION, METADATA_KEY, HeadTerms, contract_from_onnx
from parfocal.engines.model.head import Head, load_head, save_head
from parfocal.engines.model.shipped import model_path
from parfocal.engines.predictor import Predictor

Array = NDArray[np.float32]
FEATURES = "/head/Concat_output_0"  # what the head reads in the graph of the shipped model
MEMBERS, LAYERS = 4, (1, 4, 6)


def cut_predictor(folder: Path, name: str = "difference-20x") -> Predictor:
    """A predictor of the shipped model `name` in two parts, which are written to `folder`."""
    path = folder / f"{name}-cut.onnx"
    model = onnx.load(model_path(name))
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    head = Head(arrays["head.mean"], arrays["head.deviation"], _layers(arrays))
    terms = HeadTerms(sha256=save_head(path, head), features=len(head.mean), condenser=None)
    contract = msgspec.structs.replace(
        contract_from_onnx(model_path(name)),
        format_version=FORMAT_VERSION,
        output_name="features",
        head=terms,
    )
    cut = helper.make_model(
        _before_head(model.graph, terms.features),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    helper.set_model_props(cut, {METADATA_KEY: msgspec.json.encode(contract).decode()})
    onnx.save(cut, path)
    runner = OpenVinoRunner(path, n_threads=1)
    return Predictor(runner, load_head(path, runner.contract))


def _layers(
    arrays: dict[str, Array],
) -> tuple[tuple[Array, Array], ...]:
    """The layers of the head; the first one of all members is one matrix in the graph."""
    first = arrays["head.first.weight"], arrays["head.first.bias"]
    n_inputs = first[0].shape[1]
    layers = [(first[0].reshape(MEMBERS, -1, n_inputs), first[1].reshape(MEMBERS, -1))]
    for layer in LAYERS:
        names = [f"head.members.{member}.{layer}" for member in range(MEMBERS)]
        layers.append(
            (
                np.stack([arrays[f"{one}.weight"] for one in names]),
                np.stack([arrays[f"{one}.bias"] for one in names]),
            )
        )
    return tuple(layers)


def _before_head(graph: onnx.GraphProto, n_features: int) -> onnx.GraphProto:
    """The part of the graph that the features depend on."""
    wanted, kept = {FEATURES}, []
    for node in reversed(graph.node):
        if set(node.output) & wanted:
            kept.append(node)
            wanted |= set(node.input)
    for node in kept:
        node.output[:] = ["features" if one == FEATURES else one for one in node.output]
    features = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", n_features])
    used = [one for one in graph.initializer if one.name in wanted]
    return helper.make_graph(kept[::-1], "features", [graph.input[0]], [features], used)
