"""Features of pairs of patches of whole frames.

A frame shows one object, or four. It is imaged at a ladder of heights, of which each serves as the first shot of one
pair and as the second of another. A part is two frames through one random instrument.
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import torch

from tools.learning.data.columns import Columns
from tools.learning.data.features import Features
from tools.learning.data.shots import Network, no_maps
from tools.learning.recipe import Recipe
from tools.learning.start import body_from
from tools.networks.compiled import Compiled, Pooled
from tools.networks.spectrum import COLOURS, Spectrum
from tools.rendering import seen
from tools.rendering.cameras import random_camera
from tools.rendering.imaging import Grid, Instrument
from tools.rendering.objectives import OBJECTIVES
from tools.rendering.parts import SAMPLE_PX, ladder_um, samples_of, shots_of
from tools.rendering.samples import Sample
from tools.rendering.seen import PATCH_PX
from tools.tissue.sources import TrainingObjects
from tools.tissue.textures import Rng

PAIR_CHANNELS = 2 * COLOURS
PAIRS_WITH_MAPS = 5  # of the pairs at each height; of the others, only the spectra are computed


class Networks:
    """What computes features of pairs: their spectra, and the averaged maps of a body if there is one."""

    def __init__(self, model_path: Path | None) -> None:
        self.spectrum = Compiled(Spectrum(PAIR_CHANNELS, PATCH_PX), PAIR_CHANNELS, PATCH_PX)
        self.maps: Network = no_maps
        if model_path is not None:
            body = Recipe(kind="pair").network()
            body_from(body, model_path)
            self.maps = Compiled(Pooled(body), PAIR_CHANNELS, PATCH_PX)


class PairMaker:
    """Makes parts in one process."""

    def __init__(self, tiles: Path, objective: str, body: Path | None) -> None:
        """Read the sharp images of `tiles`, and the model whose `body` computes the maps, if there is one."""
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self._objective = OBJECTIVES[objective]
        self._networks = Networks(body)
        self._objects = TrainingObjects(tiles, self._objective.optics.um_per_px)
        self._grid = Grid(SAMPLE_PX, self._objective.margin_px)

    def part(self, rng: Rng) -> Mapping[str, Features]:
        """Return the features of one part, by kind of patch."""
        columns = Columns()
        for sample, instrument in samples_of(self._objective, self._objects.draw, rng):
            self._frame(sample, instrument, columns, rng)
        return columns.features()

    def _frame(self, sample: Sample, instrument: Instrument, columns: Columns, rng: Rng) -> None:
        """Add what is seen of one frame at all heights."""
        objects, condenser = len(sample.groups), instrument.optics.condenser_sigma
        places = seen.places_in(sample, self._grid, PATCH_PX, rng)
        heights_um = ladder_um(self._objective, rng)
        taken = shots_of(self._objective, self._grid, sample, instrument, random_camera, heights_um, rng)
        before = None
        for plane, (z_um, shot) in enumerate(zip(heights_um.tolist(), taken, strict=True)):
            if before is not None:
                mixed = [places[k] for k in rng.permutation(len(places))]
                pairs = seen.pairs_of(before, shot, z_um, mixed)
                if pairs is not None:
                    self._add(pairs, columns, condenser, objects * len(heights_um) + plane)
            before = shot

    def _add(self, pairs: seen.Patches, columns: Columns, condenser: float, plane: int) -> None:
        """Add the pairs of one plane, the first ones with their maps."""
        spectral = self._networks.spectrum(pairs.x)
        mapped, others = slice(0, PAIRS_WITH_MAPS), slice(PAIRS_WITH_MAPS, None)
        maps = self._networks.maps(pairs.x[mapped])
        columns.add("pair", spectral[mapped], maps, pairs.part(mapped), condenser, plane)
        if len(pairs) > PAIRS_WITH_MAPS:
            columns.add(
                "spectral", spectral[others], no_maps(pairs.x[others]), pairs.part(others), condenser, plane
            )
