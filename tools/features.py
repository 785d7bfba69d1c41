"""What a head hears of every patch, computed once: the body is fixed by then, and a head sees each patch many times."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tools import batches
from tools.examples import Examples
from tools.network_focus import FocusNet

FloatArray = NDArray[np.float32]

BATCH = 16
STACKS_AT_ONCE = 64


@dataclass(frozen=True)
class Features:
    """Arrays over n patches; ``condenser`` is NaN and ``plane`` a number shared by the patches of one plane."""

    spectral: FloatArray
    pooled: FloatArray
    distance_um: FloatArray
    contrast: FloatArray
    condenser: FloatArray
    group: NDArray[np.str_]
    plane: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.distance_um)

    def save(self, path: Path) -> None:
        """Write them whole, or not at all."""
        partial = path.with_name(f"partial-{path.name}")
        np.savez(partial, **vars(self))
        partial.replace(path)


def load(path: Path) -> Features:
    """Those that were saved."""
    with np.load(path) as stored:
        return Features(**{name: stored[name] for name in stored.files})


def features_of(net: FocusNet, examples: Examples, device: str) -> Features:
    """Of whole patches as the microscope would feed them."""
    net.eval()
    spectral, pooled = [], []
    with torch.no_grad():
        for start in range(0, len(examples), BATCH):
            chosen = range(start, min(start + BATCH, len(examples)))
            parts = net.features(batches.whole(examples, chosen, device))
            spectral.append(parts[0].cpu().numpy())
            pooled.append(parts[1].cpu().numpy())
    return Features(
        np.concatenate(spectral),
        np.concatenate(pooled),
        np.array(examples.distance_um, np.float32),
        np.array(examples.contrast, np.float32),
        np.array([np.nan if sigma is None else sigma for sigma in examples.condenser], np.float32),
        np.array(examples.group),
        np.array(examples.plane),
    )


def together(parts: list[Features]) -> Features:
    """One after the other."""
    return Features(
        *(np.concatenate(arrays) for arrays in zip(*(vars(p).values() for p in parts), strict=True))
    )


def of_folder(
    net: FocusNet, examples: Examples, device: str, cache: Path, say: Callable[[str], None]
) -> Features:
    """Those of all stacks that ``examples`` reads, kept in the file ``cache``.

    Raises SystemExit where there is none to be used.
    """
    if cache.exists():
        say(f"features are those kept in {cache}; delete it after a change of stacks or body")
        return load(cache)
    parts: list[Features] = []
    while True:
        seen = examples.n_seen
        examples.refresh(most_stacks=STACKS_AT_ONCE)
        if examples.n_seen == seen:
            break
        if len(examples):
            parts.append(features_of(net, examples, device))
            say(f"{sum(map(len, parts))} patches of {examples.n_seen} stacks")
            examples.forget()
    for line in examples.left_out:
        say(f"left out {line}")
    if not parts:
        raise SystemExit(f"{examples.folder} holds no stack that examples can be cut from")
    found = together(parts)
    cache.parent.mkdir(parents=True, exist_ok=True)
    found.save(cache)
    return found
