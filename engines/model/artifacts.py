"""The forms of a model that the developer's machine makes, and the manifest that vouches for them.

`NAME.onnx` is the FP32 reference. In the folder NAME beside it lie the others and `manifest.json` with the
SHA-256 of each and of the reference they were made of. A device needs none of the tools that made them.

The manifest also holds what the INT8 graph predicts of the golden patches with its Q/DQ nodes run in float: the
arithmetic of that is the same on every machine, and an engine that predicts something else does not add up right.
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
MAKING: Final = (
    "Make them in a checkout: `make golden`, of a model of your own `python -m tools.artifacts NAME.onnx`"
)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies in a model's folder of artifacts.

    Attributes:
        format_version: of this structure.
        fp32: SHA-256 of the reference that the others were made of.
        artifacts: SHA-256 of each, by form.
        golden: SHA-256 of the golden patches that `int8_um` is about.
        int8_um: what the INT8 graph predicts of each golden patch with its Q/DQ nodes run in float.
    """

    format_version: int
    fp32: str
    artifacts: dict[Form, str]
    golden: str
    int8_um: tuple[float, ...]


def artifact_path(model_path: Path, form: Form) -> Path:
    """Return where a form of a model lies, whether it is there or not."""
    return model_path if form == "fp32" else model_path.with_suffix("") / f"{form}.onnx"


def manifest_path(model_path: Path) -> Path:
    """Return where the manifest of a model lies."""
    return model_path.with_suffix("") / "manifest.json"


def write_manifest(model_path: Path, int8_um: NDArray[np.float32]) -> Manifest:
    """Write the manifest of the artifacts that lie in a model's folder; `int8_um` as its attribute says.

    Raises:
        BuildFailed: one of them is not there, or the golden patches are not.
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
    """Return the path and the SHA-256 of a form of a model, held against the manifest.

    Raises:
        BuildFailed: it is not there, is damaged, or was made of another reference.
    """
    path, reference = artifact_path(model_path, form), sha256_of(model_path)
    if form == "fp32":
        return path, reference
    manifest = _manifest(model_path, form)
    found = sha256_of(path)
    if manifest.artifacts.get(form) != found:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: {path} is not the file that the manifest vouches "
            f"for; it is damaged. Copy it again. {MAKING}."
        )
    return path, found


def int8_meaning_um(model_path: Path) -> NDArray[np.float32]:
    """Return what the INT8 graph of a model means by each of its golden patches, float32 (n,).

    Raises:
        BuildFailed: the manifest is not usable, or is about other golden patches.
    """
    manifest = _manifest(model_path, "int8_qdq")
    if manifest.golden != sha256_of(golden_path(model_path)):
        raise BuildFailed(
            f"check of int8 of model {model_path.stem} failed: its artifacts were made with other golden patches. "
            f"{MAKING}."
        )
    return np.array(manifest.int8_um, np.float32)


def _manifest(model_path: Path, form: Form) -> Manifest:
    """Return the manifest of a model. Raises BuildFailed if it is not usable, or of another reference."""
    try:
        manifest = msgspec.json.decode(manifest_path(model_path).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: it comes without artifacts "
            f"({manifest_path(model_path)} is not there). {MAKING}, or use fp32."
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildFailed(f"read {manifest_path(model_path)} failed: {error}. {MAKING}.") from error
    if manifest.fp32 != sha256_of(model_path):
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: its artifacts were made of another "
            f"{model_path.name}. {MAKING}."
        )
    return manifest
