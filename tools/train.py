"""Train the difference network on shards of ``tools.synthesize``: ``python -m tools.train --help``.

The checkpoint holds everything: a stopped training continues where it was with the same command.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parfocal.edge.prepare import MIN_STANDARD_DEVIATION
from tools.network import DifferenceNet

# The weight of a patch is its contrast (dastidar2020 2.4.2), bounded: an all but empty patch still counts a
# little, and one very dark patch does not outvote the batch.
CONTRAST_BOUNDS = (2.0, 60.0)
CALIBRATION_BATCHES = 16

Averaging = Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor | int], None]


@dataclass(frozen=True)
class Recipe:
    """What the model card repeats."""

    seed: int = 1
    batch: int = 48
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    warm_up_steps: int = 300
    average_decay: float = 0.998


class Pairs:
    """All pairs of the shards read so far; ``refresh`` reads those that have come since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self.difference: list[NDArray[np.int8]] = []
        self.distance_um: list[float] = []
        self.contrast: list[float] = []
        self.group: list[str] = []

    def refresh(self, most_shards: int | None = None) -> None:
        """Read new shards, at most ``most_shards`` of them."""
        for path in sorted(self._folder.glob("*.npz"))[:most_shards]:
            if path.name in self._seen or path.name.endswith(".partial.npz"):
                continue
            self._seen.add(path.name)
            shard = np.load(path)
            self.difference += list(shard["difference"])
            self.distance_um += shard["distance_um"].tolist()
            self.contrast += shard["contrast"].tolist()
            self.group += shard["group"].tolist()

    def __len__(self) -> int:
        return len(self.distance_um)


def smooth_l1(x: torch.Tensor) -> torch.Tensor:
    """Eq. 1 of dastidar2020, elementwise."""
    return torch.where(x.abs() > 0.5, 0.5 * (x.abs() - 0.25), 0.5 * x * x)


def distance_weight(distance_um: torch.Tensor) -> torch.Tensor:
    """Eq. 2: near distances count more."""
    return 1.0 / (torch.log(distance_um.abs() + 1.0) + 1.0)


def standardised(x: torch.Tensor) -> torch.Tensor:
    """The same as ``parfocal.edge.prepare.standardised``, in torch."""
    x = x - x.mean(dim=(2, 3), keepdim=True)
    return x / x.std(dim=(2, 3), keepdim=True, correction=0).clamp_min(MIN_STANDARD_DEVIATION)


def batch_of(
    pairs: Pairs, rng: np.random.Generator, size: int, side_px: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A random batch: cropped, mirrored and turned, with a little noise more; input, distance_um, contrast."""
    chosen = rng.integers(0, len(pairs), size)
    images = []
    for k in chosen:
        image = pairs.difference[k]
        top, left = rng.integers(0, image.shape[1] - side_px + 1, 2)
        image = image[:, top : top + side_px, left : left + side_px]
        image = np.rot90(image, int(rng.integers(4)), axes=(1, 2))
        images.append(image[:, :, ::-1] if rng.random() < 0.5 else image)
    x = torch.from_numpy(np.ascontiguousarray(np.stack(images), dtype=np.float32))
    x = x * torch.empty(size, 3, 1, 1).uniform_(0.8, 1.25)
    x = standardised(x + 0.3 * torch.rand(size, 1, 1, 1) * torch.randn_like(x))
    distance = torch.tensor([pairs.distance_um[k] for k in chosen])
    contrast = torch.tensor([pairs.contrast[k] for k in chosen]).clamp(*CONTRAST_BOUNDS)
    return x.to(memory_format=torch.channels_last), distance, contrast


def predict(net: nn.Module, pairs: Pairs, batch: int = 32) -> NDArray[np.float32]:
    """Predictions for all pairs, whole patches; (n,)."""
    net.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(pairs), batch):
            x = torch.from_numpy(np.stack(pairs.difference[start : start + batch]).astype(np.float32))
            parts.append(net(standardised(x)).numpy())
    return np.concatenate(parts).astype(np.float32)


def table(
    pairs: Pairs, predicted_um: NDArray[np.float32], range_um: float = 10.0, min_contrast: float = 4.0
) -> dict[str, dict[str, float]]:
    """Errors by group: mean, deviation and median in um, and the share of wrong signs beyond 1 um."""
    truth = np.array(pairs.distance_um)
    usable = (np.abs(truth) <= range_um) & (np.array(pairs.contrast) >= min_contrast)
    rows: dict[str, dict[str, float]] = {}
    for group in [*sorted(set(pairs.group)), "all"]:
        mask = usable & ((np.array(pairs.group) == group) | (group == "all"))
        error = np.abs(predicted_um[mask] - truth[mask])
        far = np.abs(truth[mask]) > 1.0
        wrong = np.sign(predicted_um[mask][far]) != np.sign(truth[mask][far])
        rows[group] = {
            "n": int(mask.sum()),
            "mean_um": round(float(error.mean()), 3),
            "sd_um": round(float(error.std()), 3),
            "median_um": round(float(np.median(error)), 3),
            "wrong_sign": round(float(wrong.mean()), 4),
        }
    return rows


def _running_average(decay: float) -> Averaging:
    """An exponential average whose memory grows from a few steps to ``1 / (1 - decay)``."""

    def update(average: list[torch.Tensor], now: list[torch.Tensor], n_averaged: torch.Tensor | int) -> None:
        share = max(1.0 - decay, 9.0 / (10.0 + float(n_averaged)))
        for kept, new in zip(average, now, strict=True):
            kept.detach().lerp_(new.detach(), share)

    return update


def recalibrate(net: nn.Module, batches: list[torch.Tensor]) -> None:
    """Set the statistics of batch normalisation from whole patches.

    Averaged weights never saw the statistics of their own activations, and crops have others than patches.
    """
    layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
    net.train()
    with torch.no_grad():
        for x in batches:
            net(x)
    net.eval()


class Training:
    """Network, optimiser and running average with their checkpoint."""

    def __init__(self, recipe: Recipe, out: Path) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.step, self.patches = recipe, out, 0, 0
        self.net = DifferenceNet().to(memory_format=torch.channels_last)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.net,
            multi_avg_fn=_running_average(recipe.average_decay),
        )
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.log: list[dict[str, object]] = []
        self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.patches, self.log = state["step"], state["patches"], json.loads(state["log"])

    def save(self) -> None:
        """Write the checkpoint atomically and the log beside it."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "patches": self.patches,
            "log": json.dumps(self.log),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        record = {"recipe": asdict(self.recipe), "log": self.log}
        (self.out / "log.json").write_text(json.dumps(record, indent=1))

    def learn(
        self, x: torch.Tensor, distance: torch.Tensor, contrast: torch.Tensor, rate: float, near: bool
    ) -> float:
        """One step; eq. 3 with the distance weight only when ``near``."""
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate) * min(1.0, (self.step + 1) / self.recipe.warm_up_steps)
        weight = contrast.sqrt() * (distance_weight(distance) if near else 1.0)
        loss = (weight * smooth_l1(self.net(x) - distance)).sum() / weight.sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.net)
        self.step += 1
        self.patches += len(x)
        return float(loss.detach())


def run(args: argparse.Namespace) -> None:
    """Train for ``--minutes`` with a rate that falls to nothing at the end (half a cosine)."""
    training = Training(Recipe(seed=args.seed), args.out)
    pairs, test = Pairs(args.data), Pairs(args.held_out)
    pairs.refresh()
    test.refresh()
    rng = np.random.default_rng([args.seed, training.step])
    began, last, losses = time.monotonic(), time.monotonic(), []
    while (elapsed := time.monotonic() - began) < args.minutes * 60.0:
        share = elapsed / (args.minutes * 60.0)
        rate = (
            training.recipe.learning_rate
            * args.rate
            * (0.5 * (1.0 + np.cos(np.pi * share)) if args.anneal else 1.0)
        )
        batch = batch_of(pairs, rng, training.recipe.batch, args.side)
        losses.append(training.learn(*batch, rate=max(rate, 1e-5), near=args.phase == 2))
        if time.monotonic() - last > args.report_s:
            report(training, pairs, test, float(np.mean(losses)), args)
            last, losses = time.monotonic(), []
            pairs.refresh()
    report(training, pairs, test, float(np.mean(losses or [0.0])), args)


def report(training: Training, pairs: Pairs, test: Pairs, loss: float, args: argparse.Namespace) -> None:
    """Measure on the held-out pairs, print a line, keep it, save."""
    n_pairs, rng = len(pairs), np.random.default_rng(training.step)
    whole = [batch_of(pairs, rng, 32, pairs.difference[0].shape[1])[0] for _ in range(CALIBRATION_BATCHES)]
    recalibrate(training.average.module, whole)
    rows = table(test, predict(training.average.module, test))
    training.log.append(
        {
            "patches": training.patches,
            "pairs": n_pairs,
            "loss": loss,
            "side": args.side,
            "phase": args.phase,
            "table": rows,
        }
    )
    training.save()
    short = "  ".join(f"{g} {r['mean_um']:.2f}/{100 * r['wrong_sign']:.1f}%" for g, r in rows.items())
    print(f"{training.patches} patches of {n_pairs} pairs, loss {loss:.3f} | {short}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--side", type=int, default=224, help="crop of the patches, px")
    parser.add_argument(
        "--phase", type=int, choices=(1, 2), default=1, help="2 weighs near distances more (eq. 2)"
    )
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rate")
    parser.add_argument("--anneal", action="store_true", help="let the rate fall to nothing at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report-s", type=float, default=120.0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run(args)


if __name__ == "__main__":
    main()
