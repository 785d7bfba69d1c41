"""The forms of a model, and what an INT8 form needs beside the FP32 model.

`NAME.onnx` is the FP32 reference, the only form that is stored. The others are made from it when an engine is built
(`calib/quantise`), in less than a second; the same model always gives the same form.

INT8 also needs scales, which were measured on calibration patches on a developer's machine: `NAME.int8.json`. It holds
the predictions of the INT8 graph for the golden patches as well, with its Q/DQ nodes run in float. This gives the same
numbers on every machine, so an engine with other predictions computes the graph wrongly.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.golden import golden_path, sha256_of

Form = Literal["fp32", "int8_qdq", "fp16", "int8_qdq_fp16"]
MADE_FORMS: Final[tuple[Form, ...]] = ("int8_qdq", "fp16", "int8_qdq_fp16")
INT8_FORMS: Final[tuple[Form, ...]] = ("int8_qdq", "int8_qdq_fp16")
FORMS_VERSION: Final = 2  # raise it when `calib/quantise` makes another form of the same model
FORMAT_VERSION: Final = 1
HOW_TO_MEASURE: Final = (
    "Measure the scales in a checkout: `make golden`; "
    "for your own model: `python -m tools.engines.int8 NAME.onnx`"
)
# Makes a form from the content of the FP32 model and the range of each activation, by name; empty for fp16.
FormMaker = Callable[[bytes, Form, Mapping[str, float]], bytes]


class Int8Scales(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of `NAME.int8.json`.

    Attributes:
        format_version: version of this structure.
        fp32: SHA-256 of the model that the scales belong to.
        ranges: magnitude that maps to 127, for each activation that is quantised.
        golden: SHA-256 of the golden patches that `int8_um` belongs to.
        int8_um: prediction of the INT8 graph for each golden patch, with its Q/DQ nodes run in float.
    """

    format_version: Annotated[int, msgspec.Meta(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    fp32: str
    ranges: dict[str, float]
    golden: str
    int8_um: tuple[float, ...]

    @property
    def ranges_sha256(self) -> str:
        """SHA-256 of the ranges, on which an INT8 form depends."""
        return hashlib.sha256(msgspec.json.encode(self.ranges, order="sorted")).hexdigest()


def int8_path(model_path: Path) -> Path:
    """Return the path of the INT8 scales of a model."""
    return model_path.with_suffix(".int8.json")


def save_int8(model_path: Path, ranges: Mapping[str, float], int8_um: NDArray[np.float32]) -> Int8Scales:
    """Write the INT8 scales of a model beside it.

    Args:
        model_path: path of the FP32 reference.
        ranges: range of each activation, by name.
        int8_um: predictions of the INT8 graph for the golden patches, float32 (n,), see `Int8Scales`.

    Raises:
        BuildFailed: the model or its golden patches are missing.
    """
    scales = scales_of(model_path, ranges, int8_um)
    int8_path(model_path).write_bytes(scales_bytes(scales))
    return scales


def scales_bytes(scales: Int8Scales) -> bytes:
    """Return the content of a file of scales."""
    return msgspec.json.format(msgspec.json.encode(scales), indent=1) + b"\n"


def scales_of(model_path: Path, ranges: Mapping[str, float], int8_um: NDArray[np.float32]) -> Int8Scales:
    """Return the INT8 scales of a model, from what `save_int8` takes.

    Raises:
        BuildFailed: the model or its golden patches are missing.
    """
    return Int8Scales(
        format_version=FORMAT_VERSION,
        fp32=sha256_of(model_path),
        ranges=dict(ranges),
        golden=sha256_of(golden_path(model_path)),
        int8_um=tuple(round(float(um), 5) for um in int8_um),
    )


def load_int8(model_path: Path, measured: Path | None = None) -> Int8Scales:
    """Return the INT8 scales of a model, those in the file `measured` in place of the model's own if it is given.

    Raises:
        BuildFailed: they are missing, damaged, or belong to another model.
    """
    path = int8_path(model_path) if measured is None else measured
    try:
        scales = msgspec.json.decode(path.read_bytes(), type=Int8Scales)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"use of int8 of model {model_path.stem} failed: it has no scales ({path} is missing). {HOW_TO_MEASURE}, "
            "or use another precision."
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildFailed(f"read {path} failed: {error}. {HOW_TO_MEASURE}.") from error
    if scales.fp32 != sha256_of(model_path):
        raise BuildFailed(
            f"use of int8 of model {model_path.stem} failed: {path.name} belongs to another {model_path.name}. "
            f"{HOW_TO_MEASURE}."
        )
    return scales


def int8_graph_um(model_path: Path, measured: Path | None = None) -> NDArray[np.float32]:
    """Return the predictions of the INT8 graph for the golden patches, run in float, float32 (n,).

    `measured`: as for `load_int8`.

    Raises:
        BuildFailed: the scales are unusable, or belong to other golden patches.
    """
    scales = load_int8(model_path, measured)
    if scales.golden != sha256_of(golden_path(model_path)):
        raise BuildFailed(
            f"check of int8 of model {model_path.stem} failed: its scales were measured with other golden patches. "
            f"{HOW_TO_MEASURE}."
        )
    return np.array(scales.int8_um, np.float32)


def form_content(model_path: Path, form: Form, make_form: FormMaker, measured: Path | None = None) -> bytes:
    """Return the content of a form of a model, made now unless it is the FP32 model itself.

    `measured`: as for `load_int8`.

    Raises:
        BuildFailed: the model or its scales are unusable, or the form cannot be made.
    """
    try:
        fp32 = model_path.read_bytes()
    except OSError as error:
        raise BuildFailed(f"read model {model_path} failed: {error.strerror}. Copy it again.") from error
    if form == "fp32":
        return fp32
    ranges = load_int8(model_path, measured).ranges if form in INT8_FORMS else {}
    try:
        return make_form(fp32, form, ranges)
    except (ValueError, KeyError) as error:
        raise BuildFailed(
            f"{form} of model {model_path.stem} cannot be made: {error}. Use fp32, or export the model again."
        ) from error
