"""Held-out images with one thing changed at a time: what a foreign microscope does to a model."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.prepare import smoothed
from parfocal.edge.simscope.optics import Optics
from parfocal.edge.simscope.scene import PHASE_PER_DENSITY_RAD
from parfocal.engines.model.contract import CHANNELS, Kind
from tools.arrays import FloatArray, UInt8Array
from tools.rendering import seen
from tools.rendering.cameras import Camera, Exposing
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.objectives import Objective
from tools.rendering.samples import flat_sample
from tools.rendering.seen import PATCH_PX, SINGLE_PX
from tools.tissue.sources import HeldOutObjects

IMAGE_PX = SINGLE_PX  # which single-20x and single-10x take as one patch
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


def _camera(**changed: float | bool | str) -> Row:
    return Row(camera=replace(Camera(), **changed))  # type: ignore[arg-type]


CHEAP = Camera(demosaiced=True, sharpening=0.5, gamma=0.45, jpeg_quality=85, chroma="4:2:0")
# What the USB Video Class has a webcam deliver: JPEG with colours at half of the sampling along rows alone.
WEBCAM = replace(CHEAP, chroma="4:2:2", saturation=1.2, denoised=True)
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
    "JPEG 85, 4:2:0": _camera(jpeg_quality=85, chroma="4:2:0"),
    "JPEG 85, 4:2:2": _camera(jpeg_quality=85, chroma="4:2:2"),
    "JPEG 85, 4:4:4": _camera(jpeg_quality=85),
    "JPEG 95, 4:2:0": _camera(jpeg_quality=95, chroma="4:2:0"),
    "uncompressed, 4:2:2": _camera(chroma="4:2:2"),
    "uncompressed, 4:2:0": _camera(chroma="4:2:0"),
    "saturation 0.6": _camera(saturation=0.6),
    "saturation 1.5": _camera(saturation=1.5),
    "denoised": _camera(denoised=True),
    "sharpened": _camera(sharpening=0.5),
    "gamma of sRGB": _camera(gamma=0.45),
    "light steps of 1 %": _camera(gain_step=0.01),
    "demosaiced": _camera(demosaiced=True),
    "a cheap camera": Row(camera=CHEAP),
    "a webcam": Row(camera=WEBCAM),
}


@dataclass(frozen=True)
class Image:
    """Two smoothed shots of one field.

    Attributes:
        before, shot: uint8 (side, side, 3).
        distance_um: from the second shot to the focus.
        group: of the object.
    """

    before: UInt8Array
    shot: UInt8Array
    distance_um: float
    group: str

    def patches(self, kind: Kind, patch_px: int) -> tuple[FloatArray, FloatArray]:
        """Return what a model of this kind sees, float32 (n, channels, h, w) in grey levels, and its contrast (n,)."""
        if kind == "single":
            whole = prepare.patches_of(self.shot, patch_px)
            return whole, prepare.contrast_of(whole)
        lines = range(0, len(self.shot) - patch_px + 1, patch_px)
        places = [seen.Place(top, left, patch_px, 0.0, self.group) for top in lines for left in lines]
        pairs = seen.pairs_of(self.before, self.shot, 0.0, places)
        if pairs is None:
            raise ValueError("no patch of the image has any contrast")
        return pairs.x[:, : CHANNELS[kind]], pairs.contrast


class HeldOutFields:
    """The same fields of held-out slides and stains for each row."""

    def __init__(
        self, tiles: Path, fields: int, seed: int, objective: Objective, side_px: int | None = None
    ) -> None:
        """`side_px` is the side of the images, by default `IMAGE_PX`. Larger ones show several pieces of a slide."""
        self._objective = objective
        side_px = side_px or IMAGE_PX
        self._grid = Grid(side_px + 2 * objective.margin_px, objective.margin_px)
        rng = np.random.default_rng([seed, 5])
        objects = HeldOutObjects(tiles, objective.optics.um_per_px)
        groups = objects.groups
        self._objects = [_field(objects, self._grid, groups[k % len(groups)], rng) for k in range(fields)]

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
            camera = Exposing(row.camera, (self._grid.image_px, self._grid.image_px), rng, objective.binned)
            heights_um = (planes_um + rng.uniform(0.0, objective.delta_um / 2.0)).astype(np.float32)
            before = None
            shots = seen.shots_at(imaged, [camera], heights_um, rng)
            for z_um, (taken,) in zip(heights_um, shots, strict=True):
                shot = smoothed(taken)
                contrasts = prepare.contrasts_of(prepare.planes_of(shot), PATCH_PX)
                if before is not None and contrasts.max() >= seen.MIN_CONTRAST:
                    yield Image(before, shot, -float(z_um), group)
                before = shot


def _field(
    objects: HeldOutObjects, grid: Grid, group: str, rng: np.random.Generator
) -> tuple[str, FloatArray]:
    """Return an object of a group, and its density (3, side, side): one piece, or several of about `IMAGE_PX`.

    A source is smaller than a large image and would be seen many times over, mirrored.
    """
    per_side = max(1, grid.image_px // IMAGE_PX)
    piece_px = math.ceil(grid.side_px / per_side)
    pieces = [[objects.draw(piece_px, rng, group)[1] for _ in range(per_side)] for _ in range(per_side)]
    whole = np.concatenate([np.concatenate(row, axis=2) for row in pieces], axis=1)
    return group, np.ascontiguousarray(whole[:, : grid.side_px, : grid.side_px])
