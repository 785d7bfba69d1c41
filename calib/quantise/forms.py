"""The INT8 and FP16 forms of a model, from the content of its FP32 file. The same content gives the same bytes."""

from collections.abc import Mapping

import onnx

from parfocal.calib.quantise.half import in_half
from parfocal.calib.quantise.int8 import with_qdq


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
