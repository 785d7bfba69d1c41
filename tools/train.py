"""Train a network on stacks, recorded or made: ``python -m tools.train --help``.

The body, the papers' convolutions, is trained with a linear head: most of the time on small crops without the distance
weight, the last part on whole patches with it, the paper's second phase. The checkpoint holds everything: a stopped
training continues where it was with the same command. Then, in minutes, the head that ships is taught to hear the
spectra of the patches beside the body (``tools.learning.fit``). With ``--start`` the body of a model is kept, and only
the head is taught.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from parfocal.engines.model.contract import CHANNELS, Kind
from tools.learning import batches, fit, tables
from tools.learning.examples import Examples
from tools.learning.features import Features, together
from tools.learning.kept_features import of_folder
from tools.learning.losses import loss_of
from tools.learning.pictures import draw_learning, draw_scatter
from tools.learning.start import body_from, head_from, is_spectral, start_from
from tools.networks.focus import FocusNet
from tools.networks.layers import Body
from tools.networks.single import SingleNet
from tools.networks.two_shot import TwoShotNet
from tools.progress import shown_progress

CALIBRATION_BATCHES, FROZEN_BATCHES = 12, 32
CURVE_PX = 400 * 224**2  # of held-out patches measured at every report; all of them at the end
START_BATCH = 64  # patches that stand for all where a training begins with the weights of a model
LEARNING_RATE_FLOOR = 0.01
PHASE_2_SHARE = 0.5  # of the time after which phase 2 begins
# The last part keeps the statistics of batch normalisation as they will be in use: with those of each batch a network
# learns to be right in company, and reads single patches with a bias.
FROZEN_SHARE = 0.91
FROZEN_RATE = 0.1
DECAY_SHARE = 0.3  # of the time after which the learning rate falls

Averaging = Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor | int], None]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What decides a training beside its data and its time; the model card repeats it."""

    kind: Kind = "pair"
    head: str = "spectrum"
    delta_um: float = 2.0
    patch_px: int = 224
    crop_px: int = 128
    seed: int = 1
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    warm_up_steps: int = 300
    average_decay: float = 0.998
    planes_together: int = 1

    def network(self) -> Body:
        """An untrained body of this kind with the linear head that it is trained with."""
        if self.kind == "single":
            return SingleNet()
        flatten_px = self.patch_px if self.head == "flatten" else None
        return TwoShotNet(CHANNELS[self.kind], flatten_px)

    def with_spectra(self, body: Body, told_condenser: bool) -> FocusNet:
        """The body with the spectra and an untaught head."""
        return FocusNet(body, CHANNELS[self.kind], self.patch_px, told_condenser)


def rate_at(share: float) -> float:
    """Factor on the learning rate after ``share`` of the time: constant, then half a cosine down."""
    if share >= FROZEN_SHARE:
        return FROZEN_RATE
    falling = max(0.0, share - DECAY_SHARE) / (1.0 - DECAY_SHARE)
    return max(LEARNING_RATE_FLOOR, 0.5 * (1.0 + math.cos(math.pi * min(1.0, falling))))


def predict(net: nn.Module, examples: Examples, device: str, chosen: NDArray[np.int64]) -> FloatArray:
    """Predictions for whole patches, (n,)."""
    net.eval()
    with torch.no_grad():
        parts = [
            net(batches.whole(examples, part, device)).cpu().numpy()
            for part in np.array_split(chosen, max(1, len(chosen) // 16))
        ]
    return np.concatenate(parts).astype(np.float32)


def _running_average(decay: float) -> Averaging:
    """An exponential average whose memory grows from a few steps to ``1 / (1 - decay)``."""

    def update(average: list[torch.Tensor], now: list[torch.Tensor], n_averaged: torch.Tensor | int) -> None:
        share = max(1.0 - decay, 9.0 / (10.0 + float(n_averaged)))
        for kept, new in zip(average, now, strict=True):
            kept.detach().lerp_(new.detach(), share)

    return update


def recalibrate(net: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Set the statistics of batch normalisation from whole patches.

    Averaged weights never saw the statistics of their own activations, and crops have others than patches.
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
    """Network, optimiser and running average with their checkpoint in the folder ``out``."""

    def __init__(self, recipe: Recipe, out: Path, device: str) -> None:
        """Continue the training in ``out``, or begin one. Raises SystemExit where another recipe was begun there."""
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
                f"{self.out} holds a training by another recipe, {state['recipe']}; this one is "
                f"{asdict(self.recipe)}. Give another --out, or the options of that one."
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.patches, self.elapsed_s = state["step"], state["patches"], state["elapsed_s"]
        self.frozen = state["frozen"]
        self.log = json.loads(state["log"])

    def freeze(self, examples: Examples) -> None:
        """Go on from the average with statistics of many whole patches, which change no more."""
        self.net.load_state_dict(self.average.module.state_dict())
        self.recalibrate(self.net, examples, FROZEN_BATCHES)
        self.frozen = True

    def recalibrate(self, net: nn.Module, examples: Examples, n_batches: int) -> None:
        """Set the statistics of ``net`` from whole patches, other ones at every step."""
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
        """One step with ``rate`` times the recipe's learning rate, the statistics ``frozen`` or not; the loss."""
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


def run(training: Training, data: Path, held_out: Path, args: argparse.Namespace) -> None:
    """Train until ``--minutes`` of training are spent, those before a stop included."""
    recipe, console = training.recipe, Console()
    examples = Examples(data, recipe.kind, recipe.delta_um, args.stored_px[0])
    tests = Examples(held_out, recipe.kind, recipe.delta_um, recipe.patch_px)
    for part, folder in ((examples, data), (tests, held_out)):
        part.refresh()
        for line in part.left_out:
            console.print(f"left out {line}", highlight=False, soft_wrap=True)
        if not len(part):
            raise SystemExit(f"{folder} holds no stack that {recipe.kind} examples can be cut from")
    if args.start and training.step == 0:
        first = np.random.default_rng(recipe.seed).integers(0, len(examples), START_BATCH)
        start_from(training.net, args.start, batches.whole(examples, first, training.device))
    whole_s, losses = args.minutes * 60.0, []
    rng = np.random.default_rng([recipe.seed, training.step])
    last_report = time.monotonic()
    with shown_progress(console, "training", whole_s, training.elapsed_s) as tell:
        while training.elapsed_s < whole_s:
            began = time.monotonic()
            share = training.elapsed_s / whole_s
            phase = 2 if share >= PHASE_2_SHARE else 1
            side_px = args.stored_px[0] if phase == 2 or recipe.head == "flatten" else recipe.crop_px
            batch = batches.random_batch(
                examples, rng, recipe.batch, recipe.planes_together, side_px, training.device
            )
            if share >= FROZEN_SHARE and not training.frozen:
                training.freeze(examples)
            losses.append(training.learn(batch, rate_at(share), phase, training.frozen))
            training.elapsed_s += time.monotonic() - began
            tell(training.elapsed_s)
            if time.monotonic() - last_report > args.report_s:
                console.print(report(training, examples, tests, losses), highlight=False, soft_wrap=True)
                losses = []
                examples.refresh()
                last_report = time.monotonic()
    console.print(report(training, examples, tests, losses, complete=True), highlight=False, soft_wrap=True)


def report(
    training: Training, examples: Examples, tests: Examples, losses: list[float], complete: bool = False
) -> str:
    """Measure on held-out patches, keep and draw what was found, save; a line of it."""
    net = training.average.module
    if training.frozen:
        for kept, new in zip(net.buffers(), training.net.buffers(), strict=True):
            kept.copy_(new)
    else:
        training.recalibrate(net, examples, CALIBRATION_BATCHES)
    measured = len(tests) if complete else CURVE_PX // training.recipe.patch_px**2
    some = np.random.default_rng(1).permutation(len(tests))[:measured]
    predicted_um = predict(net, tests, training.device, some)
    shown = tests.part(some)
    groups = tables.by_group(shown, predicted_um, tables.RANGE_UM)
    training.log.append(
        {
            "patches": training.patches,
            "examples": len(examples),
            "minutes": round(training.elapsed_s / 60.0, 1),
            "loss": round(float(np.mean(losses or [0.0])), 4),
            "groups": groups,
        }
    )
    training.save()
    draw_learning(training.log, training.out / "learning.png")
    draw_scatter(
        shown,
        predicted_um,
        tables.RANGE_UM,
        training.out / "scatter.png",
        f"held-out patches after {training.patches} patches",
    )
    entry = training.log[-1]
    return (
        f"{entry['minutes']} min, {training.patches} patches of {len(examples)}: "
        f"loss {entry['loss']:.3f}, held out {tables.in_a_line(groups)}"
    )


def teach_head(
    recipe: Recipe,
    body: Body,
    data: Path,
    held_out: Path,
    out: Path,
    args: argparse.Namespace,
) -> None:
    """Teach the head that ships, of a body that is trained; from the one of ``--start`` where that has one."""
    say = Console().out
    body.to(args.device).eval()

    def heard(folder: Path, name: str, side_px: int) -> Features:
        examples = Examples(folder, recipe.kind, recipe.delta_um, side_px)
        listener = FocusNet(body, CHANNELS[recipe.kind], side_px, told_condenser=False).to(args.device)
        return of_folder(listener, examples, args.device, out / f"features-{name}", say)

    out.mkdir(parents=True, exist_ok=True)
    training = together([heard(data, f"data-{side_px}", side_px) for side_px in args.stored_px])
    tests = heard(held_out, "held-out", recipe.patch_px)
    taught_before = args.start is not None and is_spectral(args.start)
    net = recipe.with_spectra(body.cpu(), not taught_before and fit.told_condenser(training))
    if taught_before:
        head_from(net.head, args.start)
    else:
        fit.prepare_head(net.head, training)
    how = fit.refit() if taught_before else fit.FitRecipe()
    fit.fit(net, asdict(recipe), how, training, tests, out, say)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Recipe()
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of stacks; its subfolders are groups"
    )
    parser.add_argument(
        "--held-out", type=Path, required=True, help="folder of stacks never to be learned from"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint and the pictures")
    parser.add_argument(
        "--kind",
        choices=("pair", "difference", "single"),
        default=default.kind,
        help="what the network sees: difference and second shot, the difference alone (dastidar2020), one shot "
        "(liao2021)",
    )
    parser.add_argument(
        "--head",
        choices=("spectrum", "average", "flatten"),
        default=default.head,
        help="hears the spectra and the averaged map, only the averaged map, or the whole map (dastidar2020)",
    )
    parser.add_argument("--delta-um", type=float, default=default.delta_um)
    parser.add_argument("--patch-px", type=int, help="side of the model's patches; 224, of a single shot 672")
    parser.add_argument(
        "--stored-px",
        type=int,
        nargs="+",
        default=[224],
        help="side of the patches cut from the data; where there are several, the head hears all, the body the first",
    )
    parser.add_argument(
        "--crop-px",
        type=int,
        default=default.crop_px,
        help="side of the crops that most of the time goes into",
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="NAME.onnx to begin with; its body is kept where --head is spectrum, else use a lower --learning-rate",
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--learning-rate", type=float, default=default.learning_rate)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--report-s", type=float, default=300.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    recipe = Recipe(
        kind=args.kind,
        head=args.head,
        delta_um=args.delta_um,
        patch_px=args.patch_px or (672 if args.kind == "single" else 224),
        crop_px=args.crop_px,
        seed=args.seed,
        batch=args.batch,
        learning_rate=args.learning_rate,
        planes_together=4 if args.kind == "single" else 1,
    )
    if recipe.head == "spectrum" and args.start:
        body = recipe.network()
        body_from(body, args.start)
    else:
        training = Training(recipe, args.out, args.device)
        run(training, args.data, args.held_out, args)
        body = training.average.module
    if recipe.head == "spectrum":
        teach_head(recipe, body, args.data, args.held_out, args.out, args)


if __name__ == "__main__":
    main()
