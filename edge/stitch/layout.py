"""Where the tiles of a scan should lie in the mosaic by the stage, and which of them are neighbours."""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.camera.view import View

Floats = NDArray[np.float64]


class StagePlace(msgspec.Struct, frozen=True):
    """A tile: its cell in the grid of the scan, and the centre of its field on the stage."""

    row: int
    column: int
    x_um: float
    y_um: float


def px_from_um(view: View) -> Floats:
    """The matrix (2, 2) that takes a step of the stage (x, y), um, to a step in the mosaic, px."""
    um_from_px = np.array([view.um_from_px(1.0, 0.0), view.um_from_px(0.0, 1.0)]).T
    return np.asarray(np.linalg.inv(um_from_px), np.float64)


def nominal_px(places: Sequence[StagePlace], view: View) -> Floats:
    """Corner (x, y) of each tile by the stage alone, px, (n, 2); the first tile lies at the origin."""
    places_um = np.array([(place.x_um, place.y_um) for place in places], np.float64)
    corners: Floats = (places_um - places_um[:1]) @ px_from_um(view).T
    return corners


def neighbours(places: Sequence[StagePlace]) -> Iterator[tuple[int, int]]:
    """Pairs of tiles beside each other, (left, right) and (upper, lower), as numbers into `places`."""
    number = {(place.row, place.column): k for k, place in enumerate(places)}
    for (row, column), k in number.items():
        for beside in ((row, column + 1), (row + 1, column)):
            if beside in number:
                yield k, number[beside]


def overlap_of(
    offset_px: tuple[int, int], size_px: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What two tiles of `size_px` (w, h) have in common, as (rows, columns) of each.

    `offset_px` is the corner of the second one from that of the first, (x, y). The slices are empty where they do not
    meet.
    """
    (of_first_x, of_second_x), (of_first_y, of_second_y) = (
        (
            slice(max(0, offset), max(0, min(side, side + offset))),
            slice(max(0, -offset), max(0, side - max(0, offset))),
        )
        for offset, side in zip(offset_px, size_px, strict=True)
    )
    return (of_first_y, of_first_x), (of_second_y, of_second_x)
