"""Train the head that ships, on features of the spectra and of a frozen body, computed once for every patch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from parfocal.engines.model.contract import CondenserTerms
from parfocal.engines.model.head import Head as HeadArrays
from parfocal.engines.model.head import Prediction
from tools.arrays import FloatArray
from tools.learning.data.features import Features
from tools.learning.judged import tables
from tools.learning.judged.pictures import draw_learning, draw_scatter
from tools.learning.losses import (
    LINEAR_FROM,
    distance_weight,
    negative_log_likelihood,
    patch_weight,
    smooth_l1,
)
from tools.networks.focus import SUMMARY, FocusNet, Head, head_of, joined

MODEL_FILE = "model.pt"
# Uncertainty of the aperture of a condenser. The training adds this error, so that the head does not rely on more.
CONDENSER_ERROR = 0.015
REFERENCE_CONDENSER = 0.6  # of the reference instrument (`edge/simscope`)
REPORTS = 8
PREDICTED_AT_ONCE = 65_536  # inputs
SIGMA_WEIGHT = 0.1  # of the likelihood in the loss: the distance comes first
WITHIN_SIGMA = 0.683  # share of a normal distribution within one standard deviation
SMALLEST_EIGENVALUE = 1e-3  # of the correlation of features; smaller ones are noise
MOST_SHRUNK = 0.5
# Shares of the patches that are not strange.
STRANGE_QUANTILE = 0.995
STRANGE_QUANTILE_HELD_OUT = 0.99


@dataclass(frozen=True)
class FitRecipe:
    """The settings for the training of a head. The model card lists them."""

    epochs: int = 24
    fit_batch: int = 256
    fit_learning_rate: float = 2e-3
    fit_weight_decay: float = 0.05
    fit_seed: int = 1
    linear_from: float = LINEAR_FROM  # um of error


def refit(fit_batch: int = FitRecipe.fit_batch) -> FitRecipe:
    """Return the settings to train a trained head further, on other instruments or cameras: short, with a low rate."""
    return FitRecipe(epochs=12, fit_batch=fit_batch, fit_learning_rate=2e-4)


def with_fewer(recipe: FitRecipe) -> FitRecipe:
    """Return the settings to go on with the maps, after a head was trained on more patches."""
    return replace(recipe, epochs=min(10, recipe.epochs), fit_learning_rate=5e-4)


def prepare_summary(net: FocusNet, features: Features) -> None:
    """Set the principal directions of the maps from the features, if there are maps."""
    if net.summary is None:
        return
    pooled = features.pooled.astype(np.float64)
    mean, deviation = pooled.mean(axis=0), pooled.std(axis=0) + 1e-3
    correlation = np.corrcoef((pooled / deviation).T + 0.0)
    _, vectors = np.linalg.eigh(np.nan_to_num(correlation))
    rows = vectors[:, ::-1].T[:SUMMARY] / deviation
    with torch.no_grad():
        net.summary.weight.copy_(torch.from_numpy(rows))
        net.summary.bias.copy_(torch.from_numpy(-rows @ mean))


@dataclass(frozen=True)
class Inputs:
    """What a head learns from: features (n, features), condensers (n, 1) if it takes them, and the truth."""

    features: torch.Tensor
    condenser: torch.Tensor | None
    distance_um: torch.Tensor
    contrast: torch.Tensor


def inputs_of(net: FocusNet, features: Features, condensers: CondenserTerms | None) -> Inputs:
    """Return the inputs of the head of `net`. A condenser that is not known is the default one."""
    with torch.no_grad():
        both = net.together(torch.from_numpy(features.spectral), torch.from_numpy(features.pooled))
    return _inputs(both, features, condensers)


def _inputs(both: torch.Tensor, features: Features, condensers: CondenserTerms | None) -> Inputs:
    condenser = None
    if condensers is not None:
        known = np.nan_to_num(features.condenser, nan=condensers.default)
        condenser = torch.from_numpy(known.astype(np.float32))[:, None]
    return Inputs(
        both, condenser, torch.from_numpy(features.distance_um), torch.from_numpy(features.contrast)
    )


def _joined(parts: list[Inputs]) -> Inputs:
    condensers = [part.condenser for part in parts if part.condenser is not None]
    return Inputs(
        torch.cat([part.features for part in parts]),
        torch.cat(condensers) if condensers else None,
        torch.cat([part.distance_um for part in parts]),
        torch.cat([part.contrast for part in parts]),
    )


def _moved(given: Inputs, device: str) -> Inputs:
    return Inputs(
        given.features.to(device),
        None if given.condenser is None else given.condenser.to(device),
        given.distance_um.to(device),
        given.contrast.to(device),
    )


def prepare_head(head: Head, given: Inputs) -> None:
    """Set the standardisation of the inputs."""
    with torch.no_grad():
        inputs = head.inputs(given.features, given.condenser)
        head.mean.copy_(inputs.mean(dim=0))
        head.deviation.copy_(inputs.std(dim=0) + 1e-3)


def without_maps(head: Head, features: Features, condensers: CondenserTerms | None) -> Inputs:
    """Return the inputs of the head from spectra alone: the summary of the maps is its mean everywhere.

    The head does not read it then, and learns to when it goes on with maps.
    """
    n_spectral = features.spectral.shape[1]
    maps = slice(n_spectral, n_spectral + SUMMARY)
    with torch.no_grad():
        head.first.weight[:, maps] = 0.0
        mean = head.mean[maps].expand(len(features), SUMMARY)
    both = torch.cat([torch.from_numpy(features.spectral), mean], dim=1)
    return _inputs(both, features, condensers)


def prepare_strangeness(head: Head, given: Inputs, held_out: Inputs) -> None:
    """Set what the head calls strange: features that are rarely so far from those of the training.

    Few patches do not show how features vary together. So the correlation is shrunk the more, the fewer there are.
    Held-out patches count for the limit as well: the head must not refuse what it was measured on.
    """
    features = given.features.numpy().astype(np.float64)
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    correlation = ((features - mean) / deviation).T @ ((features - mean) / deviation) / len(features)
    shrunk = min(MOST_SHRUNK, features.shape[1] / len(features))
    values, vectors = np.linalg.eigh((1.0 - shrunk) * correlation + shrunk * np.eye(len(mean)))
    rows = (vectors / np.sqrt(np.maximum(values, SMALLEST_EIGENVALUE))).T / deviation
    with torch.no_grad():
        head.whitening.copy_(torch.from_numpy(rows))
        head.feature_mean.copy_(torch.from_numpy(mean))
        limits = [
            np.quantile(found, quantile)
            for found, quantile in (
                (predicted(head, given).strangeness, STRANGE_QUANTILE),
                (predicted(head, held_out).strangeness, STRANGE_QUANTILE_HELD_OUT),
            )
            if found is not None
        ]
        head.strangeness_limit.fill_(float(max(limits)))


def loss_of_member(
    outputs: torch.Tensor,
    distance_um: torch.Tensor,
    unit_um: torch.Tensor | float = 1.0,
    linear_from: float = LINEAR_FROM,
) -> torch.Tensor:
    """Return the loss of each patch (n,) for distance and log(sigma) of one member (n, 2), not weighted.

    Errors of distance count in units of `unit_um`, so that their share of the loss is the same for every objective.
    They count linearly from `linear_from` um on.
    """
    error_um = outputs[:, 0] - distance_um
    return smooth_l1(error_um, linear_from) / unit_um + SIGMA_WEIGHT * negative_log_likelihood(
        error_um, outputs[:, 1]
    )


def train_members(head: Head, given: Inputs, recipe: FitRecipe, report: Callable[[int, float], None]) -> None:
    """Train every member by itself, each on its own order of patches. `report` gets patches seen and loss."""
    torch.manual_seed(recipe.fit_seed)
    inputs, truth = head.inputs(given.features, given.condenser), given.distance_um
    weight = patch_weight(given.contrast) * distance_weight(truth / head.unit_um)
    steps = max(1, len(inputs) // recipe.fit_batch)
    error = CONDENSER_ERROR / float(head.deviation[-1])
    trained = [*head.first.parameters(), *head.members.parameters()]
    optimiser = torch.optim.AdamW(trained, lr=recipe.fit_learning_rate, weight_decay=recipe.fit_weight_decay)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.fit_learning_rate, total_steps=recipe.epochs * steps
    )
    losses: list[torch.Tensor] = []
    due = max(1, recipe.epochs * steps // REPORTS)
    for epoch in range(recipe.epochs):
        head.train()
        orders = [torch.randperm(len(inputs), device=inputs.device) for _ in head.members]
        for step in range(steps):
            total = torch.zeros((), device=inputs.device)
            for member, order in enumerate(orders):
                chosen = order[step * recipe.fit_batch : (step + 1) * recipe.fit_batch]
                x = head.standardised(inputs[chosen])
                if head.takes_condenser:
                    x[:, -1] += error * torch.randn(len(x), device=x.device)
                outputs = head.outputs_of(member, x)
                loss = loss_of_member(outputs, truth[chosen], head.unit_um, recipe.linear_from)
                total = total + (weight[chosen] * loss).sum() / weight[chosen].sum()
            optimiser.zero_grad()
            total.backward()
            optimiser.step()
            rates.step()
            losses.append(total.detach() / len(head.members))
            done = epoch * steps + step + 1
            if done % due == 0 or done == recipe.epochs * steps:
                report(done * recipe.fit_batch, float(torch.stack(losses).mean()))
                losses.clear()
                head.train()
    head.eval()


def calibrate_sigma(head: Head, held_out: Inputs) -> None:
    """Scale the members' own uncertainties so that two thirds of the held-out errors are within the predicted one."""
    low, high = -3.0, 3.0
    bias = [member[-1].bias.detach() for member in head.members]
    before = [float(b[1]) for b in bias]
    for _ in range(30):
        middle = 0.5 * (low + high)
        for own, first in zip(bias, before, strict=True):
            own[1] = first + middle
        found = predicted(head, held_out)
        error_um = np.abs(found.distance_um - held_out.distance_um.numpy())
        too_small = found.sigma_um is not None and float((error_um <= found.sigma_um).mean()) < WITHIN_SIGMA
        low, high = (middle, high) if too_small else (low, middle)


def predicted(head: Head, given: Inputs) -> Prediction:
    """Return the predictions of a head as the product applies it."""
    inputs = (
        given.features if given.condenser is None else torch.cat([given.features, given.condenser], dim=1)
    ).numpy()
    applied = head.arrays()
    # The members of a head together need more memory than a training has, for all at once.
    starts = range(0, len(inputs), PREDICTED_AT_ONCE)
    return Prediction.of_parts([applied.predict_inputs(inputs[k : k + PREDICTED_AT_ONCE]) for k in starts])


def fit(
    net: FocusNet,
    head: Head,
    condensers: CondenserTerms | None,
    recipes: dict[str, Any],
    recipe: FitRecipe,
    features: Features,
    held_out: Features,
    out: Path,
    say: Callable[[str], None],
    range_um: float = tables.RANGE_UM,
    spectra: Features | None = None,
    changed: Features | None = None,
    device: str = "cpu",
    kept: HeadArrays | None = None,
) -> None:
    """Train the head, measure it on held-out patches, and save it in `out` with `net` and its plots.

    With `spectra`, of patches whose maps were not computed, the head is trained on the spectra of all patches first.
    It is trained on `device`. Its uncertainty is scaled on `changed`, or else on the held-out patches. The members of
    `kept`, which read the same features, join those that were trained.
    """
    log: list[dict[str, Any]] = []
    given, tests = inputs_of(net, features, condensers), inputs_of(net, held_out, condensers)

    n_patches = len(features) + (0 if spectra is None else len(spectra))

    seen_before = 0  # in the stages that are over

    def report(seen: int, loss: float) -> None:
        head.eval()
        seen += seen_before
        groups = tables.by_group(held_out, predicted(head, tests).distance_um, range_um)
        log.append({"patches": seen, "examples": n_patches, "loss": round(loss, 4), "groups": groups})
        say(f"head: {seen} patches of {n_patches}: loss {loss:.3f}, held out {tables.in_a_line(groups)}")

    head.to(device)
    if spectra is not None:
        both = [without_maps(head, part, condensers) for part in (features, spectra)]
        train_members(head, _moved(_joined(both), device), recipe, report)
        recipe, seen_before = with_fewer(recipe), int(log[-1]["patches"])
    train_members(head, _moved(given, device), recipe, report)
    head.cpu()
    if kept is not None:
        head = head_of(joined(kept, head.arrays()), condensers is not None).eval()
    calibrate_sigma(head, tests if changed is None else inputs_of(net, changed, condensers))
    prepare_strangeness(head, given, tests)
    settings = {**asdict(recipe), "members": len(head.members)}
    save(net, head, condensers, recipes, settings, log, out)
    distance_um: FloatArray = predicted(head, tests).distance_um
    draw_scatter(held_out, distance_um, range_um, out / "scatter.png", "held-out patches")


def save(
    net: FocusNet,
    head: Head,
    condensers: CondenserTerms | None,
    recipes: dict[str, Any],
    settings: dict[str, Any],
    log: list[dict[str, Any]],
    out: Path,
) -> None:
    """Save a trained network with its head and log in `out`, as `tools.export` reads them, and draw the log.

    `recipes` are the fields of its `Recipe`, `settings` the further ones that the card lists.
    """
    torch.save(
        {
            "recipe": recipes,
            "condensers": None if condensers is None else msgspec.structs.astuple(condensers),
            "net": net.state_dict(),
            "head": head.state_dict(),
        },
        out / MODEL_FILE,
    )
    record = {"recipe": {**recipes, **settings}, "log": log}
    (out / "log.json").write_text(json.dumps(record, indent=1))
    draw_learning(log, out / "learning.png")


def condensers_of(features: Features) -> CondenserTerms | None:
    """Return the condensers of the patches; None if one is not known, or if they hardly differ."""
    known = bool(np.isfinite(features.condenser).all())
    if not known or float(features.condenser.std()) <= CONDENSER_ERROR:
        return None
    least, most = (round(float(end), 2) for end in (features.condenser.min(), features.condenser.max()))
    return CondenserTerms(default=min(max(REFERENCE_CONDENSER, least), most), least=least, most=most)
