"""Train body, summary and head of a model together on frames in the memory of a GPU, then the head alone."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parfocal.engines.model.contract import CHANNELS, CondenserTerms
from tools.learning import fit
from tools.learning.data.store import Cut, FrameStore, Indices
from tools.learning.judged import tables
from tools.learning.losses import distance_weight, patch_weight
from tools.learning.recipe import Recipe
from tools.networks.focus import MEMBERS, FocusNet, Head
from tools.networks.spectrum import Spectrum
from tools.networks.standardising import standardised
from tools.rendering.instruments import CONDENSERS, REFERENCE_CONDENSER
from tools.rendering.seen import PATCH_PX, SINGLE_PX

BODY_RATE, HEAD_RATE = 4e-4, 2e-3
WEIGHT_DECAY = 0.02
LARGEST_GRADIENT = 5.0
WARM_UP_SHARE = 0.08
SMALLEST_RATE = 1e-3  # of the rates above, at both ends
BLOCKS_PER_SINGLE = 6  # a single shot of 672 px needs nine times the work of one of 224 px
STANDARDISING_BATCHES = 32
# Of the features for the head: patches of 224 px on each plane of a frame, and shots of 672 px, each counted twice.
PAIRS_PER_PLANE, BLOCKS_PER_PLANE, SINGLES_PER_PLANE, SINGLE_TIMES = 10, 8, 2, 2
HELD_OUT_PER_PLANE = 8
EPOCHS, BATCH = 16, 1024
MOST_FOR_STRANGENESS = 60_000
REPORT_S = 10.0


class JointTraining:
    """One model. Its distances and uncertainties are those of one objective."""

    def __init__(self, net: FocusNet, recipe: Recipe, range_um: float, device: str) -> None:
        self.recipe, self.device, self._range_um = recipe, device, range_um
        torch.manual_seed(recipe.seed)
        self._rng = np.random.default_rng(recipe.seed)
        self.net = net.to(device).eval()  # statistics of the batch normalisation stay as they are
        self.head = Head(net.n_features, takes_condenser=True).to(device)
        self.condensers = CondenserTerms(REFERENCE_CONDENSER, *CONDENSERS)
        self._spectra = {
            side_px: Spectrum(CHANNELS[recipe.kind], side_px).to(device)
            for side_px in ((PATCH_PX,) if recipe.kind == "pair" else (PATCH_PX, SINGLE_PX))
        }
        self.patches = 0
        self._log: list[dict[str, Any]] = []

    def learn(
        self, store: FrameStore, end_s: float, take: Callable[[], None], say: Callable[[str], None]
    ) -> None:
        """Train until `time.monotonic()` is `end_s`. `take` adds the frames that came meanwhile."""
        self._standardise(store)
        dense = [*self.head.first.parameters(), *self.head.members.parameters()]
        groups = [
            {
                "params": [*self.net.body.features.parameters(), *self.net.summary.parameters()],
                "lr": BODY_RATE,
            },
            {"params": dense, "lr": HEAD_RATE},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        trained = [parameter for group in groups for parameter in group["params"]]  # type: ignore[attr-defined]
        begin_s = last_s = time.monotonic()
        losses: list[torch.Tensor] = []
        step = 0
        self.head.train()
        while (now_s := time.monotonic()) < end_s:
            rate = _rate_at((now_s - begin_s) / (end_s - begin_s))
            for group, top in zip(optimiser.param_groups, (BODY_RATE, HEAD_RATE), strict=True):
                group["lr"] = top * rate
            loss = self._loss(self._batch(store, step))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
            optimiser.step()
            losses.append(loss.detach() / MEMBERS)
            step += 1
            take()
            if now_s - last_s > REPORT_S:
                mean = float(torch.stack(losses).mean())
                say(f"{step} steps, {self.patches} patches of {store.n_frames} frames: loss {mean:.3f}")
                losses, last_s = [], now_s
        self.head.eval()

    def _loss(self, cut: Cut) -> torch.Tensor:
        features = self._features(cut, half=True)
        x = self.head.standardised(self.head.inputs(features, cut.condenser[:, None]))
        weight = patch_weight(cut.contrast) * distance_weight(cut.distance_um) * cut.usable
        total = torch.zeros((), device=self.device)
        for member in range(MEMBERS):
            loss = fit.loss_of_member(self.head.outputs_of(member, x), cut.distance_um)
            total = total + (weight * loss).sum() / weight.sum().clamp_min(1.0)
        self.patches += len(cut.distance_um)
        return total

    def _features(self, cut: Cut, half: bool) -> torch.Tensor:
        """Return the features of patches; with `half` the body computes in bfloat16 on a GPU."""
        x = standardised(cut.x)
        with torch.no_grad():
            spectral = self._spectra[x.shape[-1]](x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half and x.is_cuda):
            pooled = self.net.body.pooled(x)
        return self.net.together(spectral, pooled.float())

    def _batch(self, store: FrameStore, step: int) -> Cut:
        n, rng = self.recipe.batch, self._rng
        if self.recipe.kind == "pair":
            frame = rng.integers(0, store.n_frames, n)
            return store.pairs_at(store.patches(frame, rng.integers(1, store.n_planes, n), rng))
        if step % 2:
            n = max(1, n // BLOCKS_PER_SINGLE)
            frame = rng.choice(store.teaching(objects=1), n)
            return store.shots_at(store.squares(frame, rng.integers(0, store.n_planes, n), rng), SINGLE_PX)
        frame = rng.choice(store.teaching(), n)
        return store.shots_at(store.patches(frame, rng.integers(0, store.n_planes, n), rng), PATCH_PX)

    def _standardise(self, store: FrameStore) -> None:
        """Set the standardisation of the head's inputs."""
        inputs = []
        with torch.no_grad():
            for step in range(STANDARDISING_BATCHES):
                cut = self._batch(store, step)
                inputs.append(self.head.inputs(self._features(cut, half=False), cut.condenser[:, None]))
            every = torch.cat(inputs)
            self.head.mean.copy_(every.mean(0))
            self.head.deviation.copy_(every.std(0) + 1e-3)

    def inputs(self, store: FrameStore, held_out: bool) -> fit.Inputs:
        """Return the features of patches at all planes. Held-out ones are what the microscope feeds."""
        found: list[tuple[torch.Tensor, ...]] = []
        for cut, times in self._cuts(store, held_out):
            use = cut.usable
            with torch.no_grad():
                features = self._features(cut, half=False)[use]
            row = (features, cut.condenser[use, None], cut.distance_um[use], cut.contrast[use])
            found.extend([row] * times)
        return fit.Inputs(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _cuts(self, store: FrameStore, held_out: bool) -> Iterator[tuple[Cut, int]]:
        """Yield patches of each frame at all planes, and how often each counts."""
        rng = np.random.default_rng(self.recipe.seed)
        if self.recipe.kind == "pair":
            n = HELD_OUT_PER_PLANE if held_out else PAIRS_PER_PLANE
            for number in range(store.n_frames):
                frame, plane = _each_plane(number, range(1, store.n_planes), n)
                yield store.pairs_at(store.patches(frame, plane, rng)), 1
            return
        if not held_out:
            for number in store.teaching().tolist():
                frame, plane = _each_plane(number, range(store.n_planes), BLOCKS_PER_PLANE)
                yield store.shots_at(store.patches(frame, plane, rng), PATCH_PX), 1
        for number in store.teaching(objects=1).tolist():
            n, times = (1, 1) if held_out else (SINGLES_PER_PLANE, SINGLE_TIMES)
            frame, plane = _each_plane(number, range(store.n_planes), n)
            yield store.shots_at(store.squares(frame, plane, rng), SINGLE_PX), times

    def finish(self, store: FrameStore, held_out: FrameStore, out: Path, say: Callable[[str], None]) -> None:
        """Train the head anew on the features of all frames, calibrate it on held-out ones, and save the model."""
        given, tests = self.inputs(store, held_out=False), self.inputs(held_out, held_out=True)
        self._report(tests, len(given.features), 0, float("nan"), say)
        self.head = Head(self.net.n_features, takes_condenser=True).to(self.device)
        fit.prepare_head(self.head, given)
        recipe = fit.FitRecipe(epochs=EPOCHS, fit_batch=BATCH)

        def report(seen: int, loss: float) -> None:
            self.head.eval()
            self._report(tests, len(given.features), seen, loss, say)

        fit.train_members(self.head, given, recipe, report)
        self.head.cpu().eval()
        some = torch.randperm(len(given.features), device=self.device)[:MOST_FOR_STRANGENESS]
        tests_here = _on_cpu(tests, slice(None))
        fit.calibrate_sigma(self.head, tests_here)
        fit.prepare_strangeness(self.head, _on_cpu(given, some), tests_here)
        settings = {
            **asdict(recipe),
            "joint_batch": self.recipe.batch,
            "joint_patches": self.patches,
            "joint_learning_rates": f"{BODY_RATE:g} and {HEAD_RATE:g}",
            "frames": store.n_frames,
        }
        fit.save(self.net.cpu(), self.head, self.condensers, asdict(self.recipe), settings, self._log, out)

    def _report(
        self, tests: fit.Inputs, examples: int, seen: int, loss: float, say: Callable[[str], None]
    ) -> None:
        with torch.no_grad():
            predicted_um = self.head(tests.features, tests.condenser).cpu().numpy()
        judged = tables.Images(
            tests.distance_um.cpu().numpy(),
            tests.contrast.cpu().numpy(),
            np.full(len(predicted_um), "held out"),
            predicted_um,
        )
        groups = tables.by_group(judged, predicted_um, self._range_um)
        if seen:
            self._log.append(
                {"patches": seen, "examples": examples, "loss": round(loss, 4), "groups": groups}
            )
        say(f"head: {seen} patches of {examples}: loss {loss:.3f}, held out {tables.in_a_line(groups)}")


def _rate_at(share: float) -> float:
    """Return the learning rate in parts of the highest, after a share of the time."""
    warm = min(1.0, share / WARM_UP_SHARE)
    return max(SMALLEST_RATE, warm * 0.5 * (1.0 + float(np.cos(np.pi * min(share, 1.0)))))


def _each_plane(frame: int, planes: range, n: int) -> tuple[Indices, Indices]:
    """Return the number of a frame and of each plane, `n` times each."""
    plane = np.repeat(np.array(planes, np.int64), n)
    return np.full(len(plane), frame, np.int64), plane


def _on_cpu(given: fit.Inputs, chosen: torch.Tensor | slice) -> fit.Inputs:
    condenser = None if given.condenser is None else given.condenser[chosen].cpu()
    return fit.Inputs(
        given.features[chosen].cpu(), condenser, given.distance_um[chosen].cpu(), given.contrast[chosen].cpu()
    )
