"""The card that lies beside a model: what it was trained on, how, how good it is, and where it ends."""

from typing import Any

from parfocal.engines.contract import Contract

GROUPS = {
    "blood_chula": "blood smears, files never trained on",
    "cytology_dsb2018": "cytology, files never trained on",
    "he_cmu1": "H&E of another slide and site",
    "ihc": "IHC, a stain never trained on",
    "all": "all",
}


def card(contract: Contract, record: dict[str, Any], rows: dict[str, dict[str, float]]) -> str:
    """Markdown of one model. ``record`` is the log of its training, ``rows`` its errors on held-out pairs."""
    log = record["log"]
    lines = [
        f"# {contract.name}",
        "",
        f"MobileNetV2 alpha 0.5 on the difference of two shots {contract.delta_um:g} um apart (dastidar2020),",
        f"for {contract.objective} at {contract.um_per_px:g} um/px, within +-{contract.range_um:g} um. It predicts the",
        f"{contract.sign}.",
        "",
        "**Trained on made stacks, never on a real microscope's.** The stacks come from sharp images of slides through",
        "the optics of `edge/simscope`: the reference objective with its aberrations. Another objective has others,",
        "and they tell the direction: retrain on stacks of your own microscope before a clinic relies on it.",
        "",
        "## Held-out errors",
        "",
        f"Single patches of 224 x 224 px, +-{contract.range_um:g} um, patches with 4 grey levels of contrast or more.",
        "Other slides, stains and optical settings than in training (`tools/sources.py` holds the split). On the",
        "microscope four patches vote, and a field is focused from nearer.",
        "",
        "| texture | patches | mean +- sd um | median um | wrong direction beyond 1 um |",
        "|---|---|---|---|---|",
    ]
    for group, row in rows.items():
        lines.append(
            f"| {GROUPS.get(group, group)} | {row['n']:.0f} | {row['mean_um']:.2f} +- {row['sd_um']:.2f} "
            f"| {row['median_um']:.2f} | {100 * row['wrong_sign']:.1f} % |"
        )
    lines += [
        "",
        "## Learning curve",
        "",
        "| patches seen | pairs there were | crop px | phase | loss | mean um | wrong |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for entry in log[:: max(1, len(log) // 12)] + log[-1:]:
        held_out = entry["table"]["all"]
        lines.append(
            f"| {entry['patches']} | {entry['pairs']} | {entry['side']} | {entry['phase']} | {entry['loss']:.2f} "
            f"| {held_out['mean_um']:.2f} | {100 * held_out['wrong_sign']:.1f} % |"
        )
    recipe = ", ".join(f"{key} {value}" for key, value in record["recipe"].items())
    lines += [
        "",
        "## Recipe",
        "",
        f"`tools/synthesize.py` and `tools/train.py`: {recipe}; AdamW, smooth L1 (eq. 1) weighted by patch contrast,",
        "phase 2 with the distance weight of eq. 2. A global-average head in place of the paper's flatten-and-dense",
        "one: it memorises less with few textures, and lets most of the training run on smaller crops.",
        "",
    ]
    return "\n".join(lines)
