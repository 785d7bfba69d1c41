"""The cards in the tree are what `tools.export` would write from their own figures."""

import re

import pytest

pytest.importorskip("torch", reason="the training extra is not installed")

from parfocal.engines.model.shipped import Model, list_models
from tools.learning.judged.card import GROUPS, Measured, card
from tools.learning.judged.tables import Row

CELL = r" *(.+?) *\|"
ERRORS = re.compile(rf"^\|{CELL} (\d+) \| (\S+) \+- (\S+) \| (\S+) \| (\S+) \| (\S+) % \|$")
SETTINGS = re.compile(r"`tools/(?:train|teach)\.py`: (.+?)\. (?:AdamW|Body)")
CURVE = re.compile(r"^\| (\d+) \| (\d+) \| (\S+) \| (\S+) \| (\S+) % \|$")


def error_tables(text: str) -> list[dict[str, Row]]:
    """The tables of errors, in order, with the names that the training gives its groups."""
    groups = {shown: name for name, shown in GROUPS.items()}
    tables: list[dict[str, Row]] = []
    for line in text.splitlines():
        if line.startswith(("| texture", "| distance to focus")):
            tables.append({})
        elif (found := ERRORS.match(line)) and tables:
            keys = ("n", "mean_um", "sd_um", "median_um", "bias_um", "wrong_sign")
            figures = [float(value) for value in found.groups()[1:]]
            figures[-1] /= 100.0
            tables[-1][groups.get(found[1], found[1])] = dict(zip(keys, figures, strict=True))
    return tables


def share(text: str, pattern: str) -> float | None:
    """The share of patches that a sentence names; None where there is no such sentence."""
    found = re.search(rf"{pattern} (\S+) % of the patches beyond 1 um", text)
    return float(found[1]) / 100.0 if found else None


def notes_of(text: str) -> str:
    """What was written by hand."""
    return text[text.index("## What was compared") : text.index("## Learning curve")]


@pytest.mark.parametrize("model", list_models(), ids=lambda model: model.contract.name)
def test_card_is_what_its_figures_give(model: Model) -> None:
    if model.contract.head is None:
        pytest.skip("an earlier tools.export wrote this card")
    text = model.path.with_suffix(".md").read_text()
    *images, by_group, by_distance = error_tables(text)
    recipe = dict(setting.split(" ", 1) for setting in SETTINGS.findall(text)[-1].split(", "))
    log = [
        {
            "patches": found[1],
            "examples": found[2],
            "loss": float(found[3]),
            "groups": {"all": {"mean_um": float(found[4]), "wrong_sign": float(found[5]) / 100.0}},
        }
        for found in map(CURVE.match, text.splitlines())
        if found
    ]
    measured = Measured(
        by_group=by_group,
        by_distance=by_distance,
        swapped=share(text, "the predicted direction flips in"),
        wrong_without_asymmetry=share(text, "the direction is wrong in"),
        images=images,
    )
    record = {"recipe": recipe, "log": log}
    assert card(model.contract, record, measured, notes_of(text)) == text
