"""The forms of a model that the developer's machine makes, and the manifest that vouches for them.

`NAME.onnx` is the FP32 reference. In the folder NAME beside it lie the others and `manifest.json` with the
SHA-256 of each and of the reference they were made of. A device needs none of the tools that made them.
"""

from pathlib import Path
from typing import Final, Literal

import msgspec

from parfocal.engines.errors import BuildFailed
from parfocal.engines.golden import sha256_of

Form = Literal["fp32", "int8_qdq", "fp16", "int8_qdq_fp16"]
MADE_FORMS: Final[tuple[Form, ...]] = ("int8_qdq", "fp16", "int8_qdq_fp16")
FORMAT_VERSION: Final = 1
MAKING: Final = (
    "Make them in a checkout: `make golden`, of a model of your own `python -m tools.artifacts NAME.onnx`"
)


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lies in a model's folder of artifacts.

    Attributes:
        format_version: of this structure.
        fp32: SHA-256 of the reference that the others were made of.
        artifacts: SHA-256 of each, by form.
    """

    format_version: int
    fp32: str
    artifacts: dict[Form, str]


def artifact_path(model_path: Path, form: Form) -> Path:
    """Return where a form of a model lies, whether it is there or not."""
    return model_path if form == "fp32" else model_path.with_suffix("") / f"{form}.onnx"


def manifest_path(model_path: Path) -> Path:
    """Return where the manifest of a model lies."""
    return model_path.with_suffix("") / "manifest.json"


def write_manifest(model_path: Path) -> Manifest:
    """Write the manifest of the artifacts that lie in a model's folder.

    Raises:
        BuildFailed: one of them is not there.
    """
    artifacts: dict[Form, str] = {form: sha256_of(artifact_path(model_path, form)) for form in MADE_FORMS}
    manifest = Manifest(FORMAT_VERSION, sha256_of(model_path), artifacts)
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
    try:
        manifest = msgspec.json.decode(manifest_path(model_path).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: it comes without artifacts "
            f"({manifest_path(model_path)} is not there). {MAKING}, or use fp32."
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise BuildFailed(f"read {manifest_path(model_path)} failed: {error}. {MAKING}.") from error
    if manifest.fp32 != reference:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: its artifacts were made of another "
            f"{model_path.name}. {MAKING}."
        )
    found = sha256_of(path)
    if manifest.artifacts.get(form) != found:
        raise BuildFailed(
            f"use of {form} of model {model_path.stem} failed: {path} is not the file that the manifest vouches "
            f"for; it is damaged. Copy it again. {MAKING}."
        )
    return path, found
