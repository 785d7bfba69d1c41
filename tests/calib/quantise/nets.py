"""Small nets with the layers of MobileNetV2 and MobileNetV3, as ONNX nodes with random weights."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FloatArray = NDArray[np.float32]
BINS_UM = np.linspace(-15.0, 15.0, 61, dtype=np.float32)


class Net:
    """A graph under construction. Every method takes and returns the name of a tensor."""

    def __init__(self, side_px: int, input_name: str, seed: int = 5) -> None:
        self._side_px, self._input_name = side_px, input_name
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Add an initialiser."""
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, *inputs: str, **settings: Any) -> str:  # noqa: ANN401 (of whatever operator)
        """Add a node."""
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name, **settings))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        """Add a convolution with a bias."""
        shape = (outputs, inputs // groups, kernel, kernel)
        scale = (2.0 / np.prod(shape[1:])) ** 0.5
        number = len(self.nodes)
        w = self.constant(f"w{number}", self._random.normal(0.0, scale, shape).astype(np.float32))
        b = self.constant(f"b{number}", self._random.normal(0.0, 0.1, outputs).astype(np.float32))
        pad = kernel // 2
        return self.node("Conv", x, w, b, strides=[stride] * 2, pads=[pad] * 4, group=groups)

    def relu6(self, x: str) -> str:
        """Add a clip to 0..6, with the limits as Constant nodes, as torch exports them."""
        limits = []
        for value in (0.0, 6.0):
            name = f"limit{len(self.nodes)}"
            tensor = numpy_helper.from_array(np.array(value, np.float32), name)
            self.nodes.append(helper.make_node("Constant", [], [name], name, value=tensor))
            limits.append(name)
        return self.node("Clip", x, *limits)

    def squeeze(self, x: str, channels: int) -> str:
        """Add squeeze and excitation."""
        pooled = self.node("GlobalAveragePool", x)
        small = self.node("Relu", self.conv(pooled, channels, 4, 1))
        return self.node("Mul", x, self.node("HardSigmoid", self.conv(small, 4, channels, 1)))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        """Add a Gemm with a bias."""
        number = len(self.nodes)
        w = self.constant(f"w{number}", self._random.normal(0.0, 1.0, (outputs, inputs)).astype(np.float32))
        b = self.constant(f"b{number}", np.zeros(outputs, np.float32))
        return self.node("Gemm", x, w, b, transB=1)

    def finished(self, output: str) -> onnx.ModelProto:
        """Return the model. Its tensor `output` (n, 1) becomes distance_um."""
        self.nodes.append(helper.make_node("Flatten", [output], ["distance_um"], "out", axis=1))
        shape: list[str | int | None] = ["n", 3, self._side_px, self._side_px]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(self._input_name, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("distance_um", TensorProto.FLOAT, ("n", 1))],
            self._constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def mobilenet_v2(side_px: int = 32) -> onnx.ModelProto:
    """Return a stem, an inverted residual with and one without a shortcut, pooling by ReduceMean, and a head."""
    net = Net(side_px, "image")
    x = _mobilenet_v2_body(net)
    return net.finished(net.linear(net.node("ReduceMean", x, axes=[2, 3], keepdims=0), 16, 1))


def binned_by_matmul() -> onnx.ModelProto:
    """Return the same body with a head that is the expectation of a softmax over distances."""
    net = Net(32, "image")
    shares = _softmax_over_distances(net)
    return net.finished(net.node("MatMul", shares, net.constant("bins", BINS_UM[:, None])))


def binned_by_sum() -> onnx.ModelProto:
    """Return the same, with the expectation as a product and a sum."""
    net = Net(32, "image")
    moments = net.node("Mul", _softmax_over_distances(net), net.constant("bins", BINS_UM[None]))
    axes = net.constant("axes", np.array([1], np.int64))
    return net.finished(net.node("ReduceSum", moments, axes, keepdims=1))


def beside_spectra() -> onnx.ModelProto:
    """Return the same body with a branch beside the convolutions: log powers of the image, as inputs of the head."""
    net = Net(32, "image")
    pooled = net.node("ReduceMean", _mobilenet_v2_body(net), axes=[2, 3], keepdims=0)
    return net.finished(net.linear(net.node("Concat", pooled, _spectra(net), axis=1), 28, 1))


def spectra_only() -> onnx.ModelProto:
    """Return a net without convolutions."""
    net = Net(32, "image")
    return net.finished(net.linear(_spectra(net), 12, 1))


def _spectra(net: Net) -> str:
    """Add log powers of the image, (n, 12)."""
    waves = np.cos(np.pi / 32.0 * np.outer(np.arange(1, 9), np.arange(32) + 0.5)).astype(np.float32)
    columns = net.constant("columns", np.ascontiguousarray(waves.T))
    by_row = net.node("MatMul", "image", columns)
    z = net.node("MatMul", net.node("Transpose", by_row, perm=[0, 1, 3, 2]), columns)
    flat = net.node("Reshape", net.node("Mul", z, z), net.constant("flat", np.array([-1, 3, 64], np.int64)))
    rings = np.kron(np.eye(4), np.full((16, 1), 1.0 / 16.0)).astype(np.float32)
    power = net.node("MatMul", flat, net.constant("rings", rings))
    log = net.node("Log", net.node("Add", power, net.constant("floor", np.array(1e-5, np.float32))))
    return net.node("Reshape", log, net.constant("features", np.array([-1, 12], np.int64)))


def _softmax_over_distances(net: Net) -> str:
    """Return shares that form a bell of 1 um around a distance linear in the features, as after training."""
    features = net.node("Flatten", net.node("GlobalAveragePool", _mobilenet_v2_body(net)), axis=1)
    um_per_feature = np.random.default_rng(12).normal(0.0, 1.5, (1, 16))
    w = net.constant("to_bins", (BINS_UM[:, None] * um_per_feature).astype(np.float32))
    b = net.constant("bin_bias", (-0.5 * BINS_UM**2).astype(np.float32))
    return net.node("Softmax", net.node("Gemm", features, w, b, transB=1), axis=1)


def _mobilenet_v2_body(net: Net) -> str:
    x = net.relu6(net.conv("image", 3, 8, 3, 2))
    x = net.conv(x, 8, 8, 1)
    for stride in (1, 1, 2):
        y = net.relu6(net.conv(x, 8, 16, 1))
        y = net.relu6(net.conv(y, 16, 16, 3, stride, groups=16))
        y = net.conv(y, 16, 8, 1)
        x = net.node("Add", x, y) if stride == 1 else y
    return net.relu6(net.conv(x, 8, 16, 1))


def mobilenet_v3(side_px: int = 32, input_name: str = "image") -> onnx.ModelProto:
    """Return a net with HardSwish, squeeze and excitation, a residual, and a head of two layers."""
    net = Net(side_px, input_name)
    x = net.node("HardSwish", net.conv(input_name, 3, 8, 3, 2))
    for activation in ("Relu", "HardSwish"):
        y = net.node(activation, net.conv(x, 8, 16, 1))
        y = net.node(activation, net.conv(y, 16, 16, 5, groups=16))
        y = net.conv(net.squeeze(y, 16), 16, 8, 1)
        x = net.node("Add", y, x)
    x = net.node("HardSwish", net.conv(x, 8, 24, 1))
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    return net.finished(net.linear(net.node("HardSwish", net.linear(x, 24, 32)), 32, 1))


def batches(side_px: int = 32, n: int = 3) -> list[FloatArray]:
    """Return standardised patches."""
    random = np.random.default_rng(1)
    return [random.normal(size=(4, 3, side_px, side_px)).astype(np.float32) for _ in range(n)]
