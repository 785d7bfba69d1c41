"""Held-out images with one thing changed at a time: what a foreign microscope does to a model."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from parfocal.edge.focus.picture.prepare import smoothed
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import PHASE_PER_DENSITY_RAD
from tools.arrays import FloatArray
from tools.rendering import seen
from tools.rendering.cameras import Camera, Exposing
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.objectives import Objective
from tools.rendering.samples import flat_sample
from tools.rendering.seen import PATCH_PX, SINGLE_PX
from tools.tissue.sources import HeldOutObjects

IMAGE_PX = SINGLE_PX  # a model of single shots takes the whole image
BEYOND = 1.05  # the lowest height, in parts of the range
REACH = 1.2  # of the transfer functions, in parts of the range


@dataclass(frozen=True)
class Row:
    """One thing changed: values of the optics, or these times those of the objective; phase; camera.

    `phase_per_density_rad` None is that of the virtual slide.
    """

    optics: dict[str, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    phase_per_density_rad: float | None = None
    camera: Camera = field(default_factory=Camera)

    def optics_of(self, reference: Optics) -> Optics:
        """Return the optics of this row, for an objective."""
        changed: dict[str, Any] = dict(self.optics)
        for name, factor in self.times.items():
            value = getattr(reference, name)
            is_one = isinstance(value, float)
            changed[name] = factor * value if is_one else tuple(factor * one for one in value)
        return replace(reference, **changed)


def _camera(**changed: float | bool) -> Row:
    return Row(camera=replace(Camera(), **changed))  # type: ignore[arg-type]


CHEAP = Camera(demosaiced=True, sharpening=0.5, gamma=0.45, jpeg_quality=85)
REFERENCE: Final = "nothing"  # changed
ROWS: Final[dict[str, Row]] = {
    REFERENCE: Row(),
    "condenser 0.30": Row({"condenser_sigma": 0.30}),
    "condenser 0.45": Row({"condenser_sigma": 0.45}),
    "condenser 0.75": Row({"condenser_sigma": 0.75}),
    "condenser 0.90": Row({"condenser_sigma": 0.90}),
    "spherical aberration 0": Row({"w040_waves": 0.0}),
    "spherical aberration -0.15": Row({"w040_waves": -0.15}),
    "spherical aberration 0.3": Row({"w040_waves": 0.3}),
    "no colour shift": Row(times={"chromatic_shift_um": 0.0}),
    "colour shift mirrored": Row(times={"chromatic_shift_um": -1.0}),
    "NA -7 %": Row(times={"na": 0.70 / 0.75}),
    "NA +7 %": Row(times={"na": 0.80 / 0.75}),
    "pixel -13 %": Row(times={"um_per_px": 0.30 / 0.345}),
    "pixel +16 %": Row(times={"um_per_px": 0.40 / 0.345}),
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

    def __init__(self, tiles: Path, fields: int, seed: int, objective: Objective) -> None:
        self._objective = objective
        self._grid = Grid(IMAGE_PX + 2 * objective.margin_px, objective.margin_px)
        rng = np.random.default_rng([seed, 5])
        objects = HeldOutObjects(tiles, objective.optics.um_per_px)
        groups = objects.groups
        self._objects = [
            objects.draw(self._grid.side_px, rng, groups[k % len(groups)]) for k in range(fields)
        ]

    def images(self, row: Row) -> Iterator[Image]:
        """Yield the images of a row: each field at several heights."""
        phase = PHASE_PER_DENSITY_RAD if row.phase_per_density_rad is None else row.phase_per_density_rad
        objective = self._objective
        instrument = Instrument(row.optics_of(objective.optics), REACH * objective.range_um, objective.depth)
        lowest_um = BEYOND * objective.range_um
        planes_um = np.arange(-lowest_um, objective.range_um, objective.delta_um)
        for number, (group, density) in enumerate(self._objects):
            rng = np.random.default_rng(number)
            sample = flat_sample(density, group, phase)
            imaged = Imaged(sample, instrument, self._grid)
            camera = Exposing(row.camera, (IMAGE_PX, IMAGE_PX), rng, objective.binned)
            lines = range(0, IMAGE_PX, PATCH_PX)
            places = [seen.Place(top, left, PATCH_PX, 0.0, group) for top in lines for left in lines]
            heights_um = (planes_um + rng.uniform(0.0, objective.delta_um / 2.0)).astype(np.float32)
            before = None
            for z_um, taken in zip(heights_um, seen.shots_at(imaged, camera, heights_um, rng), strict=True):
                shot = smoothed(taken)
                if before is not None:
                    pair = seen.pairs_of(before, shot, float(z_um), places)
                    if pair is not None:
                        single = shot.astype(np.float32).transpose(2, 0, 1)[None]
                        yield Image(pair.x, single, -float(z_um), pair.contrast, group)
                before = shot
