"""What a network sees of a sample at many heights: patches of two shots, or of one, with their distances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from parfocal.edge.focus.picture import prepare
from tools.arrays import FloatArray, UInt8Array
from tools.rendering.cameras import Exposing
from tools.rendering.imaging import Grid, Imaged
from tools.rendering.samples import Sample
from tools.tissue.textures import Rng

GREY = np.full((1, 3), 1.0 / 3.0, np.float32)
PATCH_PX, SINGLE_PX = 224, 672  # of a model of pairs, and of one of single shots
SHIFT_PX = 0.04  # a stage never stops at exactly the same place
MIN_CONTRAST = 3.0  # in grey levels; below it a patch is little more than camera noise


@dataclass(frozen=True)
class Place:
    """A square part of a frame: its corner and side in pixels, the focus there, and the group of the object."""

    top: int
    left: int
    side_px: int
    focus_um: float
    group: str


@dataclass(frozen=True)
class Patches:
    """What a network sees of one shot, or of two.

    Attributes:
        x: in grey levels, not standardised, float32 (n, channels, side, side).
        distance_um: from the (second) shot to the focus, positive up, (n,).
        contrast: of the (second) shot in grey levels, (n,).
        groups: of the objects, (n,).
    """

    x: FloatArray
    distance_um: FloatArray
    contrast: FloatArray
    groups: tuple[str, ...]

    def part(self, chosen: slice) -> "Patches":
        """Return some of the patches."""
        return Patches(self.x[chosen], self.distance_um[chosen], self.contrast[chosen], self.groups[chosen])

    def __len__(self) -> int:
        return len(self.distance_um)


def place_of(sample: Sample, grid: Grid, top: int, left: int, side_px: int) -> Place:
    """Return the place at a pixel of the image of a sample."""
    row, column = top + grid.margin_px, left + grid.margin_px
    focus_um = sample.focus_um((slice(row, row + side_px), slice(column, column + side_px)))
    return Place(top, left, side_px, focus_um, sample.group(row + side_px // 2, column + side_px // 2))


def places_in(sample: Sample, grid: Grid, side_px: int, rng: Rng) -> list[Place]:
    """Return as many places as fit without overlap and without crossing from one object to another, a little moved."""
    margin_px = grid.margin_px
    places: list[Place] = []
    for region, _ in sample.groups:
        lines = []
        for along in region:
            begin, end = max(along.start, margin_px), min(along.stop, grid.side_px - margin_px)
            count = (end - begin) // side_px
            room = end - begin - count * side_px
            moved = np.sort(rng.integers(0, room + 1, count))
            lines.append([begin - margin_px + k * side_px + int(m) for k, m in enumerate(moved)])
        places += [place_of(sample, grid, top, left, side_px) for top in lines[0] for left in lines[1]]
    return places


def shots_at(
    imaged: Imaged, cameras: Sequence[Exposing], heights_um: FloatArray, rng: Rng
) -> Iterator[list[UInt8Array]]:
    """Yield the shots (h, w, 3) at each height of the stage, one of each camera."""
    for z_um in heights_um:
        shift_px = (float(rng.normal(0.0, SHIFT_PX)), float(rng.normal(0.0, SHIFT_PX)))
        density = imaged.density(float(z_um), shift_px)
        yield [camera.shot(density) for camera in cameras]


def pairs_of(first: UInt8Array, second: UInt8Array, z_um: float, places: list[Place]) -> Patches | None:
    """Return what a model of pairs sees of two smoothed shots at places of one size, None without contrast.

    `z_um` is the height of the second shot.
    """
    return _cut((prepare.difference_image(first, second), second), z_um, places)


def singles_of(shot: UInt8Array, z_um: float, places: list[Place]) -> Patches | None:
    """Return what a model of single shots sees of a smoothed shot at places of one size, None without contrast."""
    return _cut((shot,), z_um, places)


def _cut(images: tuple[FloatArray | UInt8Array, ...], z_um: float, places: list[Place]) -> Patches | None:
    """Cut patches with enough contrast in the last of the images (h, w, 3)."""
    kept, contrasts = [], []
    for place in places:
        contrast = _contrast(_part(images[-1], place))
        if contrast >= MIN_CONTRAST:
            kept.append(place)
            contrasts.append(contrast)
    if not kept:
        return None
    side_px = kept[0].side_px
    x = np.empty((len(kept), 3 * len(images), side_px, side_px), np.float32)
    for patch, place in zip(x, kept, strict=True):
        for number, image in enumerate(images):
            patch[3 * number : 3 * number + 3] = _part(image, place).transpose(2, 0, 1)
    return Patches(
        x,
        np.array([place.focus_um - z_um for place in kept], np.float32),
        np.array(contrasts, np.float32),
        tuple(place.group for place in kept),
    )


def _part(image: FloatArray | UInt8Array, place: Place) -> FloatArray | UInt8Array:
    return image[place.top : place.top + place.side_px, place.left : place.left + place.side_px]


def _contrast(shot: FloatArray | UInt8Array) -> float:
    """Return the standard deviation of the grey values of a shot (h, w, 3), as `prepare.contrast_of` does."""
    grey = cv2.transform(shot.astype(np.float32), GREY)
    return float(cv2.meanStdDev(grey)[1][0, 0])
