"""The models that come with parfocal: an ONNX file and a card of the same name each."""

from pathlib import Path
from typing import Final

import msgspec

from parfocal.engines.contract import Contract, contract_from_onnx
from parfocal.engines.errors import BuildFailed

MODELS_FOLDER: Final = Path(__file__).parent / "models"


class Model(msgspec.Struct, frozen=True):
    """A model on the disk, and what it takes and gives."""

    path: Path
    contract: Contract


def list_models(folder: Path = MODELS_FOLDER) -> list[Model]:
    """Return the models of a folder, sorted by file name.

    Raises:
        BuildFailed: the folder holds an ONNX file that is damaged or carries no contract.
    """
    return [Model(path, contract_from_onnx(path)) for path in sorted(folder.glob("*.onnx"))]


def model_path(name: str, folder: Path = MODELS_FOLDER) -> Path:
    """Return where the model of that name lies; a name that ends in .onnx is a path, of a user's own model.

    Raises:
        BuildFailed: there is none; says which there are.
    """
    if name.endswith(".onnx"):
        return Path(name)
    path = folder / f"{name}.onnx"
    if not path.is_file():
        there = ", ".join(sorted(model.stem for model in folder.glob("*.onnx"))) or "none"
        raise BuildFailed(f"model {name!r} not found in {folder}: models there: {there}. Name one of them.")
    return path
