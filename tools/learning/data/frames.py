"""Features of patches of whole frames, rendered by processes of their own: tens of patches a second on each core.

A frame shows one object, or four. It is imaged at a ladder of heights, of which each serves as the first shot of one
pair and as the second of another, and as a single shot. A part is two frames through one random instrument. It depends
on its number only, and is written atomically: a stopped run goes on.
"""

import multiprocessing as mp
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch

from parfocal.engines.model.contract import Kind
from tools.arrays import FloatArray
from tools.learning.data import shots
from tools.learning.data.features import Features, together
from tools.learning.data.kept_features import load_part, save_part
from tools.learning.recipe import Recipe
from tools.learning.start import body_from
from tools.networks.compiled import Compiled, Pooled
from tools.networks.spectrum import COLOURS, N_RINGS, Spectrum, n_spectral
from tools.rendering import seen
from tools.rendering.cameras import random_camera
from tools.rendering.imaging import Grid, Instrument
from tools.rendering.instruments import ODD_KEPT_ONE_IN, is_odd
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.parts import SAMPLE_PX, ladder_um, samples_of, shots_of
from tools.rendering.samples import Sample
from tools.rendering.seen import PATCH_PX, SINGLE_PX
from tools.tissue.sources import TrainingObjects
from tools.tissue.textures import Rng

PAIR_CHANNELS = 2 * COLOURS
# The features of a pair that are those of its second shot alone: its powers, and the coherence of its colours.
OF_SECOND_SHOT = np.r_[COLOURS * N_RINGS : 2 * COLOURS * N_RINGS, 3 * COLOURS * N_RINGS : n_spectral(6)]
# Of a frame with one object and of one with four: the single shots of 672 px and of 224 px at each height.
SINGLE_SHOTS = {1: (1, 3), 4: (0, 6)}
PAIRS_WITH_MAPS = 5  # of the pairs at each height; of the others, only the spectra are computed
KINDS = ("spectral", "pair", "block", "single")
# The kinds of patches that a head learns from. A single shot of 672 px counts three times, as the microscope feeds it.
FOR: Final[dict[Kind, tuple[str, ...]]] = {
    "pair": ("pair",),
    "single": ("block", "single", "single", "single"),
}


@dataclass(frozen=True)
class Making:
    """What to make.

    Attributes:
        tiles: folder of the sharp images that objects are made from.
        pair: model of pairs whose body computes the maps.
        single: model of single shots whose body computes the maps.
        objective: name of the objective, of `OBJECTIVES`.
        out: folder for the parts.
        seed: another seed gives other parts.
        single_shots_alone: make spectra of single shots of small samples, and nothing else.
    """

    tiles: Path
    pair: Path
    single: Path
    objective: str
    out: Path
    seed: int
    single_shots_alone: bool = False


class Networks:
    """What computes features: the spectra of each kind of patch, and the averaged maps of the bodies."""

    def __init__(self, making: Making) -> None:
        self.pair_spectrum = Compiled(Spectrum(PAIR_CHANNELS, PATCH_PX), PAIR_CHANNELS, PATCH_PX)
        self.single_spectrum = Compiled(Spectrum(COLOURS, SINGLE_PX), COLOURS, SINGLE_PX)
        self.pair_maps = Compiled(_pooled("pair", making.pair), PAIR_CHANNELS, PATCH_PX)
        self.block_maps = Compiled(_pooled("single", making.single), COLOURS, PATCH_PX)
        self.single_maps = Compiled(_pooled("single", making.single), COLOURS, SINGLE_PX)


def _pooled(kind: Kind, model_path: Path) -> Pooled:
    body = Recipe(kind=kind).network()
    body_from(body, model_path)
    return Pooled(body)


class Collected:
    """Features of each kind of patch, as they come."""

    def __init__(self) -> None:
        self._columns: dict[str, list[tuple[np.ndarray, ...]]] = {kind: [] for kind in KINDS}

    def add(
        self,
        kind: str,
        features: tuple[FloatArray, FloatArray],
        patches: seen.Patches,
        condenser: float,
        plane: int,
    ) -> None:
        """Add the features, spectral and pooled, of some patches of one plane."""
        n = len(features[0])
        self._columns[kind].append(
            (
                *features,
                patches.distance_um,
                patches.contrast,
                np.full(n, condenser, np.float32),
                np.array(patches.groups),
                np.full(n, plane),
            )
        )

    def features(self) -> dict[str, Features | None]:
        """Return all features by kind; None for a kind without patches."""
        return {
            kind: Features(*(np.concatenate(column) for column in zip(*columns, strict=True)))
            if columns
            else None
            for kind, columns in self._columns.items()
        }


class Maker:
    """Makes parts in one process."""

    def __init__(self, making: Making) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._seed = making.seed
        self._objective = OBJECTIVES[making.objective]
        self._networks = Networks(making)
        self._objects = TrainingObjects(making.tiles, self._objective.optics.um_per_px)
        self._grid = Grid(SAMPLE_PX, self._objective.margin_px)

    def part(self, number: int) -> dict[str, Features | None]:
        """Return the features of one part, by kind of patch."""
        rng = np.random.default_rng([self._seed, number])
        objective = self._objective
        collected = Collected()
        for sample, instrument in samples_of(objective, self._objects.draw, rng):
            self._frame(sample, instrument, collected, rng)
        return collected.features()

    def _frame(self, sample: Sample, instrument: Instrument, collected: Collected, rng: Rng) -> None:
        """Add what is seen of one frame at all heights."""
        grid, objects, condenser = self._grid, len(sample.groups), instrument.optics.condenser_sigma
        places = seen.places_in(sample, grid, PATCH_PX, rng)
        n_singles, n_blocks = SINGLE_SHOTS[objects]
        if is_odd(instrument.optics, self._objective.optics) and rng.random() >= 1.0 / ODD_KEPT_ONE_IN:
            n_singles, n_blocks = 0, 0
        corners = rng.integers(0, grid.image_px - SINGLE_PX + 1, (n_singles, 2))
        singles = [seen.place_of(sample, grid, int(top), int(left), SINGLE_PX) for top, left in corners]
        heights_um = ladder_um(self._objective, rng)
        taken = shots_of(self._objective, grid, sample, instrument, random_camera, heights_um, rng)
        before = None
        for plane, (z_um, shot) in enumerate(zip(heights_um.tolist(), taken, strict=True)):
            number = objects * len(heights_um) + plane
            if before is not None:
                mixed = [places[k] for k in rng.permutation(len(places))]
                pairs = seen.pairs_of(before, shot, z_um, mixed)
                if pairs is not None:
                    self._add_pairs(pairs, n_blocks, collected, condenser, number)
            one = seen.singles_of(shot, z_um, singles)
            if one is not None:
                found = self._networks.single_spectrum(one.x), self._networks.single_maps(one.x)
                collected.add("single", found, one, condenser, number)
            before = shot

    def _add_pairs(
        self, patches: seen.Patches, n_blocks: int, collected: Collected, condenser: float, plane: int
    ) -> None:
        """Add the pairs of one plane: of the first ones the maps as well, of some the second shot as a block."""
        networks = self._networks
        spectral = networks.pair_spectrum(patches.x)
        mapped, others = slice(0, PAIRS_WITH_MAPS), slice(PAIRS_WITH_MAPS, None)
        maps = networks.pair_maps(patches.x[mapped])
        collected.add("pair", (spectral[mapped], maps), patches.part(mapped), condenser, plane)
        if len(patches) > PAIRS_WITH_MAPS:
            none = np.zeros((len(patches) - PAIRS_WITH_MAPS, 0), np.float32)
            collected.add("spectral", (spectral[others], none), patches.part(others), condenser, plane)
        if n_blocks:
            block = slice(0, n_blocks)
            maps = networks.block_maps(np.ascontiguousarray(patches.x[block, COLOURS:]))
            of_second = spectral[block][:, OF_SECOND_SHOT]
            collected.add("block", (of_second, maps), patches.part(block), condenser, plane)


class ShotMaker:
    """Makes parts of single shots alone in one process, for a head without a body."""

    def __init__(self, making: Making) -> None:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._seed = making.seed
        self._objective = OBJECTIVES[making.objective]
        self._objects = TrainingObjects(making.tiles, self._objective.optics.um_per_px)
        self._whole, self._block = (
            Compiled(Spectrum(COLOURS, side_px), COLOURS, side_px) for side_px in (shots.SHOT_PX, PATCH_PX)
        )

    def part(self, number: int) -> Mapping[str, Features | None]:
        """Return the features of one part, by kind of patch."""
        rng = np.random.default_rng([self._seed, number])
        return shots.part_of(self._objective, self._objects.draw, self._whole, self._block, rng)


def make_parts(making: Making, numbers: Iterable[int]) -> None:
    """Make the parts that do not exist yet. The kind of a process of its own."""
    kinds = FOR["single"] if making.single_shots_alone else KINDS
    maker: Maker | ShotMaker | None = None
    for number in numbers:
        if all(_file(making.out, kind, number).exists() for kind in kinds):
            continue
        maker = maker or (ShotMaker(making) if making.single_shots_alone else Maker(making))
        for kind, features in maker.part(number).items():
            file = _file(making.out, kind, number)
            file.parent.mkdir(parents=True, exist_ok=True)
            if features is not None:
                save_part(features, file, source_of(making))
            else:
                file.touch()


def source_of(making: Making) -> str:
    """Return what the parts of a run are made from."""
    return f"{making.seed} {making.objective} {making.pair.name} {making.single.name}"


def make(making: Making, parts: int, workers: int) -> None:
    """Make parts 0 .. `parts` - 1 in `workers` processes.

    They are started anew, not forked: the libraries of this process have threads, which a fork does not copy.
    """
    context = mp.get_context("spawn")
    processes = [
        context.Process(target=make_parts, args=(making, range(worker, parts, workers)), daemon=True)
        for worker in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"making parts in {making.out} failed: see the error above")


def made(folder: Path, kind: str, say: Callable[[str], None]) -> Features:
    """Return the features of one kind in a folder. Raises SystemExit if there are none."""
    parts = [part for _, part in _parts_in(folder, kind)]
    if not parts:
        raise SystemExit(f"{folder} has no parts of kind {kind}: run `python -m tools.make_features` first")
    say(f"{sum(map(len, parts))} patches of kind {kind} in {len(parts)} parts of {folder}")
    return together(parts)


def _parts_in(folder: Path, kind: str) -> Iterator[tuple[Path, Features]]:
    for file in sorted((folder / kind).glob("[0-9]*.npz")):
        part = load_part(file, None)
        if part is not None:
            yield file, part


def _file(out: Path, kind: str, number: int) -> Path:
    return out / kind / f"{number:05d}.npz"
