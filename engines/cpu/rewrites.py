"""Graph rewrites that make OpenVINO faster in half precision, with the same predictions."""

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import openvino


def narrow_input_once(ov: ModuleType, model: "openvino.Model") -> None:
    """If several layers read the input, convert it to half precision once for all of them.

    OpenVINO converts the input again for each reader. A clamp that changes no value runs in half precision, and its
    readers get half as many bytes. Saves 6 % of the time of four pairs of shots.
    """
    most = float(np.finfo(np.float32).max)
    for given in model.inputs:
        readers = given.get_target_inputs()
        if len(readers) > 1:
            narrowed = ov.opset13.clamp(given, -most, most).output(0)
            for reader in readers:
                reader.replace_source_output(narrowed)


def multiply_as_convolution(ov: ModuleType, model: "openvino.Model") -> None:
    """Replace products of transposed maps and constant matrices by convolutions.

    For x (n, channels, k, w) and a matrix (k, m), the product is a 1 x 1 convolution with k input channels. The layout
    for convolutions is already the transposed one, and OpenVINO makes it in half the time of its transposition.
    Saves another 4 % of the time of four pairs of shots.
    """
    ops = ov.opset13
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_a"]:
            continue
        x, matrix = node.input_value(0), node.input_value(1).get_node()
        is_constant = matrix.get_type_name() == "Constant" and not node.get_attributes()["transpose_b"]
        if not is_constant or len(matrix.shape) != 2 or x.partial_shape.is_dynamic or len(x.shape) != 4:
            continue
        n, channels, k, w = x.shape
        maps = ops.reshape(x, [n * channels, k, w, 1], special_zero=False)
        weights = np.ascontiguousarray(matrix.data.T)[:, :, None, None]
        product = ops.convolution(maps, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        turned = ops.transpose(product, np.array([0, 2, 3, 1]))
        result = ops.reshape(turned, [n, channels, w, len(weights)], special_zero=False)
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(result.output(0))
