"""Features of single shots of small samples, each through an instrument of its own.

What a single shot shows depends on the instrument, so a head learns from many of them rather than from large frames: a
small sample takes half a second. Each height is exposed by a random camera, and of some samples also by one that
compresses with half of the sampling of the colours, in which a single shot has its direction.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from parfocal.edge.focus.picture.prepare import smoothed
from tools.arrays import FloatArray, UInt8Array
from tools.learning.data.columns import Columns
from tools.learning.data.features import Features
from tools.learning.recipe import Recipe
from tools.learning.start import body_from
from tools.networks.compiled import Compiled, Pooled
from tools.networks.spectrum import COLOURS, Spectrum
from tools.rendering import seen
from tools.rendering.cameras import Exposing
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.objectives import OBJECTIVES, Objective
from tools.rendering.parts import Drawing, ladder_um, reach_um
from tools.rendering.seen import PATCH_PX
from tools.rendering.small import seen_through
from tools.tissue.sources import TrainingObjects
from tools.tissue.textures import Rng

SAMPLES = 12  # of a part
SHOT_PX = 2 * PATCH_PX  # unless asked otherwise: whole blocks
BLOCKS = 2  # of each shot, by themselves

Network = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Networks:
    """What computes features of patches of one size: their spectra, and the averaged maps of a body (n, maps or 0)."""

    side_px: int
    spectrum: Network
    maps: Network


def networks_of(side_px: int, model_path: Path | None) -> Networks:
    """Return the networks for patches of `side_px`, with the body of a model if one is given."""
    spectrum = Compiled(Spectrum(COLOURS, side_px), COLOURS, side_px)
    if model_path is None:
        return Networks(side_px, spectrum, no_maps)
    body = Recipe(kind="single").network()
    body_from(body, model_path)
    return Networks(side_px, spectrum, Compiled(Pooled(body), COLOURS, side_px))


def no_maps(patches: FloatArray) -> FloatArray:
    """Return the maps of patches (n, 0) of a model without a body."""
    return np.zeros((len(patches), 0), np.float32)


class ShotMaker:
    """Makes parts in one process."""

    def __init__(self, tiles: Path, objective: str, body: Path | None, shot_px: int = SHOT_PX) -> None:
        """Read the sharp images of `tiles`, and the model whose `body` computes the maps, if there is one.

        `shot_px`: side of a whole shot, some blocks of `PATCH_PX`.
        """
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._objective = OBJECTIVES[objective]
        self._objects = TrainingObjects(tiles, self._objective.optics.um_per_px)
        self._whole, self._block = (networks_of(side_px, body) for side_px in (shot_px, PATCH_PX))

    def part(self, rng: Rng) -> Mapping[str, Features]:
        """Return the features of one part, by kind of patch."""
        return part_of(self._objective, self._objects.draw, self._whole, self._block, rng)


def part_of(
    objective: Objective, draw: Drawing, whole: Networks, block: Networks, rng: Rng
) -> dict[str, Features]:
    """Return the features of one part: of whole small shots as kind "single", of parts of them as "block".

    `draw` gives sharp objects; `whole` and `block` compute the features of patches of their sizes.
    """
    shot_px, block_px = whole.side_px, block.side_px
    grid = Grid(shot_px + 2 * objective.margin_px, objective.margin_px)
    columns = Columns()
    for number in range(SAMPLES):
        small = seen_through(objective, draw(grid.side_px, rng), rng)
        instrument = Instrument(small.optics, reach_um(objective), objective.depth)
        every = [seen.place_of(small.sample, grid, 0, 0, shot_px)]
        lines = range(0, shot_px, block_px)
        blocks = [seen.place_of(small.sample, grid, top, left, block_px) for top in lines for left in lines]
        some = [blocks[k] for k in rng.permutation(len(blocks))[:BLOCKS]]
        heights_um = ladder_um(objective, rng)
        first = number * len(heights_um)
        shape_px = (shot_px, shot_px)
        cameras = [
            Exposing(draw_camera(rng), shape_px, rng, objective.binned) for draw_camera in small.cameras
        ]
        imaged = Imaged(small.sample, instrument, grid)
        for plane, z_um, shot in _shots(imaged, cameras, heights_um, rng):
            for kind, places, networks in (("single", every, whole), ("block", some, block)):
                patches = seen.singles_of(shot, z_um, places)
                if patches is not None:
                    features = networks.spectrum(patches.x), networks.maps(patches.x)
                    columns.add(kind, *features, patches, small.optics.condenser_sigma, first + plane)
    return columns.features()


def _shots(
    imaged: Imaged, cameras: list[Exposing], heights_um: FloatArray, rng: Rng
) -> Iterator[tuple[int, float, UInt8Array]]:
    """Yield plane, height and smoothed shot of a sample, at each height once by every camera."""
    for plane, shots in enumerate(seen.shots_at(imaged, cameras, heights_um, rng)):
        for shot in shots:
            yield plane, float(heights_um[plane]), smoothed(shot)
