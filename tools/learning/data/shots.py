"""Spectra of single shots of small samples, each through an instrument of its own.

A head without a body learns from many instruments, not from large frames: a small sample takes half a second, and a
part of two whole frames seven.
"""

from collections.abc import Callable

import numpy as np

from tools.arrays import FloatArray
from tools.learning.data.features import Features
from tools.rendering import seen
from tools.rendering.cameras import random_camera
from tools.rendering.imaging import Grid, Instrument
from tools.rendering.instruments import SINGLE_SHOT, random_instrument
from tools.rendering.objectives import Objective
from tools.rendering.parts import Drawing, ladder_um, reach_um, shots_of
from tools.rendering.samples import random_sample
from tools.rendering.seen import PATCH_PX
from tools.tissue.textures import Rng

SAMPLES = 12  # of a part
BLOCKS_PER_SIDE = 2
SHOT_PX = BLOCKS_PER_SIDE * PATCH_PX
BLOCKS = 2  # of each shot, by themselves

Spectra = Callable[[FloatArray], FloatArray]


def part_of(
    objective: Objective, draw: Drawing, whole: Spectra, block: Spectra, rng: Rng
) -> dict[str, Features]:
    """Return the spectra of one part: of whole small shots as kind "single", of parts of them as "block".

    `draw` gives sharp objects; `whole` and `block` compute the spectra of patches of `SHOT_PX` and of `PATCH_PX`.
    """
    grid = Grid(SHOT_PX + 2 * objective.margin_px, objective.margin_px)
    columns: dict[str, list[tuple[np.ndarray, ...]]] = {"single": [], "block": []}
    for number in range(SAMPLES):
        optics = random_instrument(objective.optics, rng, SINGLE_SHOT)
        instrument = Instrument(optics, reach_um(objective), objective.depth)
        sample = random_sample([draw(grid.side_px, rng)], rng)
        every = [seen.place_of(sample, grid, 0, 0, SHOT_PX)]
        lines = range(0, SHOT_PX, PATCH_PX)
        blocks = [seen.place_of(sample, grid, top, left, PATCH_PX) for top in lines for left in lines]
        some = [blocks[k] for k in rng.permutation(len(blocks))[:BLOCKS]]
        heights_um = ladder_um(objective, rng)
        shots = shots_of(objective, grid, sample, instrument, random_camera, heights_um, rng)
        for plane, (z_um, shot) in enumerate(zip(heights_um.tolist(), shots, strict=True)):
            for kind, places, spectra in (("single", every, whole), ("block", some, block)):
                patches = seen.singles_of(shot, z_um, places)
                if patches is not None:
                    condenser = instrument.optics.condenser_sigma
                    columns[kind].append(
                        _row(spectra(patches.x), patches, condenser, number * len(heights_um) + plane)
                    )
    return {
        kind: Features(*(np.concatenate(column) for column in zip(*rows, strict=True)))
        for kind, rows in columns.items()
        if rows
    }


def _row(spectral: FloatArray, patches: seen.Patches, condenser: float, plane: int) -> tuple[np.ndarray, ...]:
    n = len(patches)
    return (
        spectral.reshape(n, -1),
        np.zeros((n, 0), np.float32),
        patches.distance_um,
        patches.contrast,
        np.full(n, condenser, np.float32),
        np.array(patches.groups),
        np.full(n, plane),
    )
