"""The INT8 and FP16 forms of a model, from the content of its FP32 file. The same content gives the same bytes."""

from collections.abc import Callable, Mapping, Sequence

import onnx

from parfocal.calib.quantise.half import in_half
from parfocal.calib.quantise.in_float import in_float
from parfocal.calib.quantise.int8 import FloatArray, activation_ranges, with_qdq

# Makes a function of the content of an ONNX file, which returns all outputs for a batch by name.
OpenGraph = Callable[[bytes], Callable[[FloatArray], dict[str, FloatArray]]]


def made_form(fp32: bytes, form: str, ranges: Mapping[str, float]) -> bytes:
    """Return a form of a model.

    Args:
        fp32: content of the FP32 model.
        form: "fp16", "int8_qdq", or "int8_qdq_fp16".
        ranges: for INT8, the range of each activation, from `parfocal.calib.quantise.int8.activation_ranges`.

    Raises:
        ValueError: there is no such form, or the model has no head, or exceeds the range of float16.
        KeyError: an activation has no range: the scales belong to another model.
    """
    model = onnx.load_from_string(fp32)
    if form == "fp16":
        return _content(in_half(model))
    if form not in ("int8_qdq", "int8_qdq_fp16"):
        raise ValueError(f"there is no form {form!r}")
    int8 = with_qdq(model, dict(ranges))
    return _content(in_half(int8) if form == "int8_qdq_fp16" else int8)


def _content(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def measured_ranges(fp32: bytes, batches: Sequence[FloatArray], open_graph: OpenGraph) -> dict[str, float]:
    """Return the range of each activation of a model, as `activation_ranges`, on any runtime."""
    opened: dict[int, Callable[[FloatArray], dict[str, FloatArray]]] = {}

    def evaluate(probed: onnx.ModelProto, batch: FloatArray) -> dict[str, FloatArray]:
        if id(probed) not in opened:
            opened[id(probed)] = open_graph(_content(probed))
        return opened[id(probed)](batch)

    return activation_ranges(onnx.load_from_string(fp32), list(batches), evaluate)


def int8_in_float(fp32: bytes, ranges: Mapping[str, float]) -> bytes:
    """Return the INT8 form with its rounding done in float."""
    return in_float(made_form(fp32, "int8_qdq", ranges))
