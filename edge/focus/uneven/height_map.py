"""Heights of the focus inside a field, cell by cell, from a stack of planes. Pure functions."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.cells import CELL_PX, cell_means
from parfocal.edge.focus.picture.sharpness import halved_grey, laplacian
from parfocal.edge.pixels import UInt8Array

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# A cell's sharpness must fall by this share from its peak to the blurred end of its curve. Noise alone changes it by a
# few percent.
MIN_FALL_SHARE = 0.15
FIT_PLANES = 5  # a parabola through the logarithms of the sharpness, about the peak
# Nothing is known better than this: where fine and coarse detail of one cell are sharpest differs by as much.
FLOOR_UM = 0.08
RANGE_PERCENTILES = (5.0, 95.0)  # a few wrong cells must not make a field uneven


class CellPlane(msgspec.Struct, frozen=True):
    """One plane of a scan, cell by cell: sharpness, grey levels squared, and contrast, grey levels; (rows, columns)."""

    z_um: float
    sharpness: FloatArray
    contrast: FloatArray


class HeightMap(msgspec.Struct, frozen=True):
    """Height of the focus of each cell and its standard uncertainty, um, (rows, columns); NaN where it is not known.

    `is_cut_below` and `is_cut_above` mark the cells that hold something and are sharpest in the first or the last
    plane: their focus may lie beyond the scan.
    """

    z_um: FloatArray
    sigma_um: FloatArray
    is_cut_below: BoolArray
    is_cut_above: BoolArray

    @property
    def range_um(self) -> tuple[float, float] | None:
        """Lowest and highest height without a few outliers; None if no cell is known."""
        known = self.z_um[np.isfinite(self.z_um)]
        if not len(known):
            return None
        low_um, high_um = np.percentile(known, RANGE_PERCENTILES)
        return float(low_um), float(high_um)


def cell_plane(z_um: float, pixels: UInt8Array) -> CellPlane:
    """Measure a plane, RGB uint8 (h, w, 3), in cells of `CELL_PX`; what is left at the edges belongs to no cell."""
    grey = halved_grey(pixels)
    side_px = min(CELL_PX // 2, *grey.shape)
    sharpness = cell_means(np.square(laplacian(grey)), side_px)
    variance = cell_means(np.square(grey), side_px) - np.square(cell_means(grey, side_px))
    return CellPlane(z_um, sharpness, np.sqrt(np.clip(variance, 0.0, None)))


def height_map(planes: Sequence[CellPlane], min_contrast: float) -> HeightMap:
    """Height of the sharpest plane of each cell, between the planes.

    Args:
        planes: in the order of their height, `FIT_PLANES` or more.
        min_contrast: grey levels; a cell with less holds nothing to judge.

    Raises ValueError for too few planes.
    """
    if len(planes) < FIT_PLANES:
        raise ValueError(f"{len(planes)} planes given: a height map needs {FIT_PLANES} or more")
    z_um = np.array([plane.z_um for plane in planes])
    sharpness = np.stack([plane.sharpness for plane in planes])
    contrast = np.stack([plane.contrast for plane in planes]).max(axis=0)
    top = sharpness.argmax(axis=0)
    peak = sharpness.max(axis=0)
    holds = (contrast >= min_contrast) & (sharpness.min(axis=0) <= (1.0 - MIN_FALL_SHARE) * peak)
    heights, sigmas, widths = (np.full(top.shape, np.nan) for _ in range(3))
    for number in range(1, len(planes) - 1):  # a peak at an end is no peak
        cells = holds & (top == number)
        if cells.any():
            first = int(np.clip(number - FIT_PLANES // 2, 0, len(planes) - FIT_PLANES))
            window = slice(first, first + FIT_PLANES)
            heights[cells], sigmas[cells], widths[cells] = _vertices(
                z_um[window], sharpness[window][:, cells], z_um[number - 1], z_um[number + 1]
            )
    # A cell with two depths in it has a broader peak than the others, and its height is one of many.
    typical_um = np.nanmedian(widths) if np.isfinite(widths).any() else 0.0
    broader_um = np.sqrt(np.clip(np.square(widths) - typical_um**2, 0.0, None))
    return HeightMap(
        z_um=heights,
        sigma_um=np.sqrt(np.square(sigmas) + np.square(broader_um) + FLOOR_UM**2),
        is_cut_below=holds & (top == 0),
        is_cut_above=holds & (top == len(planes) - 1),
    )


def fullest_plane(planes: Sequence[CellPlane], heights: HeightMap, depth_um: float) -> int:
    """The plane in which most cells of known height are near their focus: a whole one counts at it, none at `depth_um`.

    `heights` has a cell of known height.
    """
    known = heights.z_um[np.isfinite(heights.z_um)]
    away = np.abs(known - np.array([plane.z_um for plane in planes])[:, None]) / depth_um
    return int(np.clip(1.0 - away, 0.0, None).sum(axis=1).argmax())


def _vertices(
    z_um: FloatArray, sharpness: FloatArray, lowest_um: float, highest_um: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Vertex, its standard uncertainty, and the width of the peak, um, of each curve (planes, n); three times (n,).

    The logarithm of a peak is a parabola near its top. Its scatter about that parabola gives the uncertainty.
    """
    middle_um = float(z_um.mean())
    design = np.stack([np.ones_like(z_um), z_um - middle_um, np.square(z_um - middle_um)], axis=1)
    logs = np.log(np.maximum(sharpness, 1e-6))
    inverse = np.linalg.pinv(design)
    level, slope, bend = inverse @ logs
    bend = np.minimum(bend, -1e-6)
    scatter = np.sqrt(
        np.square(logs - design @ np.stack([level, slope, bend])).sum(axis=0) / (len(z_um) - design.shape[1])
    )
    offset_um = -slope / (2.0 * bend)
    # Errors of slope and bend are independent for planes that lie evenly about their middle.
    slope_error, bend_error = (scatter * float(np.linalg.norm(inverse[row])) for row in (1, 2))
    sigma_um = np.hypot(slope_error, 2.0 * offset_um * bend_error) / (2.0 * np.abs(bend))
    return (
        np.clip(middle_um + offset_um, lowest_um, highest_um),
        np.minimum(sigma_um, highest_um - lowest_um),
        np.minimum(np.sqrt(-0.5 / bend), float(np.ptp(z_um))),
    )
