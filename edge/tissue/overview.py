"""From an overview picture to areas on the stage, and back."""

from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.errors import ConfigError
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.tissue.area import Area, Polygon
from parfocal.edge.tissue.mask import tissue_mask

Floats = NDArray[np.float64]

MAX_RESIDUAL_UM = 500.0  # of a landmark; more is a typing error, or a picture of another slide
OUTLINE_PX = 1.0  # how far a polygon may be from the outline that it stands for
MIN_HOLE_SHARE = 0.01  # of its island: smaller holes are scanned along


class Landmark(msgspec.Struct, frozen=True):
    """A place that is known in the overview, px, and on the stage, um."""

    column_px: float
    row_px: float
    x_um: float
    y_um: float


class Placement(msgspec.Struct, frozen=True, eq=False):
    """Where pixels of an overview lie on the stage: `matrix` (2, 3) takes (column, row, 1) to (x, y), um."""

    matrix: Floats

    @property
    def um_per_px(self) -> float:
        """Size of a pixel of the overview on the stage, um."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix[:, :2]))))

    def um_from_px(self, places_px: Floats) -> Floats:
        """Places (n, 2) on the stage, um, of columns and rows (n, 2)."""
        return np.asarray(places_px @ self.matrix[:, :2].T + self.matrix[:, 2], np.float64)

    def px_from_um(self, places_um: Floats) -> Floats:
        """Columns and rows (n, 2) of places (n, 2) on the stage, um."""
        return np.asarray((places_um - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T, np.float64)


def placed(landmarks: Sequence[Landmark]) -> Placement:
    """The placement by landmarks: a turn and a scale by two, any linear map by three or more.

    Raises ConfigError if they do not determine it, or contradict each other.
    """
    px = np.array([[mark.column_px, mark.row_px] for mark in landmarks], np.float64).reshape(-1, 2)
    um = np.array([[mark.x_um, mark.y_um] for mark in landmarks], np.float64).reshape(-1, 2)
    if len(px) < 2:
        raise ConfigError("where the overview lies is not determined: give two landmarks or more")
    if len(px) == 2:
        # x = a c - b r + e, y = b c + a r + f.
        column, row, one, zero = px[:, 0], px[:, 1], np.ones(2), np.zeros(2)
        terms = np.concatenate(
            [np.stack([column, -row, one, zero], axis=1), np.stack([row, column, zero, one], axis=1)]
        )
        (a, b, e, f), _, rank, _ = np.linalg.lstsq(terms, um.T.ravel(), rcond=None)
        matrix, is_determined = np.array([[a, -b, e], [b, a, f]]), rank == 4
    else:
        terms = np.concatenate([px, np.ones((len(px), 1))], axis=1)
        solved, _, rank, _ = np.linalg.lstsq(terms, um, rcond=None)
        matrix, is_determined = solved.T, rank == 3
    if not is_determined:
        raise ConfigError(
            "where the overview lies is not determined: the landmarks lie at one place or on a line"
        )
    placement = Placement(matrix)
    off_um = float(np.hypot(*(placement.um_from_px(px) - um).T).max())
    if off_um > MAX_RESIDUAL_UM:
        raise ConfigError(
            f"the landmarks contradict each other by {off_um:.0f} um, at most {MAX_RESIDUAL_UM:.0f} um are allowed: "
            "correct the one that is wrong"
        )
    return placement


def tissue_area(pixels: UInt8Array, placement: Placement) -> Area:
    """The tissue in an overview, RGB uint8 (h, w, 3), as polygons on the stage. Raises ConfigError if there is none."""
    found = tissue_mask(pixels, placement.um_per_px)
    outlines, hierarchy = cv2.findContours(found.mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings: dict[int, list[Floats]] = {}
    outer_of = np.asarray(hierarchy).reshape(-1, 4)[:, 3].tolist() if outlines else []
    for number, (outline, outer) in enumerate(zip(outlines, outer_of, strict=True)):
        island = outer if outer >= 0 else number
        if outer >= 0 and cv2.contourArea(outline) < MIN_HOLE_SHARE * cv2.contourArea(outlines[island]):
            continue
        ring = cv2.approxPolyDP(outline, OUTLINE_PX, True)[:, 0].astype(np.float64)
        if len(ring) >= 3:
            rings.setdefault(island, []).append(placement.um_from_px((ring + 0.5) * found.factor - 0.5))
    if not rings:
        raise ConfigError("no tissue found in the overview: give the region by hand with --region or --mask")
    return Area(tuple(Polygon(tuple(of_island)) for of_island in rings.values()))
