"""The state of a training: network, optimiser and running average."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tools.learning.data import batches
from tools.learning.data.examples import Examples
from tools.learning.losses import loss_of
from tools.learning.recipe import Recipe

FROZEN_BATCHES = 32
LEARNING_RATE_FLOOR = 0.01
# In the last part the statistics of batch normalisation are fixed, as they are in use. A network trained only with the
# statistics of each batch has a bias on single patches.
FROZEN_SHARE = 0.91
FROZEN_RATE = 0.1
DECAY_SHARE = 0.3  # share of the time after which the learning rate falls

Averaging = Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor | int], None]


def rate_at(share: float) -> float:
    """Return the factor on the learning rate after `share` of the time: constant, then half a cosine down."""
    if share >= FROZEN_SHARE:
        return FROZEN_RATE
    falling = max(0.0, share - DECAY_SHARE) / (1.0 - DECAY_SHARE)
    return max(LEARNING_RATE_FLOOR, 0.5 * (1.0 + math.cos(math.pi * min(1.0, falling))))


def _running_average(decay: float) -> Averaging:
    """Return an exponential average whose memory grows from a few steps to `1 / (1 - decay)`."""

    def update(average: list[torch.Tensor], now: list[torch.Tensor], n_averaged: torch.Tensor | int) -> None:
        share = max(1.0 - decay, 9.0 / (10.0 + float(n_averaged)))
        for kept, new in zip(average, now, strict=True):
            kept.detach().lerp_(new.detach(), share)

    return update


def recalibrate(net: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Set the statistics of batch normalisation from whole patches.

    The averaged weights have no statistics of their own, and crops have other statistics than patches.
    """
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean over the batches
    net.train()
    with torch.no_grad():
        for x in inputs:
            net(x)
    net.eval()


class Training:
    """Network, optimiser and running average, with a checkpoint in the folder `out`."""

    def __init__(self, recipe: Recipe, out: Path, device: str) -> None:
        """Resume the training in `out`, or start one. Raises SystemExit if `out` has a training with another recipe."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.out, self.device = recipe, out, device
        self.step, self.patches, self.elapsed_s, self.frozen = 0, 0, 0.0, False
        self.log: list[dict[str, Any]] = []
        self.net = recipe.network().to(device, memory_format=torch.channels_last)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.net, multi_avg_fn=_running_average(recipe.average_decay)
        )
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, foreach=True
        )
        if self._checkpoint.exists():
            self._resume()

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True, map_location=self.device)
        if state["recipe"] != asdict(self.recipe):
            raise SystemExit(
                f"{self.out} contains a training with another recipe, {state['recipe']}; this one is "
                f"{asdict(self.recipe)}. Use another --out, or the options of that training."
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.patches, self.elapsed_s = state["step"], state["patches"], state["elapsed_s"]
        self.frozen = state["frozen"]
        self.log = json.loads(state["log"])

    def freeze(self, examples: Examples) -> None:
        """Continue from the average, with fixed statistics from many whole patches."""
        self.net.load_state_dict(self.average.module.state_dict())
        self.recalibrate(self.net, examples, FROZEN_BATCHES)
        self.frozen = True

    def recalibrate(self, net: nn.Module, examples: Examples, n_batches: int) -> None:
        """Set the statistics of `net` from whole patches, drawn anew at every step."""
        rng = np.random.default_rng(self.step)
        chosen = [rng.integers(0, len(examples), 32) for _ in range(n_batches)]
        recalibrate(net, [batches.whole(examples, part, self.device) for part in chosen])

    def save(self) -> None:
        """Write the checkpoint atomically, and the log beside it."""
        state = {
            "recipe": asdict(self.recipe),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "patches": self.patches,
            "elapsed_s": self.elapsed_s,
            "frozen": self.frozen,
            "log": json.dumps(self.log),
        }
        self.out.mkdir(parents=True, exist_ok=True)
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        record = {"recipe": asdict(self.recipe), "log": self.log}
        (self.out / "log.json").write_text(json.dumps(record, indent=1))

    def learn(self, batch: batches.Batch, rate: float, phase: int, frozen: bool = False) -> float:
        """Do one step and return its loss.

        Args:
            batch: the examples.
            rate: factor on the learning rate of the recipe.
            phase: 1, or 2 to weight by distance as well.
            frozen: whether the statistics of batch normalisation stay fixed.
        """
        self.net.train()
        for layer in self.net.modules():
            if frozen and isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        warm = min(1.0, (self.step + 1) / self.recipe.warm_up_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * rate * warm
        loss = loss_of(self.net.outputs(batch.x), batch.distance_um, batch.contrast, phase)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.net)
        self.step += 1
        self.patches += len(batch.x)
        return float(loss.detach())
