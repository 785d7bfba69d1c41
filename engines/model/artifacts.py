"""The forms of a model, which a developer's machine makes, and the manifest with their checksums.

`NAME.onnx` is the FP32 reference. The folder NAME beside it holds the other forms and `manifest.json`, with the SHA-256
of each and of the reference they were made from. A device does not need the tools that make them.

The manifest also holds the predictions of the INT8 graph for the golden patches, with its Q/DQ nodes run in float. This
gives the same numbers on every machine, so an engine with other predictions computes the graph wrongly.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.golden import golden_path, sha256_of

Form = Literal["fp32", "int8_qdq", "fp16", "int8_qdq_fp16"]
MADE_FORMS: Final[tuple[Form, ...]] = ("int8_qdq", "fp16", "int8_qdq_fp16")
FORMAT_VERSION: Final = 2
HOW_TO_MAKE: Final = (
    "Make the forms in a checkout: `make golden`; for your own model: `python -m tools.artifacts NAME.onnx`"
)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of the manifest of a model.

    Attributes:
        format_version: version of this structure.
        fp32: SHA-256 of the reference that the forms were made from.
        artifacts: SHA-256 of each form.
        golden: SHA-256 of the golden patches that `int8_um` belongs to.
        int8_um: prediction of the INT8 graph for each golden patch, with its Q/DQ nodes run in float.
    """

    format_version: int
    fp32: str
    artifacts: dict[Form, str]
    golden: str
    int8_um: tuple[float, ...]


def artifact_path(model_path: Path, form: Form) -> Path:
    """Return the path of a form of a model, whether it exists or not."""
    return model_path if form == "fp32" else model_path.with_suffix("") / f"{form}.onnx"


def manifest_path(model_path: Path) -> Path:
    """Return the path of the manifest of a model."""
    return model_path.with_suffix("") / "manifest.json"


def write_manifest(model_path: Path, int8_um: NDArray[np.float32]) -> Manifest:
    """Write the manifest for the forms in the folder of a model.

    Args:
        model_path: path of the FP32 reference.
        int8_um: predictions of the INT8 graph for the golden patches, float32 (n,), see `Manifest`.

    Raises:
        BuildFailed: a form or the golden patches are missing.
    """
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        fp32=sha256_of(model_path),
        artifacts={form: sha256_of(artifact_path(model_path, form)) for form in MADE_FORMS},
        golden=sha256_of(golden_path(model_path)),
        int8_um=tuple(round(float(um), 5) for um in int8_um),
    )
    manifest_path(model_path).write_bytes(
        msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
    )
    return manifest


def checked_artifact(model_path: Path, form: Form) -> tuple[Path, str]:
    """Return the path and the SHA-256 of a form of a model, checked against the manifest.

    Raises:
        BuildFailed: the form is missing, damaged, or made from another reference.
    """
    path, reference = artifact_path(model_path, form), sha256_of(model_path)
    if form == "fp32":
        return path, reference
    manifest = _manifest(model_path, form)
    found = sha256_of(path)
    if manifest.artifacts.get(form) != found:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: {path} does not match its checksum in "
            f"the manifest; it is damaged. Copy it again, or make it anew. {HOW_TO_MAKE}."
        )
    return path, found


def int8_graph_um(model_path: Path) -> NDArray[np.float32]:
    """Return the predictions of the INT8 graph for the golden patches, run in float, float32 (n,).

    Raises:
        BuildFailed: the manifest is unusable, or belongs to other golden patches.
    """
    manifest = _manifest(model_path, "int8_qdq")
    if manifest.golden != sha256_of(golden_path(model_path)):
        raise BuildFailed(
            f"check of int8 of model {model_path.stem} failed: its forms were made with other golden patches. "
            f"{HOW_TO_MAKE}."
        )
    return np.array(manifest.int8_um, np.float32)


def _manifest(model_path: Path, form: Form) -> Manifest:
    """Return the manifest of a model. Raises BuildFailed if it is unusable, or belongs to another reference."""
    try:
        manifest = msgspec.json.decode(manifest_path(model_path).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: it has no other forms "
            f"({manifest_path(model_path)} is missing). {HOW_TO_MAKE}, or use fp32."
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildFailed(f"read {manifest_path(model_path)} failed: {error}. {HOW_TO_MAKE}.") from error
    if manifest.fp32 != sha256_of(model_path):
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: its forms were made from another "
            f"{model_path.name}. {HOW_TO_MAKE}."
        )
    return manifest
