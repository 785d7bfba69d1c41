"""The models that ship with parfocal, each an ONNX file with a model card of the same name."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.contract import Contract, contract_from_onnx

MODELS_FOLDER: Final = Path(__file__).parent.parent / "models"


class Model(msgspec.Struct, frozen=True):
    """A model on disk, with its contract. `scales`: INT8 scales that were measured here, None for the model's own."""

    path: Path
    contract: Contract
    scales: Path | None = None

    @property
    def label(self) -> str:
        """Name for its engines and choices. Models of one name in different folders get different labels."""
        if self.path.resolve().parent == MODELS_FOLDER.resolve():
            return self.contract.name
        place = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()
        return f"{self.contract.name}-{place[:8]}"


def list_models(folder: Path = MODELS_FOLDER) -> list[Model]:
    """Return the models of a folder, sorted by file name.

    Raises:
        BuildFailed: the folder contains an ONNX file that is damaged or has no contract.
    """
    return [model_at(path) for path in sorted(folder.glob("*.onnx"))]


def model_at(path: Path) -> Model:
    """Return the model in a file. Raises BuildFailed if it is damaged or has no contract."""
    return Model(path, contract_from_onnx(path))


def model_path(name: str, folder: Path = MODELS_FOLDER) -> Path:
    """Return the path of a model. A name that ends in .onnx is the path of the user's own model.

    Raises:
        BuildFailed: there is no such model; lists those that exist.
    """
    if name.endswith(".onnx"):
        return Path(name)
    path = folder / f"{name}.onnx"
    if not path.is_file():
        there = ", ".join(sorted(model.stem for model in folder.glob("*.onnx"))) or "none"
        raise BuildFailed(f"model {name!r} not found in {folder}. Models there: {there}. Name one of them.")
    return path


def measured_scales_name(model: Model) -> str:
    """Return the name of the file of INT8 scales that `parfocal calibrate int8` writes beside the engines."""
    return f"{model.label}.int8.json"


def with_measured_scales(model: Model, folder: Path) -> Model:
    """Return the model with the INT8 scales in the folder of the engines, if there are any."""
    path = folder / measured_scales_name(model)
    return msgspec.structs.replace(model, scales=path) if path.is_file() else model
