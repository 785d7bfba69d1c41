"""Spectra of single shots of small samples, each through an instrument of its own.

A head without a body learns from many instruments, not from large frames: a small sample takes half a second, and a
part of two whole frames seven. Each height is exposed by two cameras, which costs a quarter more than one: a random
one, and one that compresses with half of the sampling of the colours, in which a single shot has its direction.
"""

from collections.abc import Callable, Iterator

import numpy as np

from parfocal.edge.focus.picture.prepare import smoothed
from tools.arrays import FloatArray, UInt8Array
from tools.learning.data.features import Features
from tools.rendering import seen
from tools.rendering.cameras import Exposing, compressing_camera, random_camera
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.instruments import SINGLE_SHOT, random_instrument
from tools.rendering.objectives import Objective
from tools.rendering.parts import Drawing, ladder_um, reach_um
from tools.rendering.samples import random_sample
from tools.rendering.seen import PATCH_PX
from tools.tissue.textures import Rng

SAMPLES = 12  # of a part
BLOCKS_PER_SIDE = 2
SHOT_PX = BLOCKS_PER_SIDE * PATCH_PX
BLOCKS = 2  # of each shot, by themselves
CAMERAS = (random_camera, compressing_camera)  # through which each height is seen

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
        first = number * len(heights_um)
        for plane, z_um, shot in _shots(Imaged(sample, instrument, grid), objective, heights_um, rng):
            for kind, places, spectra in (("single", every, whole), ("block", some, block)):
                patches = seen.singles_of(shot, z_um, places)
                if patches is not None:
                    columns[kind].append(
                        _row(spectra(patches.x), patches, optics.condenser_sigma, first + plane)
                    )
    return {
        kind: Features(*(np.concatenate(column) for column in zip(*rows, strict=True)))
        for kind, rows in columns.items()
        if rows
    }


def _shots(
    imaged: Imaged, objective: Objective, heights_um: FloatArray, rng: Rng
) -> Iterator[tuple[int, float, UInt8Array]]:
    """Yield plane, height and smoothed shot of a sample, at each height once by every camera."""
    shape_px = (SHOT_PX, SHOT_PX)
    cameras = [Exposing(camera_of(rng), shape_px, rng, objective.binned) for camera_of in CAMERAS]
    for plane, shots in enumerate(seen.shots_at(imaged, cameras, heights_um, rng)):
        for shot in shots:
            yield plane, float(heights_um[plane]), smoothed(shot)


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
