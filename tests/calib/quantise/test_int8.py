"""Where Q/DQ nodes go, what their scales are, and how misplaced ones are found."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from parfocal.calib.quantise.half import in_half
from parfocal.calib.quantise.int8 import activation_ranges, quantised, with_qdq
from parfocal.calib.quantise.onnx_graph import Graph, head_of
from parfocal.calib.quantise.placement import placement_faults
from tests.calib.quantise.nets import (
    FloatArray,
    Net,
    batches,
    beside_spectra,
    binned_by_matmul,
    binned_by_sum,
    mobilenet_v2,
    mobilenet_v3,
    spectra_only,
)
from tools.engines.int8 import evaluate

each_net = pytest.mark.parametrize(
    "net", [mobilenet_v2, mobilenet_v3, beside_spectra, binned_by_matmul, binned_by_sum]
)
MakeNet = Callable[[], onnx.ModelProto]


def quantised_net(net: MakeNet) -> onnx.ModelProto:
    return quantised(net(), batches(), evaluate)


def by_name(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {node.output[0]: node for node in model.graph.node}


def from_dq(model: onnx.ModelProto) -> dict[str, list[bool]]:
    """Return which inputs of each node come from a DequantizeLinear."""
    return {node.output[0]: [name.endswith(".dq") for name in node.input] for node in model.graph.node}


@each_net
def test_quantised_net_passes_the_placement_check_and_predicts_about_the_same(net: MakeNet) -> None:
    model = quantised_net(net)
    assert placement_faults(model, 17) == []
    reference = np.concatenate([evaluate(net(), batch)["distance_um"] for batch in batches()])
    found = np.concatenate([evaluate(model, batch)["distance_um"] for batch in batches()])
    assert 0.0 < np.abs(found - reference).mean() < 0.4 * reference.std()  # of random weights


def test_net_without_convolutions_stays_in_float() -> None:
    reference = [evaluate(spectra_only(), batch)["distance_um"] for batch in batches()]
    for model in (quantised_net(spectra_only), in_half(spectra_only())):
        assert placement_faults(model, 17) == []
        found = [evaluate(model, batch)["distance_um"] for batch in batches()]
        np.testing.assert_array_equal(found, reference)


def test_reference_does_not_saturate_int8_sums_on_any_cpu() -> None:
    """Without VNNI an integer kernel adds two products of this size in 16 bits, where they saturate."""
    net = Net(4, "image")
    zero = net.constant("zero", np.array(0, np.int8))

    def rounded(name: str, scale: float) -> str:
        step = net.constant(f"{name}.scale", np.array(scale, np.float32))
        return net.node("DequantizeLinear", net.node("QuantizeLinear", name, step, zero), step, zero)

    weights = net.constant("w", np.full((1, 3, 4, 4), 127.0, np.float32))
    total = rounded(net.node("Conv", rounded("image", 1.0), rounded(weights, 1.0)), 10_000.0)
    found = evaluate(net.finished(total), np.full((1, 3, 4, 4), 127.0, np.float32))["distance_um"]
    assert found.item() == 770_000.0  # 48 times 127 squared, rounded to 10,000


def test_every_conv_but_the_first_is_quantised_with_its_weights() -> None:
    model = quantised_net(mobilenet_v2)
    convs = [from_dq(model)[node.output[0]] for node in model.graph.node if node.op_type == "Conv"]
    assert convs[0] == [False, False, False]
    assert convs[1:] == [[True, True, False]] * (len(convs) - 1)


def test_residual_is_quantised_on_its_identity_branch_only() -> None:
    for net in (mobilenet_v2, mobilenet_v3):
        model = quantised_net(net)
        found = from_dq(model)
        adds = [node for node in model.graph.node if node.op_type == "Add"]
        assert len(adds) == 2
        for add in adds:
            assert sorted(found[add.output[0]]) == [False, True]
            own = next(name for name in add.input if not name.endswith(".dq"))
            assert by_name(model)[own].op_type == "Conv"


def test_tensor_gets_one_pair_for_all_its_readers() -> None:
    model = quantised_net(mobilenet_v2)
    sources = [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(sources) == len(set(sources))


def test_squeeze_hardswish_and_head_stay_in_float() -> None:
    model = quantised_net(mobilenet_v3)
    names, found = by_name(model), from_dq(model)
    for name, node in names.items():
        if node.op_type in ("HardSwish", "Gemm", "HardSigmoid", "GlobalAveragePool", "Mul"):
            assert not any(found[name])
        if node.op_type == "Conv" and names.get(node.input[0], node).op_type == "GlobalAveragePool":
            assert found[name] == [False, False, False]


def test_scales_are_symmetric_per_tensor_and_per_channel() -> None:
    model = quantised_net(mobilenet_v2)
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero_point = graph.constants[node.input[1]], graph.constants[node.input[2]]
        weights = graph.constants.get(node.input[0])
        assert zero_point.dtype == np.int8
        assert not zero_point.any()
        assert scale.shape == (() if weights is None else (len(weights),))
        if weights is not None:
            largest = np.abs(weights.reshape(len(weights), -1)).max(axis=1)
            np.testing.assert_allclose(scale.astype(np.float64) * 63, largest.astype(np.float64), rtol=1e-6)


def test_weights_leave_room_for_sums_of_two_products_in_16_bits() -> None:
    """A CPU without VNNI adds two products of an unsigned and a signed byte, where eight bits of weights saturate."""
    model = quantised_net(mobilenet_v2)
    graph = Graph(model)
    for node in graph.nodes:
        weights = graph.constants.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if weights is not None:
            scale = graph.constants[node.input[1]].reshape(-1, *(1,) * (weights.ndim - 1))
            assert (
                2 * 255 * np.abs(np.rint(weights.astype(np.float32) / scale.astype(np.float32))).max() < 2**15
            )


def test_channel_with_zero_weights_has_a_positive_scale() -> None:
    model = mobilenet_v2()
    second = next(t for t in model.graph.initializer if t.dims[:] == [8, 8, 1, 1])
    weights = numpy_helper.to_array(second).copy()
    weights[3] = 0.0
    second.CopyFrom(numpy_helper.from_array(weights, second.name))
    found = with_qdq(model, activation_ranges(model, batches(), evaluate))
    assert placement_faults(found, 17) == []


def test_range_clips_a_single_outlier_and_keeps_an_even_spread() -> None:
    model = mobilenet_v2()

    def made_up(probed: onnx.ModelProto, batch: FloatArray) -> dict[str, FloatArray]:
        del batch
        names = [output.name for output in probed.graph.output]
        plain = np.linspace(-1.0, 1.0, 200001, dtype=np.float32)
        lonely = np.concatenate([plain, np.full(1, 1.4, np.float32)])
        return {name: lonely if name == names[1] else plain for name in names}

    ranges = list(activation_ranges(model, batches(n=1), made_up).values())
    assert ranges[0] == pytest.approx(1.0, abs=0.03)
    assert ranges[1:] == pytest.approx([1.0] * (len(ranges) - 1), abs=0.03)


Break = Callable[[Graph], None]


def the(graph: Graph, operator: str, number: int = 0) -> onnx.NodeProto:
    return [node for node in graph.nodes if node.op_type == operator][number]


def unsigned_zero_point(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.input[2] = graph.add_constant("unsigned", np.array(128, np.uint8))


def no_zero_point(graph: Graph) -> None:
    del the(graph, "QuantizeLinear").input[2:]


def zero_scale(graph: Graph) -> None:
    graph.add_constant(the(graph, "QuantizeLinear").input[1], np.array(0.0, np.float32))


def quantised_input(graph: Graph, operator: str, number: int, slot: int) -> None:
    """Insert a pair of nodes before one input of a node."""
    node = the(graph, operator, number)
    name = node.input[slot]
    zero, scale = np.array(0, np.int8), np.array(0.1, np.float32)
    inputs = [graph.add_constant("new.scale", scale), graph.add_constant("new.zero_point", zero)]
    nodes = graph.nodes
    at = next(i for i, other in enumerate(nodes) if other.output[0] == node.output[0])
    pair = [
        helper.make_node("QuantizeLinear", [name, *inputs], ["new.q"]),
        helper.make_node("DequantizeLinear", ["new.q", *inputs], ["new.dq"]),
    ]
    nodes[at].input[slot] = "new.dq"
    graph.set_nodes([*nodes[:at], *pair, *nodes[at:]])


def weights_per_tensor(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0].startswith("w"):
            node.input[1] = graph.add_constant("one.scale", np.array(0.1, np.float32))
            node.input[2] = graph.add_constant("one.zero", np.array(0, np.int8))
            del node.attribute[:]


@pytest.mark.parametrize(
    ("net", "damage", "said"),
    [
        (mobilenet_v2, unsigned_zero_point, "is uint8, must be int8"),
        (mobilenet_v2, unsigned_zero_point, "is not 0"),
        (mobilenet_v2, no_zero_point, "has no explicit zero point"),
        (mobilenet_v2, zero_scale, "is not a positive constant"),
        (mobilenet_v2, weights_per_tensor, "have no scale for each output channel"),
        (mobilenet_v2, lambda g: quantised_input(g, "Conv", 1, 2), "the bias of conv"),
        (mobilenet_v2, lambda g: quantised_input(g, "Gemm", 0, 0), "belongs to the head, but is quantised"),
        (mobilenet_v2, lambda g: quantised_input(g, "Clip", 1, 0), "between a Conv and its activation"),
        (mobilenet_v2, lambda g: quantised_input(g, "Add", 0, 1), "both branches of add"),
        (mobilenet_v2, lambda g: quantised_input(g, "Conv", 0, 0), "only the input are quantised"),
        (
            mobilenet_v2,
            lambda g: quantised_input(g, "ReduceMean", 0, 0),
            "belongs to the head, but is quantised",
        ),
        (
            binned_by_sum,
            lambda g: quantised_input(g, "Softmax", 0, 0),
            "belongs to the head, but is quantised",
        ),
        (mobilenet_v3, lambda g: quantised_input(g, "HardSwish", 1, 0), "the HardSwish hardswish"),
        (mobilenet_v3, lambda g: quantised_input(g, "HardSigmoid", 0, 0), "the HardSigmoid hardsigmoid"),
        (mobilenet_v3, lambda g: quantised_input(g, "Mul", 0, 0), "the Mul mul"),
    ],
)
def test_placement_check_finds_misplaced_nodes(net: MakeNet, damage: Break, said: str) -> None:
    graph = Graph(quantised_net(net))
    damage(graph)
    assert any(said in fault for fault in placement_faults(graph.finished(), 17))


def test_placement_check_finds_an_opset_that_the_parser_cannot_read() -> None:
    assert placement_faults(in_half(quantised_net(mobilenet_v2)), 17) == [
        "the opset is 19, the parser reads up to 17"
    ]


@pytest.mark.parametrize(
    ("net", "layers"),
    [
        (mobilenet_v2, ["ReduceMean", "Gemm", "Flatten"]),
        (mobilenet_v3, ["GlobalAveragePool", "Flatten", "Gemm", "HardSwish", "Gemm", "Flatten"]),
        (
            beside_spectra,
            [
                "ReduceMean",
                "MatMul",
                "Transpose",
                "MatMul",
                "Mul",
                "Reshape",
                "MatMul",
                "Add",
                "Log",
                "Reshape",
                "Concat",
                "Gemm",
                "Flatten",
            ],
        ),
        (binned_by_matmul, ["GlobalAveragePool", "Flatten", "Gemm", "Softmax", "MatMul", "Flatten"]),
        (binned_by_sum, ["GlobalAveragePool", "Flatten", "Gemm", "Softmax", "Mul", "ReduceSum", "Flatten"]),
    ],
)
def test_head_is_the_last_pooling_with_its_successors_and_side_branches(
    net: MakeNet, layers: list[str]
) -> None:
    graph = Graph(net())
    head = head_of(graph)
    assert [node.op_type for node in graph.nodes if node.output[0] in head] == layers


def without_pooling(graph: Graph) -> None:
    """A head that flattens the map, as dastidar2020 has it: the last pooling is one of squeeze and excitation."""
    pooling = next(node for node in reversed(graph.nodes) if node.op_type == "GlobalAveragePool")
    graph.set_nodes([node for node in graph.nodes if node.output[0] != pooling.output[0]])
    flatten = next(node for node in graph.nodes if node.input[0] == pooling.output[0])
    flatten.input[0] = pooling.input[0]


def test_head_without_a_pooling_starts_at_the_last_layer() -> None:
    graph = Graph(mobilenet_v3())
    without_pooling(graph)
    head = head_of(graph)
    assert [node.op_type for node in graph.nodes if node.output[0] in head] == ["Gemm", "Flatten"]
    alone = helper.make_node("Conv", ["image", "weights"], ["map"])
    with pytest.raises(ValueError, match="no pooling, Gemm or MatMul after its last Conv"):
        head_of(Graph(helper.make_model(helper.make_graph([alone], "convolution", [], []))))


@each_net
def test_nothing_of_the_head_is_quantised_or_halved(net: MakeNet) -> None:
    for model in (quantised_net(net), in_half(quantised_net(net))):
        graph = Graph(model)
        head, names = head_of(graph), by_name(model)
        for node in graph.nodes:
            if node.output[0] not in head:
                continue
            for name in node.input:
                made_by = names[name].op_type if name in names else "constant"
                assert made_by != "DequantizeLinear"
                assert name in head or name == "image" or made_by in ("constant", "Cast", "Clip", "HardSwish")
                assert name not in graph.constants or graph.constants[name].dtype != np.float16


@pytest.mark.parametrize("net", [binned_by_matmul, binned_by_sum])
def test_fp16_form_keeps_the_expectation_over_distances(net: MakeNet) -> None:
    model = net()
    patches = [batch * scale for batch, scale in zip(batches(), (0.3, 1.0, 3.0), strict=True)]
    expected = np.concatenate([evaluate(model, batch)["distance_um"] for batch in patches])
    found = np.concatenate([evaluate(in_half(model), batch)["distance_um"] for batch in patches])
    assert np.ptp(expected) > 3.0
    assert np.abs(found - expected).max() < 0.02


@each_net
@pytest.mark.parametrize("is_quantised", [False, True])
def test_fp16_form_predicts_the_same_with_float_input_and_output(net: MakeNet, is_quantised: bool) -> None:
    full = quantised_net(net) if is_quantised else net()
    half = in_half(full)
    assert placement_faults(half, 19) == []
    float32 = onnx.TensorProto.FLOAT
    assert [v.type.tensor_type.elem_type for v in (*half.graph.input, *half.graph.output)] == [
        float32,
        float32,
    ]
    types = {
        t.data_type for t in half.graph.initializer if t.name.startswith(("w", "b")) and ".zero" not in t.name
    }
    assert types == {float32, onnx.TensorProto.FLOAT16}  # those of the head, and all others
    expected = np.concatenate([evaluate(full, batch)["distance_um"] for batch in batches()])
    found = np.concatenate([evaluate(half, batch)["distance_um"] for batch in batches()])
    assert np.abs(found - expected).max() < (0.3 if is_quantised else 0.01) * np.abs(expected).max()


def test_fp16_form_refuses_values_out_of_range_and_unknown_layers() -> None:
    model = mobilenet_v2()
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1e6, weights.name))
    with pytest.raises(ValueError, match="beyond the range of float16"):
        in_half(model)
    model = mobilenet_v2()
    mean = next(node for node in model.graph.node if node.op_type == "ReduceMean")
    next(a for a in mean.attribute if a.name == "axes").ints[:] = [1, 2]
    with pytest.raises(ValueError, match="not a mean over height and width"):
        in_half(model)
