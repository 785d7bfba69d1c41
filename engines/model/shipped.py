"""The models that come with parfocal: an ONNX file and a card of the same name each."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.contract import Contract, contract_from_onnx

MODELS_FOLDER: Final = Path(__file__).parent.parent / "models"


class Model(msgspec.Struct, frozen=True):
    """A model on the disk, and what it takes and gives."""

    path: Path
    contract: Contract

    @property
    def label(self) -> str:
        """What engines and choices of it are kept under: two models of one name at different places are different."""
        if self.path.resolve().parent == MODELS_FOLDER.resolve():
            return self.contract.name
        place = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()
        return f"{self.contract.name}-{place[:8]}"


def list_models(folder: Path = MODELS_FOLDER) -> list[Model]:
    """Return the models of a folder, sorted by file name.

    Raises:
        BuildFailed: the folder holds an ONNX file that is damaged or carries no contract.
    """
    return [model_at(path) for path in sorted(folder.glob("*.onnx"))]


def model_at(path: Path) -> Model:
    """Return the model of a file. Raises BuildFailed if it is damaged or carries no contract."""
    return Model(path, contract_from_onnx(path))


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
