"""Tiles without a single focus, as on a fold: noticed by the patches of one picture, then scanned along the axis."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus import prepare
from parfocal.edge.focus.depth import depth_of_field_um
from parfocal.edge.focus.part import reduced
from parfocal.edge.focus.picture.places import spread_places
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.evenness import evenness_of
from parfocal.edge.focus.uneven.field import FieldShape
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiling.writer import encoded
from parfocal.engines.predictor import Predictor

PATCH_SIGMA_UM = 0.4  # of single patches where the model does not tell it (engines/models/single-20x.md)
STACK_STEP_SHARE = 0.6  # of the depth of field from plane to plane
MAX_PLANES = 48

Examine = Callable[[Shot], FieldShape | None]
Write = Callable[[Path, bytes], None]


class UnevenTiles:
    """Judges whether a tile has a single focus."""

    def __init__(self, single: Predictor, config: FocusConfig, um_per_px: float, examine: Examine) -> None:
        """`examine` scans through the field of a shot and comes back; `um_per_px` is the size of a pixel."""
        self._single, self._config, self._examine = single, config, examine
        self._um_per_px = um_per_px * config.downsample
        self.depth_um = depth_of_field_um(config.objective)

    def shape_of(self, shot: Shot, is_suspect: bool = False) -> FieldShape | None:
        """The shape of a tile that is uneven by an axial scan; None for one that is even, at least by its patches.

        `is_suspect`: its focus was not where it was expected, so it is examined whatever the patches of `shot` say.
        The stage is back at its height afterwards. Raises BoardError, CameraFailed, EngineError.
        """
        if not is_suspect and not self.may_be_uneven(shot):
            return None
        shape = self._examine(shot)
        return shape if shape is not None and shape.verdict == "uneven" else None

    def may_be_uneven(self, shot: Shot) -> bool:
        """Whether the patches of a picture have no single focus. Nothing moves. Raises EngineError."""
        whole, side_px = prepare.smoothed(reduced(shot.pixels, self._config)), self._single.contract.patch_px
        corners = spread_places(whole.shape[0], whole.shape[1], side_px)
        cut = np.stack([whole[y : y + side_px, x : x + side_px].transpose(2, 0, 1) for y, x in corners])
        contrasts = prepare.contrast_of(cut.astype(np.float32)).astype(np.float64)
        weights = np.where(contrasts >= self._config.blank_contrast, contrasts, 0.0)
        found = self._single.predict(prepare.standardised(cut.astype(np.float32)))
        z_um = shot.z_um + found.distance_um.astype(np.float64)
        if not (weights > 0.0)[np.isfinite(z_um)].any():
            return False
        sigma_um = np.full(len(z_um), PATCH_SIGMA_UM) if found.sigma_um is None else found.sigma_um
        middles_px = np.array([(x, y) for y, x in corners], np.float64) + side_px / 2.0
        evenness = evenness_of(
            (middles_px - np.array(whole.shape[1::-1]) / 2.0) * self._um_per_px,
            z_um,
            np.maximum(sigma_um.astype(np.float64), 1e-3),
            weights,
            self.depth_um,
        )
        return not evenness.is_even


def spread_of(shape: FieldShape) -> tuple[float, float]:
    """The lowest and the highest focus in a field that was scanned, um."""
    if shape.heights is None or shape.heights.range_um is None:
        return shape.z_um, shape.z_um
    return shape.heights.range_um


def stack_heights(shape: FieldShape, depth_um: float) -> tuple[float, ...]:
    """Heights of a stack through a field, upwards, from a depth of field below its lowest focus to one above."""
    low_um, high_um = spread_of(shape)
    n = min(MAX_PLANES, 1 + math.ceil((high_um - low_um + 2.0 * depth_um) / (STACK_STEP_SHARE * depth_um)))
    return tuple(float(z) for z in np.linspace(low_um - depth_um, high_um + depth_um, n))


def write_planes(folder: Path, planes: Sequence[tuple[float, UInt8Array]], write: Write) -> None:
    """Write planes, (height um, RGB), into a folder that `parfocal evaluate` reads: pictures and stack.csv.

    `write` puts bytes at a path. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("file", "z_um"))
    for number, (z_um, pixels) in enumerate(planes):
        name = f"plane-{number:02d}.png"
        write(folder / name, encoded(pixels, "png"))
        rows.writerow((name, f"{z_um:.4f}"))
    write(folder / "stack.csv", table.getvalue().encode())
