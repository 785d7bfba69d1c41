"""Train the head that ships, on features of the spectra and of a frozen body, computed once for every patch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.arrays import FloatArray
from tools.learning import tables
from tools.learning.features import Features
from tools.learning.losses import distance_weight, patch_weight, smooth_l1
from tools.learning.pictures import draw_learning, draw_scatter
from tools.networks.focus import SUMMARY, FocusNet, Head

MODEL_FILE = "model.pt"
# Uncertainty of the aperture of a condenser. The training adds this error, so that the head does not rely on more.
CONDENSER_ERROR = 0.03
REFERENCE_CONDENSER = 0.6  # of the reference instrument (`edge/simscope`)
REPORTS = 8


@dataclass(frozen=True)
class FitRecipe:
    """The settings for the training of a head. The model card lists them."""

    epochs: int = 30
    fit_batch: int = 256
    fit_learning_rate: float = 2e-3
    fit_weight_decay: float = 0.05
    fit_seed: int = 1


def refit() -> FitRecipe:
    """Return the settings to retrain a trained head on the stacks of another instrument: short, with a low rate."""
    return FitRecipe(epochs=12, fit_learning_rate=2e-4)


def prepare_head(head: Head, features: Features) -> None:
    """Set the standardisation of the inputs, and the principal directions of the maps, from the features."""
    pooled = features.pooled.astype(np.float64)
    mean, deviation = pooled.mean(axis=0), pooled.std(axis=0) + 1e-3
    correlation = np.corrcoef((pooled / deviation).T + 0.0)
    _, vectors = np.linalg.eigh(np.nan_to_num(correlation))
    rows = vectors[:, ::-1].T[:SUMMARY] / deviation
    with torch.no_grad():
        head.summary.weight.copy_(torch.from_numpy(rows))
        head.summary.bias.copy_(torch.from_numpy(-rows @ mean))
        inputs = _inputs(head, features)
        head.mean.copy_(inputs.mean(dim=0))
        head.deviation.copy_(inputs.std(dim=0) + 1e-3)


def train_members(
    head: Head, features: Features, recipe: FitRecipe, report: Callable[[int, float], None]
) -> None:
    """Train every member by itself, each on its own order of patches. `report` gets patches seen and loss."""
    torch.manual_seed(recipe.fit_seed)
    inputs = _inputs(head, features)
    truth = torch.from_numpy(features.distance_um)
    weight = patch_weight(torch.from_numpy(features.contrast)) * distance_weight(truth)
    steps = max(1, len(features) // recipe.fit_batch)
    error = CONDENSER_ERROR / float(head.deviation[-1])
    trained = [*head.first.parameters(), *head.members.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=recipe.fit_learning_rate, weight_decay=recipe.fit_weight_decay)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.fit_learning_rate, total_steps=recipe.epochs * steps
    )
    losses: list[float] = []
    due = max(1, recipe.epochs * steps // REPORTS)
    for epoch in range(recipe.epochs):
        head.train()
        orders = [torch.randperm(len(features)) for _ in head.members]
        for step in range(steps):
            total = torch.zeros(())
            for member, order in enumerate(orders):
                chosen = order[step * recipe.fit_batch : (step + 1) * recipe.fit_batch]
                x = (inputs[chosen] - head.mean) / head.deviation
                if head.takes_condenser:
                    x[:, -1] += error * torch.randn(len(x))
                loss = smooth_l1(head.distance_by(member, x) - truth[chosen])
                total = total + (weight[chosen] * loss).sum() / weight[chosen].sum()
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            rates.step()
            losses.append(float(total.detach()) / len(head.members))
            done = epoch * steps + step + 1
            if done % due == 0 or done == recipe.epochs * steps:
                report(done * recipe.fit_batch, float(np.mean(losses)))
                losses.clear()
                head.train()
    head.eval()


def predict(head: Head, features: Features) -> FloatArray:
    """Return distances in um, (n,), for the reference condenser if the head takes one."""
    shown = head.for_condenser(REFERENCE_CONDENSER).eval()
    with torch.no_grad():
        found = shown(torch.from_numpy(features.spectral), torch.from_numpy(features.pooled))
    return np.asarray(found.numpy(), np.float32)


def fit(
    net: FocusNet,
    recipes: dict[str, Any],
    recipe: FitRecipe,
    features: Features,
    held_out: Features,
    out: Path,
    say: Callable[[str], None],
) -> None:
    """Train the head of `net`, measure it on held-out patches, and save it in `out` with its plots."""
    log: list[dict[str, Any]] = []

    def report(seen: int, loss: float) -> None:
        net.head.eval()
        groups = tables.by_group(held_out, predict(net.head, held_out), tables.RANGE_UM)
        log.append({"patches": seen, "examples": len(features), "loss": round(loss, 4), "groups": groups})
        say(f"head: {seen} patches of {len(features)}: loss {loss:.3f}, held out {tables.in_a_line(groups)}")

    train_members(net.head, features, recipe, report)
    record = {"recipe": {**recipes, **asdict(recipe)}, "told_condenser": net.head.takes_condenser, "log": log}
    torch.save(
        {
            "recipe": recipes,
            "told_condenser": net.head.takes_condenser,
            "net": net.state_dict(),
        },
        out / MODEL_FILE,
    )
    (out / "log.json").write_text(json.dumps(record, indent=1))
    draw_learning(log, out / "learning.png")
    draw_scatter(
        held_out, predict(net.head, held_out), tables.RANGE_UM, out / "scatter.png", "held-out patches"
    )


def _inputs(head: Head, features: Features) -> torch.Tensor:
    """Return the inputs of the members, not standardised, (n, inputs)."""
    condenser = torch.from_numpy(features.condenser)[:, None] if head.takes_condenser else None
    with torch.no_grad():
        return head.raw_inputs(
            torch.from_numpy(features.spectral), torch.from_numpy(features.pooled), condenser
        )


def varies_condenser(features: Features) -> bool:
    """Whether the condenser is known for every patch, and differs between them."""
    known = bool(np.isfinite(features.condenser).all())
    return known and float(features.condenser.std()) > CONDENSER_ERROR
