"""Held-out images with one thing changed at a time: what a foreign microscope does to a model."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from parfocal.edge.focus.prepare import smoothed
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import PHASE_PER_DENSITY_RAD
from tools.arrays import FloatArray
from tools.cameras import Camera, Exposing
from tools.rendering import seen
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.samples import flat_sample
from tools.tissue.sources import HeldOutObjects

SAMPLE_PX, IMAGE_PX = 768, 672
PATCH_PX = 224  # of a model of pairs; a model of single shots takes the whole image
DELTA_UM = 2.0
HEIGHTS_UM: Final = tuple(float(z) for z in np.arange(-10.5, 10.0, 2.0))
REACH_UM = 12.0


@dataclass(frozen=True)
class Row:
    """One thing changed. `phase_per_density_rad` None is that of the virtual slide."""

    optics: Optics = field(default_factory=Optics)
    phase_per_density_rad: float | None = None
    camera: Camera = field(default_factory=Camera)


def _optics(**changed: float | tuple[float, float, float]) -> Row:
    return Row(optics=replace(Optics(), **changed))  # type: ignore[arg-type]


def _camera(**changed: float | bool) -> Row:
    return Row(camera=replace(Camera(), **changed))  # type: ignore[arg-type]


CHEAP = Camera(demosaiced=True, sharpening=0.5, gamma=0.45, jpeg_quality=85)
ROWS: Final[dict[str, Row]] = {
    "nothing": Row(),
    "condenser 0.30": _optics(condenser_sigma=0.30),
    "condenser 0.45": _optics(condenser_sigma=0.45),
    "condenser 0.75": _optics(condenser_sigma=0.75),
    "condenser 0.90": _optics(condenser_sigma=0.90),
    "spherical aberration 0": _optics(w040_waves=0.0),
    "spherical aberration -0.15": _optics(w040_waves=-0.15),
    "spherical aberration 0.3": _optics(w040_waves=0.3),
    "no colour shift": _optics(chromatic_shift_um=(0.0, 0.0, 0.0)),
    "colour shift mirrored": _optics(chromatic_shift_um=(-0.3, 0.0, 0.3)),
    "NA 0.70": _optics(na=0.70),
    "NA 0.80": _optics(na=0.80),
    "0.30 um per px": _optics(um_per_px=0.30),
    "0.40 um per px": _optics(um_per_px=0.40),
    "no phase": Row(phase_per_density_rad=0.0),
    "phase -0.3": Row(phase_per_density_rad=-0.3),
    "phase +0.8": Row(phase_per_density_rad=0.8),
    "JPEG 85, 4:2:0": _camera(jpeg_quality=85),
    "JPEG 85, 4:4:4": _camera(jpeg_quality=85, full_chroma=True),
    "JPEG 95, 4:2:0": _camera(jpeg_quality=95),
    "sharpened": _camera(sharpening=0.5),
    "gamma of sRGB": _camera(gamma=0.45),
    "light steps of 1 %": _camera(gain_step=0.01),
    "demosaiced": _camera(demosaiced=True),
    "a cheap camera": Row(camera=CHEAP),
}


@dataclass(frozen=True)
class Image:
    """What models see of one field: the patches of two shots, and the second shot as one patch, in grey levels.

    Attributes:
        pair: float32 (n, 6, 224, 224).
        single: float32 (1, 3, 672, 672).
        distance_um: from the second shot to the focus.
        contrast: of each patch of the pair, (n,).
        group: of the object.
    """

    pair: FloatArray
    single: FloatArray
    distance_um: float
    contrast: FloatArray
    group: str


class HeldOutFields:
    """The same fields of held-out slides and stains for each row."""

    def __init__(self, tiles: Path, fields: int, seed: int) -> None:
        self._grid = Grid(SAMPLE_PX, (SAMPLE_PX - IMAGE_PX) // 2)
        rng = np.random.default_rng([seed, 5])
        objects = HeldOutObjects(tiles)
        groups = objects.groups
        self._objects = [
            objects.draw(self._grid.side_px, rng, groups[k % len(groups)]) for k in range(fields)
        ]

    def images(self, row: Row) -> Iterator[Image]:
        """Yield the images of a row: each field at several heights."""
        phase = PHASE_PER_DENSITY_RAD if row.phase_per_density_rad is None else row.phase_per_density_rad
        instrument = Instrument(row.optics, REACH_UM)
        for number, (group, density) in enumerate(self._objects):
            rng = np.random.default_rng(number)
            sample = flat_sample(density, group, phase)
            imaged = Imaged(sample, instrument, self._grid)
            camera = Exposing(row.camera, (IMAGE_PX, IMAGE_PX), rng)
            lines = range(0, IMAGE_PX, PATCH_PX)
            places = [seen.Place(top, left, PATCH_PX, 0.0, group) for top in lines for left in lines]
            heights_um = (np.array(HEIGHTS_UM) + rng.uniform(0.0, 1.0)).astype(np.float32)
            before = None
            for z_um, taken in zip(heights_um, seen.shots_at(imaged, camera, heights_um, rng), strict=True):
                shot = smoothed(taken)
                if before is not None:
                    pair = seen.pairs_of(before, shot, float(z_um), places)
                    if pair is not None:
                        single = shot.astype(np.float32).transpose(2, 0, 1)[None]
                        yield Image(pair.x, single, -float(z_um), pair.contrast, group)
                before = shot
