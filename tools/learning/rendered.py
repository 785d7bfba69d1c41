"""Features of patches that are rendered and then forgotten: far more patches than stacks could store.

A head needs hundreds of thousands of patches, and sees each many times. Their features are small. They are saved part
by part, so that a stopped run can resume.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tools.learning.features import Features, together
from tools.learning.kept_features import digest_of, load_part, save_part
from tools.networks.focus import FocusNet
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.objects import ObjectPool
from tools.rendering.painting import Painters
from tools.rendering.stream import Stream

BATCHES_PER_PART = 16
OBJECTS_PER_BATCH = 32
SETTINGS_PER_PART = 16  # instruments
PATCHES_PER_OBJECT = 40  # an object is seen at other places, turned and recoloured
FIRST_OBJECTS = 100
OBJECT_PX = 480  # side of a drawn object; a larger patch needs a larger one
ROOM_PX = 100


@dataclass(frozen=True)
class Rendering:
    """What to render: patches of `patch_px` for an objective, from the sharp images in `tiles`."""

    tiles: Path
    objective: str
    single: bool
    patch_px: int
    patches: int
    seed: int


def of_rendered(
    net: FocusNet, rendering: Rendering, device: str, kept: Path, say: Callable[[str], None]
) -> Features:
    """Return the features of `rendering.patches` patches or a few more. They are saved in the folder `kept`."""
    kept.mkdir(parents=True, exist_ok=True)
    net.eval()
    source = f"{digest_of(net)} {rendering}"
    parts: list[Features] = []
    while (part := load_part(kept / f"{len(parts):04d}.npz", source)) is not None:
        parts.append(part)
    done = sum(map(len, parts))
    say(f"{done} of {rendering.patches} patches were found in {kept}")
    if done >= rendering.patches:
        return together(parts)
    objective = OBJECTIVES[rendering.objective]
    side_px = max(OBJECT_PX, rendering.patch_px + 2 * objective.margin_px + ROOM_PX)
    count = max(FIRST_OBJECTS, rendering.patches // PATCHES_PER_OBJECT)
    workers = max(1, (os.cpu_count() or 2) - 1)
    with contextlib.closing(
        Painters(rendering.tiles, side_px, count, rendering.seed + len(parts), workers)
    ) as painters:
        pool = ObjectPool(painters, device)
        while done < rendering.patches:
            number = len(parts)
            pool.fill(min(count, FIRST_OBJECTS + done // PATCHES_PER_OBJECT))
            torch.manual_seed(rendering.seed + number)
            stream = Stream(
                objective,
                rendering.single,
                rendering.patch_px,
                pool,
                rendering.seed + number,
                device,
                SETTINGS_PER_PART,
            )
            parts.append(_part(net, stream, number))
            save_part(parts[-1], kept / f"{number:04d}.npz", source)
            done += len(parts[-1])
            say(f"{done} of {rendering.patches} patches rendered")
    return together(parts)


def _part(net: FocusNet, stream: Stream, number: int) -> Features:
    """Return the features of some batches."""
    columns: list[list[np.ndarray]] = []
    with torch.no_grad():
        for _ in range(BATCHES_PER_PART):
            batch = stream.batch(OBJECTS_PER_BATCH)
            values = (*net.parts(batch.x), batch.distance_um, batch.contrast, batch.condenser)
            columns.append([value.float().cpu().numpy() for value in values])
    spectral, pooled, distance_um, contrast, condenser = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    n = len(distance_um)
    return Features(
        *(spectral, pooled, distance_um, contrast, condenser), np.full(n, "rendered"), np.arange(n) + number
    )
