"""The model card: what a model was trained on and how, its errors, and its limits."""

from dataclasses import dataclass
from typing import Any

import msgspec

from parfocal.engines.model.contract import Contract
from tools.learning.judged.tables import MIN_CONTRAST, Row
from tools.learning.recipe import SPECTRA_ONLY
from tools.networks.focus import MEMBERS

GROUPS = {
    "blood_chula": "blood smears, files not used in training",
    "cytology_dsb2018": "cytology, files not used in training",
    "he_cmu1": "H&E, another slide and site",
    "ihc": "IHC, a stain not used in training",
    "all": "all",
}
ARCHITECTURES = {
    "difference": "MobileNetV2 alpha 0.5 on the difference of two shots {delta:g} um apart (dastidar2020)",
    "pair": "MobileNetV2 alpha 0.5 on the difference of two shots {delta:g} um apart (dastidar2020), with the second "
    "shot as additional input",
    "single": "MobileNetV3-small on one shot (liao2021)",
}
INPUTS = {
    "difference": "the difference of two shots {delta:g} um apart (dastidar2020)",
    "pair": "the difference of two shots {delta:g} um apart (dastidar2020) and of the second shot",
    "single": "one shot (liao2021)",
}
SPECTRA_ALONE = (
    "A head on the spectra of {inputs}, without convolutions: the power in each ring of spatial frequency, for each "
    "colour and shot, and the coherence between them (`tools/networks/spectrum.py`)"
)
SPECTRA = (
    "Besides the feature map of the convolutions, the head takes the spectra of the patches as input: the power in "
    "each ring of spatial frequency, for each colour and shot, and the coherence between them "
    "(`tools/networks/spectrum.py`)."
)
HEADS = {
    "spectrum": "The body was trained with a linear head on its averaged feature map, then frozen. The head that ships "
    "was trained on the features of all patches. It is the mean of {members} members, each trained from another random "
    "start.",
    SPECTRA_ONLY: "The head was trained on the spectra of all patches. It is the mean of {members} members, each "
    "trained from another random start.",
    "average": "The last feature map is averaged. With few textures such a head memorises less than the paper's "
    "flatten-and-dense head, and it takes crops of any size.",
    "flatten": "The last feature map is flattened into one dense layer, as in the paper.",
}
MADE = (
    "**Trained on made samples, never on a real microscope.** They were computed from sharp images of slides with the "
    "optics of `edge/simscope`: the reference objective with its aberrations, and others. The model reads the "
    "direction from aberrations and phase, and another objective has others. Before a clinic relies on it, fit it to "
    "your microscope (`parfocal calibrate optics`) or retrain it on your own stacks (*Your own model* in the "
    "documentation)."
)
CONDENSER = (
    "**The aperture of the condenser is an input.** Depth of field depends on it, and a patch does not show it. The "
    "training covered {least:g} to {most:g} of the objective's aperture; the key `focus.condenser` gives that of your "
    "microscope. Without the key the model assumes {default:g}."
)
IMAGES = (
    "Whole images, as in the papers (dastidar2020, table 1): the mean over all patches of a plane, weighted by their "
    "contrast."
)
HELD_OUT = (
    "Single patches within +-{range_um:g} um, with a contrast of {contrast:g} grey levels or more. Slides, stains and "
    "optical settings differ from those of the training (`tools/tissue/sources.py` defines the split). On the "
    "microscope several patches vote, and predictions start closer to the focus."
)
RECIPE = (
    "`tools/make_features.py` and `tools/train.py`: {settings}. AdamW; smooth L1 loss (dastidar2020, eq. 1), weighted "
    "by the square root of the contrast of the patch; in the last part of the training on whole patches, and also "
    "weighted by distance (eq. 2). {head}"
)
# Of a recipe with `joint_batch`: body and head were trained together first.
JOINT = (
    "`tools/teach.py`: {settings}. Body, summary and head were trained together, with the loss and the weights below, "
    "on patches cut at random places from frames that were rendered meanwhile; the statistics of the normalisation "
    "stayed as they were. Then the head was trained anew on the features of all frames: AdamW; smooth L1 loss "
    "(dastidar2020, eq. 1), weighted by the square root of the contrast of the patch and by distance (eq. 2). It is "
    "the mean of {members} members, each trained from another random start."
)
MOST_CURVE_ROWS = 14


@dataclass(frozen=True)
class Measured:
    """Errors on held-out patches. Shares are 0..1, and None if they were not measured."""

    by_group: dict[str, Row]
    by_distance: dict[str, Row]
    swapped: float | None
    wrong_without_asymmetry: float | None
    images: list[dict[str, Row]]  # by texture and by distance; empty if not measured


def card(contract: Contract, record: dict[str, Any], found: Measured, notes: str) -> str:
    """Return the card of one model, as Markdown.

    Args:
        contract: contract of the model.
        record: log of its training.
        found: its errors.
        notes: what was compared and found, as Markdown.
    """
    spectral = record["recipe"]["head"] == "spectrum"
    condensers = None if contract.head is None else contract.head.condenser
    parts = [
        f"# {contract.name}",
        _architecture(contract, record["recipe"]["head"])
        + f", for {contract.objective} at {contract.um_per_px:g} um/px, within +-{contract.range_um:g} um. It takes "
        f"patches of {contract.patch_px} px and predicts the {contract.sign}.",
        *([SPECTRA] if spectral else []),
        MADE,
        *([] if condensers is None else [CONDENSER.format(**msgspec.structs.asdict(condensers))]),
        *_errors(contract, found),
        *([] if not notes else [notes.strip()]),
        *_curve(contract, record),
        *_recipe(record),
    ]
    return "\n\n".join(parts) + "\n"


def _architecture(contract: Contract, head: str) -> str:
    if head == SPECTRA_ONLY:
        return SPECTRA_ALONE.format(inputs=INPUTS[contract.kind].format(delta=contract.delta_um))
    return ARCHITECTURES[contract.kind].format(delta=contract.delta_um)


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
            f"With the two shots swapped, the predicted direction flips in {100 * found.swapped:.1f} % of the patches "
            "beyond 1 um."
        )
    if found.wrong_without_asymmetry is not None:
        parts.append(
            "On held-out objects computed without phase and without aberrations, which look the same on both sides of "
            f"the focus, the direction is wrong in {100 * found.wrong_without_asymmetry:.1f} % of the patches beyond "
            "1 um (50 % is chance)."
        )
    return parts


def _tables(counted: str, by_group: dict[str, Row], by_distance: dict[str, Row]) -> list[str]:
    """Return the errors by texture and by distance. `counted` names what a row counts, patches or images."""
    named = {GROUPS.get(group, group): row for group, row in by_group.items()}
    return [_table("texture", counted, named), _table("distance to focus, um", counted, by_distance)]


def _table(key: str, counted: str, rows: dict[str, Row]) -> str:
    lines = [
        f"| {key} | {counted} | mean +- sd, um | median, um | bias, um | wrong direction beyond 1 um |",
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
    head = "| patches seen | patches available | training loss | mean held-out error, um | wrong direction |"
    return [
        "## Learning curve",
        "\n".join([head, "|---|---|---|---|---|", *rows]),
        f"![learning curve]({contract.name}.learning.png)",
    ]


def _recipe(record: dict[str, Any]) -> list[str]:
    recipe = record["recipe"]
    settings = ", ".join(f"{key} {value}" for key, value in recipe.items())
    members = recipe.get("members", MEMBERS)
    if "joint_batch" in recipe:
        return ["## Recipe", JOINT.format(settings=settings, members=members)]
    return [
        "## Recipe",
        RECIPE.format(settings=settings, head=HEADS[recipe["head"]].format(members=members)),
    ]
