"""The models that ship: found by name, each with its model card."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from parfocal.engines.errors import BuildFailed
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.shipped import MODELS_FOLDER, Model, list_models, model_at, model_path


def test_models_are_listed_by_name(
    make_model: Callable[..., Path], contract: Contract, tmp_path: Path
) -> None:
    assert list_models(tmp_path) == []
    other = msgspec.structs.replace(contract, name="another")
    make_model()
    make_model(contract=other)
    assert list_models(tmp_path) == [
        Model(tmp_path / "another.onnx", other),
        Model(tmp_path / "small.onnx", contract),
    ]


def test_model_is_found_by_name(make_model: Callable[..., Path], tmp_path: Path) -> None:
    path = make_model()
    assert model_path("small", tmp_path) == path


def test_unknown_name_lists_the_available_models(make_model: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"model 'small' not found in .*\. Models there: none"):
        model_path("small", tmp_path)
    make_model()
    with pytest.raises(BuildFailed, match=r"model 'smal' not found in .*\. Models there: small\. Name one"):
        model_path("smal", tmp_path)


@pytest.mark.parametrize("path", sorted(MODELS_FOLDER.glob("*.onnx")), ids=lambda path: path.stem)
def test_shipped_model_has_its_name_and_its_card(path: Path) -> None:
    (model,) = [model for model in list_models() if model.path == path]
    assert model.contract.name == path.stem
    assert path.with_suffix(".md").is_file()


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.contract.name)
def test_card_tells_errors_limits_and_recipe_in_this_order(model: Model) -> None:
    card = model.path.with_suffix(".md").read_text()
    told = [line for line in card.splitlines() if line.startswith("## ")]
    assert told == [
        "## Held-out errors",
        "## What was compared, and limits",
        "## Learning curve",
        "## Recipe",
    ]


def test_models_of_one_name_in_different_folders_are_different(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_model()
    (tmp_path / "elsewhere").mkdir()
    other = path.rename(tmp_path / "elsewhere" / path.name)
    labels = {model_at(other).label, model_at(make_model()).label, *(m.label for m in list_models())}
    assert len(labels) == 2 + len(list_models())
    assert all(model.label == model.contract.name for model in list_models())
