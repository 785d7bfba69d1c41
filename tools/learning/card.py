"""The card that lies beside a model: what it was trained on, how, how good it is, and where it ends."""

from dataclasses import dataclass
from typing import Any

from parfocal.engines.model.contract import Contract
from tools.learning.tables import MIN_CONTRAST, Row
from tools.networks.focus import MEMBERS

GROUPS = {
    "blood_chula": "blood smears, files never trained on",
    "cytology_dsb2018": "cytology, files never trained on",
    "he_cmu1": "H&E of another slide and site",
    "ihc": "IHC, a stain never trained on",
    "all": "all",
}
ARCHITECTURES = {
    "difference": "MobileNetV2 alpha 0.5 on the difference of two shots {delta:g} um apart (dastidar2020)",
    "pair": "MobileNetV2 alpha 0.5 on the difference of two shots {delta:g} um apart (dastidar2020), with the second "
    "shot beside it",
    "single": "MobileNetV3-small on one shot (liao2021)",
}
SPECTRA = (
    "Beside the convolutions the head hears the spectra of the patches: how strong each ring of spatial frequency is "
    "in each colour and shot, and how much of it they share (`tools/networks/spectrum.py`)."
)
HEADS = {
    "spectrum": "The body was trained with a linear head on its averaged map and then fixed; the head that ships was "
    "taught on features of all patches, {members} times with other beginnings, and says their mean.",
    "average": "The last feature map is averaged: such a head memorises less with few textures than the paper's "
    "flatten-and-dense one (facts/optics), and takes crops of any size.",
    "flatten": "The last feature map is flattened into one dense layer, as in the paper.",
}
MADE = (
    "**Trained on made stacks, never on a real microscope's.** They come from sharp images of slides through the "
    "optics of `edge/simscope`: the reference objective with its aberrations. Another objective has others, and "
    "they tell the direction: retrain on stacks of your own microscope (README, *Your own model*) before a clinic "
    "relies on it."
)
CONDENSER = (
    "**For a condenser with {sigma:g} of the objective's aperture.** Depth of field hangs on it, and a patch does "
    "not tell it. Training saw all from 0.4 to 0.8 and was told which; what ships is told {sigma:g}. For another "
    "instrument `python -m tools.export --condenser` makes one of the same training."
)
IMAGES = (
    "Whole images, as the papers measure (dastidar2020, table 1): all patches of a plane together, weighted by their "
    "contrast."
)
HELD_OUT = (
    "Single patches, within +-{range_um:g} um, with {contrast:g} grey levels of contrast or more. Other slides, stains "
    "and optical settings than in training (`tools/tissue/sources.py` holds the split). On the microscope several "
    "patches vote, and a field is focused from nearer."
)
RECIPE = (
    "`tools/synthesize.py` and `tools/train.py`: {said}. AdamW; smooth L1 (eq. 1 of dastidar2020) weighted by the root "
    "of the patch's contrast; the last part of the time on whole patches with the distance weight of eq. 2. {head}"
)
MOST_CURVE_ROWS = 14


@dataclass(frozen=True)
class Measured:
    """Errors on held-out patches; shares 0..1, None where they were not measured."""

    by_group: dict[str, Row]
    by_distance: dict[str, Row]
    swapped: float | None
    wrong_without_asymmetry: float | None
    images: list[dict[str, Row]]  # by texture and by distance; empty where none were measured


def card(
    contract: Contract, record: dict[str, Any], found: Measured, notes: str, condenser_sigma: float
) -> str:
    """Markdown of one model. ``record`` is the log of its training, ``notes`` what was compared and found."""
    spectral = record["recipe"]["head"] == "spectrum"
    parts = [
        f"# {contract.name}",
        ARCHITECTURES[contract.kind].format(delta=contract.delta_um)
        + f", for {contract.objective} at {contract.um_per_px:g} um/px, within +-{contract.range_um:g} um. It takes "
        f"patches of {contract.patch_px} px and predicts the {contract.sign}.",
        *([SPECTRA] if spectral else []),
        MADE,
        *([CONDENSER.format(sigma=condenser_sigma)] if record.get("told_condenser") else []),
        *_errors(contract, found),
        *([] if not notes else [notes.strip()]),
        *_curve(contract, record),
        *_recipe(record),
    ]
    return "\n\n".join(parts) + "\n"


def _errors(contract: Contract, found: Measured) -> list[str]:
    parts = [
        "## Held-out errors",
        *([IMAGES, *_tables("images", *found.images)] if found.images else []),
        HELD_OUT.format(range_um=contract.range_um, contrast=MIN_CONTRAST),
        *_tables("patches", found.by_group, found.by_distance),
        f"![predicted against true]({contract.name}.scatter.png)",
    ]
    if found.swapped is not None:
        parts.append(
            f"With the two shots swapped, the predicted direction swaps in {100 * found.swapped:.1f} % of the patches "
            "beyond 1 um."
        )
    if found.wrong_without_asymmetry is not None:
        parts.append(
            "On held-out objects made without phase and without aberrations, where both sides of the focus look the "
            f"same, the direction is wrong in {100 * found.wrong_without_asymmetry:.1f} % of the patches beyond 1 um "
            "(50 % is chance)."
        )
    return parts


def _tables(counted: str, by_group: dict[str, Row], by_distance: dict[str, Row]) -> list[str]:
    """Errors by texture and by distance; ``counted`` is what a row counts, patches or images."""
    named = {GROUPS.get(group, group): row for group, row in by_group.items()}
    return [_table("texture", counted, named), _table("distance to focus, um", counted, by_distance)]


def _table(key: str, counted: str, rows: dict[str, Row]) -> str:
    lines = [
        f"| {key} | {counted} | mean +- sd um | median um | bias um | wrong direction beyond 1 um |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['n']:.0f} | {row['mean_um']:.2f} +- {row['sd_um']:.2f} | {row['median_um']:.2f} "
        f"| {row['bias_um']:+.2f} | {100 * row['wrong_sign']:.1f} % |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def _curve(contract: Contract, record: dict[str, Any]) -> list[str]:
    log = record["log"]
    shown = [*log[: -1 : max(1, len(log) // MOST_CURVE_ROWS)], log[-1]]
    rows = [
        f"| {entry['patches']} | {entry['examples']} | {entry['loss']:.3f} "
        f"| {entry['groups']['all']['mean_um']:.2f} | {100 * entry['groups']['all']['wrong_sign']:.1f} % |"
        for entry in shown
    ]
    head = "| patches seen | patches there were | training loss | held-out mean um | wrong direction |"
    return [
        "## Learning curve",
        "\n".join([head, "|---|---|---|---|---|", *rows]),
        f"![learning curve]({contract.name}.learning.png)",
    ]


def _recipe(record: dict[str, Any]) -> list[str]:
    recipe = record["recipe"]
    said = ", ".join(f"{key} {value}" for key, value in recipe.items())
    return [
        "## Recipe",
        RECIPE.format(said=said, head=HEADS[recipe["head"]].format(members=MEMBERS)),
    ]
