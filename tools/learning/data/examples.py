"""Examples for training, cut from recorded or synthetic stacks in a format of `parfocal.edge.stacks.read`.

A folder of stacks is one group (a slide or a stain). Results are reported by group, and a split never divides one.
"""

import os
import tempfile
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from parfocal.edge.focus.picture import prepare
from parfocal.edge.stacks.folder import INDEX_NAME
from parfocal.edge.stacks.judging.pairs import pair_indices
from parfocal.edge.stacks.label import label_stack
from parfocal.edge.stacks.read import read_stack
from parfocal.edge.stacks.stack import Stack
from parfocal.engines.model.contract import Kind
from tools.arrays import Int8Array, UInt8Array

GREY_OFFSET = 128.0  # subtracted from a shot to fit it into int8; standardising removes any offset
# In grey levels. Below it a patch is little more than camera noise.
MIN_CONTRAST = 3.0
# Patches per plane, at random places. A frame has dozens, and they are similar.
PATCHES_PER_PLANE = 4


class Examples:
    """Patches int8 (channels, p, p) with their distances. `refresh` reads the stacks that are new.

    The channels are the input of the network in grey levels, before it is standardised: the difference, the difference
    and the second shot, or the shot. 128 is subtracted from shots.
    """

    def __init__(
        self,
        folder: Path,
        kind: Kind,
        delta_um: float,
        patch_px: int,
        patches_per_plane: int = PATCHES_PER_PLANE,
    ) -> None:
        self.folder, self._kind, self._delta_um, self._patch_px = folder, kind, delta_um, patch_px
        self._patches_per_plane = patches_per_plane
        self._seen: set[Path] = set()
        self._planes = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the examples
        weakref.finalize(self, self._file.close)
        self.patches: list[Int8Array] = []
        self.distance_um: list[float] = []
        self.contrast: list[float] = []
        self.group: list[str] = []
        self.condenser: list[float | None] = []
        self.plane: list[int] = []  # examples of one plane have the same number
        self.stack: list[range] = []  # for each example, the indices of its stack
        self.left_out: list[str] = []

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def cut(self) -> str:
        """Description of how examples are cut from a stack."""
        distance = "" if self._kind == "single" else f" {self._delta_um:g} um apart"
        return f"{self._patches_per_plane} {self._kind} patches of {self._patch_px} px{distance}"

    def part(self, chosen: NDArray[np.int64]) -> "Examples":
        """Return the examples at some indices."""
        part = Examples(self.folder, self._kind, self._delta_um, self._patch_px)
        part.patches = [self.patches[k] for k in chosen]
        part.distance_um = [self.distance_um[k] for k in chosen]
        part.contrast = [self.contrast[k] for k in chosen]
        part.group = [self.group[k] for k in chosen]
        return part

    def forget(self) -> None:
        """Drop all examples. Stacks that were read are not read again."""
        for kept in (
            self.patches,
            self.distance_um,
            self.contrast,
            self.group,
            self.condenser,
            self.plane,
            self.stack,
        ):
            kept.clear()
        self._file.seek(0)
        self._file.truncate()

    def refresh(self, most_stacks: int | None = None) -> None:
        """Read the stacks that are new, at most `most_stacks` of them. See `read`."""
        self.read([path for path in stack_paths(self.folder) if path not in self._seen][:most_stacks])

    def read(self, paths: list[Path]) -> None:
        """Read some stacks.

        Stacks without a certain focus, or smaller than a patch, are skipped and listed in `left_out`.

        Raises:
            ConfigError: a stack is invalid.
        """
        few = len(paths) < 50
        for path in track(paths, f"reading {self.folder.name}", transient=True, disable=few):
            self._seen.add(path)
            self._add(read_stack(path))

    def skip(self, paths: list[Path]) -> None:
        """Mark some stacks as read."""
        self._seen.update(paths)

    def _add(self, stack: Stack) -> None:
        label = label_stack(stack)
        focus_z_um = label.focus_z_um
        if focus_z_um is None:
            self.left_out.append(f"{stack.path}: {label.review}")
            return
        height_px, width_px = stack.planes[0].shape[:2]
        if min(height_px, width_px) < self._patch_px:
            self.left_out.append(
                f"{stack.path}: {width_px} x {height_px} px are smaller than a patch of {self._patch_px} px"
            )
            return
        rng = np.random.default_rng(len(self._seen))
        shots = [prepare.smoothed(plane) for plane in stack.planes]
        kept: list[Int8Array] = []
        for first, second in self._shots_of(stack.z_um):
            contrasts = prepare.contrast_of(prepare.patches_of(shots[second], self._patch_px))
            whole = _channels(shots[first], shots[second], self._kind)
            self._planes += 1
            chosen = rng.permutation(np.flatnonzero(contrasts >= MIN_CONTRAST))[: self._patches_per_plane]
            patches = prepare.patches_of(whole, self._patch_px)
            for patch, contrast in ((patches[k], float(contrasts[k])) for k in chosen):
                kept.append(patch.astype(np.int8))
                self.distance_um.append(focus_z_um - stack.z_um[second])
                self.contrast.append(contrast)
                self.group.append(stack.path.parent.name)
                self.condenser.append(stack.condenser_sigma)
                self.plane.append(self._planes)
        if kept:
            self.stack.extend([range(len(self.patches), len(self.patches) + len(kept))] * len(kept))
            self.patches.extend(self._stored(np.stack(kept)))

    def _stored(self, block: Int8Array) -> Int8Array:
        """Move patches to a file and return them memory-mapped: a training set may be larger than memory."""
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(block.tobytes())
        self._file.flush()
        return np.memmap(self._file, np.int8, "r", offset, block.shape)

    def _shots_of(self, z_um: tuple[float, ...]) -> list[tuple[int, int]]:
        """Return the indices of the first and second shot of each example."""
        if self._kind == "single":
            return [(k, k) for k in range(len(z_um))]
        return pair_indices(z_um, self._delta_um)


def stack_paths(folder: Path) -> list[Path]:
    """Return all stacks below a folder, sorted by name so that the groups mix."""
    tiffs = [path for pattern in ("*.ome.tif", "*.ome.tiff") for path in folder.rglob(pattern)]
    folders = [path.parent for path in folder.rglob(INDEX_NAME)]
    return sorted([*tiffs, *folders], key=lambda path: (path.name, str(path)))


def _channels(first: UInt8Array, second: UInt8Array, kind: Kind) -> NDArray[np.float32]:
    """Return the channels of an example, float32 (h, w, channels), within the range of int8."""
    if kind == "single":
        return second.astype(np.float32) - GREY_OFFSET
    seen = prepare.two_shot_image(first, second, with_second=kind == "pair")
    seen[..., 3:] -= GREY_OFFSET
    return np.clip(seen, -128.0, 127.0)
