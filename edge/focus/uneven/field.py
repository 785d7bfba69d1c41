"""Uneven fields: from the predictions of patches to a scan through their heights, and a map of them (liao2021 2.2).

The paper predicts from one shot, patches of 672 px. Here a second shot a delta above the first is taken, and the
two-shot model predicts from patches of 224 px: a fold that is narrower than 672 px shows, each prediction is two to
three times as certain, and the model is the one that a calibration fits to the microscope.
"""

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import Axis
from parfocal.edge.camera.frame import Camera
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.depth import depth_of_field_um, depth_scale
from parfocal.edge.focus.picture import prepare
from parfocal.edge.focus.picture.part import reduced
from parfocal.edge.focus.shots import Plane, Shot, Shots
from parfocal.edge.focus.uneven.composite import composite, registered
from parfocal.edge.focus.uneven.evenness import Evenness, Shape, evenness_of
from parfocal.edge.focus.uneven.height_map import (
    FIT_PLANES,
    CellPlane,
    HeightMap,
    cell_plane,
    fullest_plane,
    height_map,
)
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.model.head import Prediction
from parfocal.engines.predictor import Predictor

# Standard uncertainty of a patch where the model does not tell it, um: see the card of `difference-20x`.
PATCH_SIGMA_UM = 0.3
BATCH = 4  # patches at once: engines are built for the four of the focus loop
# A scan goes on while this share of the cells is still sharpest in its outermost plane, up to `MAX_PLANES` in all.
CUT_SHARE = 0.02
MAX_PLANES = 48  # 180 MB at 1224 x 1024

Verdict = Literal["even", "uneven", "not confirmed"]


class PassThrough(Protocol):
    """Takes planes while the stage rises."""

    def begin_um(self, heights_um: Sequence[float]) -> float:
        """Where the stage stands before it passes these heights, engaged upwards."""

    def __call__(self, heights_um: Sequence[float]) -> list[Plane]:
        """The planes at these heights, evenly spaced upwards; what could not be taken is left out."""


class Planes(msgspec.Struct, frozen=True):
    """How a field is scanned.

    `step_share`: of the depth of field from plane to plane. A scan begins and ends `margin_depths` depths of field
    beyond what was predicted, and goes on by `n_added` planes. `composite`: an all-in-focus picture is made of them.
    """

    step_share: float
    margin_depths: float
    n_added: int
    composite: bool


FOR_PICTURE = Planes(0.6, 2.0, 3, composite=True)
# For the heights alone. Of 12 fields with tilts, steps and folds half of the planes gave the same verdicts, and heights
# as near to the truth (0.35 um rms, 0.40 with the planes above): the peak of a cell is as wide as two of these steps.
FOR_HEIGHTS = Planes(1.2, 1.0, 2, composite=False)


class Patches(msgspec.Struct, frozen=True):
    """The patches of two shots: centres from the middle of the field, predicted heights of the focus, their standard
    uncertainties, um, and contrast, grey levels.
    """

    xy_um: NDArray[np.float64]
    z_um: NDArray[np.float64]
    sigma_um: NDArray[np.float64]
    contrasts: NDArray[np.float64]


class FieldShape(msgspec.Struct, frozen=True):
    """The shape of the focus inside one field.

    `verdict`: "even" by the predictions, "uneven" if the scan shows more than one depth of field, "not confirmed" if
    only the predictions did. `z_um` is the mean of the patches, where an even field is to be focused. `images` were
    taken here. From the scan come `heights`, `picture`, all in focus, and `best`, the shot in which most of the field
    is near its focus.
    """

    verdict: Verdict
    predicted: Shape
    z_um: float
    patches_um: tuple[float, ...]
    images: int
    heights: HeightMap | None = None
    picture: UInt8Array | None = None
    best: Shot | None = None


class Passed(msgspec.Struct, frozen=True):
    """What planes through a field have shown without any prediction.

    The lowest and the highest focus, um; whether they lie more than a depth of field apart; the shot in which most of
    the field is near its focus; and the picture of an uneven one, all in focus, where one is wanted.
    """

    range_um: tuple[float, float]
    is_uneven: bool
    best: Shot
    picture: UInt8Array | None = None


class UnevenField:
    """Judges fields patch by patch, and scans through those that may be uneven. Arrives from below only."""

    def __init__(
        self,
        axis: Axis,
        camera: Camera,
        predictor: Predictor,
        config: FocusConfig,
        um_per_px: float,
        planes: Planes = FOR_PICTURE,
        pass_through: PassThrough | None = None,
    ) -> None:
        """`predictor` takes two shots; `um_per_px` is the size of a pixel of the camera. Nothing moves.

        `pass_through`: None to stop for each plane.
        """
        self._shots, self._predictor, self._config = Shots(axis, camera, config), predictor, config
        self._depth_um = depth_of_field_um(config.objective)
        self._planes, self._pass_through = planes, pass_through
        steps = max(1, math.floor(planes.step_share * self._depth_um / axis.config.um_per_step + 0.5))
        self._step_um = steps * axis.config.um_per_step
        self._um_per_px = um_per_px * config.downsample

    def look(self, shot: Shot) -> tuple[Patches, Evenness | None]:
        """What the patches of a shot and of one a delta above it say; None if none of them holds anything.

        Raises BoardError, CameraFailed, EngineError.
        """
        return self._looked(shot, self._second(shot))

    def _second(self, shot: Shot) -> Shot:
        return self._shots.take(shot.z_um + self._config.delta_um)

    def _looked(self, shot: Shot, second: Shot) -> tuple[Patches, Evenness | None]:
        patches = self._patches(shot, second)
        weights = np.where(patches.contrasts >= self._config.blank_contrast, patches.contrasts, 0.0)
        if not (weights > 0.0)[np.isfinite(patches.z_um)].any():
            return patches, None
        return patches, evenness_of(patches.xy_um, patches.z_um, patches.sigma_um, weights, self._depth_um)

    def examine(self, shot: Shot | None = None) -> FieldShape | None:
        """Judge the field, and scan through it if it may be uneven; None if it is empty. The lamp must be on.

        `shot` was taken in this field; without one a shot is taken where the stage stands. Another is taken a delta
        above it. The stage is back at its height afterwards.

        Raises BoardError, CameraFailed, EngineError.
        """
        self._shots.restart_trace()
        z_um = self._shots.z_um
        shape = self._shape(self._shots.take(z_um) if shot is None else shot)
        self._shots.approach(z_um)
        return shape

    def examine_and_stay(self, shot: Shot) -> FieldShape | None:
        """The same, but the stage stays at its last shot: on the way to the next field Z moves while X and Y do."""
        self._shots.restart_trace()
        return self._shape(shot)

    def begin_um(self, low_um: float, high_um: float) -> float:
        """Where the stage stands before it goes `through`, engaged upwards."""
        heights_um = self._within_limits(*self._span(low_um, high_um, low_um))
        if self._pass_through is None or len(heights_um) < 2:
            return heights_um[0] if heights_um else low_um
        return self._pass_through.begin_um(heights_um)

    def through(self, low_um: float, high_um: float) -> Passed | None:
        """Scan through a field whose focus lies about between these heights; the stage stays at the end.

        None if nothing has a focus there, or the limits leave no room. Raises as `examine`.
        """
        self._shots.restart_trace()
        shots, planes = self._scan(low_um, high_um, None)
        if len(planes) < FIT_PLANES:
            return None
        heights = height_map(planes, self._config.blank_contrast)
        if heights.range_um is None:
            return None
        best = shots[fullest_plane(planes, heights, self._depth_um)]
        is_uneven = self._is_uneven(heights)
        return Passed(heights.range_um, is_uneven, best, self._picture(shots) if is_uneven else None)

    def _is_uneven(self, heights: HeightMap) -> bool:
        range_um = heights.range_um
        return range_um is not None and range_um[1] - range_um[0] > self._depth_um

    def _shape(self, shot: Shot) -> FieldShape | None:
        second = self._second(shot)
        patches, found = self._looked(shot, second)
        if found is None:
            return None
        predicted_um = tuple(float(z) for z in patches.z_um)
        if found.is_even:
            return FieldShape("even", "even", found.z_um, predicted_um, self._shots.images)
        shots, planes = self._scan(found.low_um, found.high_um, second)
        if len(planes) < FIT_PLANES:  # no room within the limits
            return FieldShape("not confirmed", found.shape, found.z_um, predicted_um, self._shots.images)
        heights = height_map(planes, self._config.blank_contrast)
        is_uneven = self._is_uneven(heights)
        return FieldShape(
            verdict="uneven" if is_uneven else "not confirmed",
            predicted=found.shape,
            z_um=found.z_um,
            patches_um=predicted_um,
            images=self._shots.images,
            heights=heights,
            picture=self._picture(shots) if is_uneven else None,
            best=shots[fullest_plane(planes, heights, self._depth_um)] if is_uneven else None,
        )

    def _picture(self, shots: list[Shot]) -> UInt8Array | None:
        """The all-in-focus picture, where one is wanted."""
        if not self._planes.composite:
            return None
        return composite(registered([shot.pixels for shot in shots])[0])[0]

    def _patches(self, first: Shot, second: Shot) -> Patches:
        side_px, contract = self._config.patch_px, self._predictor.contract
        frames = [reduced(shot.pixels, self._config) for shot in (first, second)]
        rows, columns = (length // side_px for length in frames[0].shape[:2])
        top, left = (
            (frames[0].shape[0] - rows * side_px) // 2,
            (frames[0].shape[1] - columns * side_px) // 2,
        )
        whole = np.s_[top : top + rows * side_px, left : left + columns * side_px]
        one, other = (prepare.planes_of(prepare.smoothed(frame[whole])) for frame in frames)
        batch = prepare.two_shot_batch(one, other, side_px, with_second=contract.kind == "pair")
        starts = range(0, len(batch), BATCH)
        found = Prediction.of_parts([self._predictor.predict(batch[k : k + BATCH]) for k in starts])
        distance_um, sigma_um = found.distance_um, found.sigma_um
        if sigma_um is None:
            sigma_um = np.full_like(distance_um, PATCH_SIGMA_UM * depth_scale(self._config.objective))
        middles_px = np.array(
            [(column + 0.5, row + 0.5) for row in range(rows) for column in range(columns)], np.float64
        )
        return Patches(
            xy_um=(middles_px - np.array((columns, rows)) / 2.0) * side_px * self._um_per_px,
            z_um=second.z_um + distance_um.astype(np.float64),
            sigma_um=np.maximum(sigma_um.astype(np.float64), 1e-3),
            contrasts=prepare.contrasts_of(other, side_px).astype(np.float64),
        )

    def _span(self, low_um: float, high_um: float, from_um: float) -> tuple[float, int]:
        """The first plane of a scan between these heights with its margins, and how many there are.

        `from_um`, or a whole number of steps from it, is one of them.
        """
        margin_um, step_um = self._planes.margin_depths * self._depth_um, self._step_um
        first = math.floor((low_um - margin_um - from_um) / step_um)
        last = math.ceil((high_um + margin_um - from_um) / step_um)
        last = min(max(last, first + FIT_PLANES - 1), first + MAX_PLANES - 1)
        return from_um + first * step_um, last - first + 1

    def _scan(self, low_um: float, high_um: float, taken: Shot | None) -> tuple[list[Shot], list[CellPlane]]:
        """Planes from below `low_um` to above `high_um`, and on while cells are sharpest in an outermost plane.

        `taken`, where the stage stands, is one of them where the stage stops for each: those above it come first, since
        they need no way down. A stage that passes through them passes it once more.
        """
        step_um = self._step_um
        first_um, n = self._span(low_um, high_um, low_um if taken is None else taken.z_um)
        n_below = 0 if taken is None else round((taken.z_um - first_um) / step_um)
        if taken is not None and 0 <= n_below < n and self._pass_through is None:
            above = self._sweep(taken.z_um + step_um, n - n_below - 1)
            shots = [*self._sweep(first_um, n_below), taken, *above]
        else:
            shots = self._sweep(first_um, n)
        planes = [cell_plane(shot.z_um, shot.pixels) for shot in shots]
        while FIT_PLANES <= len(shots) < MAX_PLANES:
            cut = height_map(planes, self._config.blank_contrast)
            n_cut = max(1.0, CUT_SHARE * cut.z_um.size)
            n_added = min(self._planes.n_added, MAX_PLANES - len(shots))
            is_above = cut.is_cut_above.sum() > n_cut
            if not is_above and not cut.is_cut_below.sum() > n_cut:
                break
            start_um = shots[-1].z_um + step_um if is_above else shots[0].z_um - n_added * step_um
            added = self._sweep(start_um, n_added)
            if not added:
                break
            more = [cell_plane(shot.z_um, shot.pixels) for shot in added]
            shots, planes = (
                ([*shots, *added], [*planes, *more]) if is_above else ([*added, *shots], [*more, *planes])
            )
        return shots, planes

    def _sweep(self, start_um: float, n_planes: int) -> list[Shot]:
        """Up to `n_planes` upwards from `start_um`, those that lie within the limits."""
        heights_um = self._within_limits(start_um, n_planes)
        if self._pass_through is None or len(heights_um) < 2:
            return [self._shots.take(z_um) for z_um in heights_um]
        shots = self._shots.passed(self._pass_through(heights_um))
        lacking_um = [
            z_um
            for z_um in heights_um
            if not any(abs(shot.z_um - z_um) < 0.5 * self._step_um for shot in shots)
        ]
        return sorted((*shots, *map(self._shots.take, lacking_um)), key=lambda shot: shot.z_um)

    def _within_limits(self, start_um: float, n_planes: int) -> list[float]:
        low_um, high_um = self._shots.lowest_um, self._shots.limits_um[1]
        heights_um = (start_um + k * self._step_um for k in range(n_planes))
        return [z_um for z_um in heights_um if low_um <= z_um <= high_um]
