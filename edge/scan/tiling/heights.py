"""The height at which a tile is taken: the surveyed surface, corrected by what the tiles nearby have shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.scan.tiling.plan import PlannedTile
from parfocal.edge.surface.points import SurfaceRefused
from parfocal.edge.surface.surface import FocalSurface

Floats = NDArray[np.float64]

REACH_PITCHES = 2.6  # the two rings of neighbours around a tile
MAX_NEIGHBOURS = 8
SAME_PLACE = 0.3  # of a pitch: a stage does not err by more
BEYOND_STEP = 2.0  # standard deviations beyond which a tile nearby lies on the other side of a step
# Standard deviation by which the focus of two neighbouring tiles differs beyond the surface, um, for tiles one pitch
# apart; farther apart, in proportion. A section bends by less; across a step nothing helps but the tile's own picture.
ROUGHNESS_UM = 0.25
MIN_SURFACE_UM = 0.3  # no survey is better than this, however well its points fit (docs/survey.md)
# What neighbours never tell better than, as a share of the error of the surface: a slide that a survey fits badly has
# steps, and a step comes without notice.
MIN_SHARE = 0.5
STANDS_OUT = 4.0  # standard deviations of the surface by which tiles stand out from the slide
# Where the tiles about a place lie on one side, the step would have to begin there: they tell more.
CALM_SHARE = 0.3
CALM_UM = 0.6  # twice the standard uncertainty of a tile
MAX_CORRECTION_UM = 12.0  # farther from the surface than this, the surface is of another slide
MAX_BEYOND_UM = 1500.0  # outside of the surveyed points: a survey leaves blank corners out


class Expected(msgspec.Struct, frozen=True):
    """The expected height of the focus at one place, and its standard uncertainty, um.

    `beyond_um`: where it lies just as probably, since the tiles nearby stand out from the slide, as on a fold, which
    may end before this place; None if they do not.
    """

    z_um: float
    sigma_um: float
    beyond_um: float | None = None


class Heights:
    """Where the focus is expected, from a surface and from the tiles so far."""

    def __init__(self, surface: FocalSurface, pitch_um: tuple[float, float]) -> None:
        """`pitch_um`: distance of neighbouring tiles in X and Y."""
        self._surface, self._pitch_um = surface, pitch_um
        self._prior = max(surface.error.rms_um, MIN_SURFACE_UM) ** 2
        # X, Y, height above the surface, its sigma; rows beyond those in `_row_of` are free.
        self._learned: Floats = np.empty((64, 4))
        self._row_of: dict[tuple[float, float], int] = {}
        # Rows by cells of a pitch, so that a slide of twenty thousand tiles is not looked through for each of them.
        self._cells: dict[tuple[int, int], list[int]] = {}
        self._shown: dict[tuple[float, float], Expected] = {}

    def check(self, tiles: Iterable[PlannedTile], limits_um: tuple[float, float]) -> None:
        """Refuse tiles that the surface does not reach, or Z does not, within its limits. Raises SurfaceRefused."""
        for planned in tiles:
            self.check_covers(planned.x_um, planned.y_um)
            self.check_reach(planned.x_um, planned.y_um, limits_um)

    def check_covers(self, x_um: float, y_um: float) -> None:
        """Refuse a place too far outside of the surface's points. Raises SurfaceRefused."""
        inside_x_um, inside_y_um = _clamped(self._surface.hull_um, x_um, y_um)
        beyond_um = math.hypot(x_um - inside_x_um, y_um - inside_y_um)
        if not self._surface.covers(x_um, y_um) and beyond_um > MAX_BEYOND_UM:
            raise SurfaceRefused(
                f"the tile at x={x_um:.0f} y={y_um:.0f} um lies {beyond_um / 1000.0:.1f} mm outside of the points of "
                f"the focal surface, at most {MAX_BEYOND_UM / 1000.0:g} mm are allowed; nothing more was scanned. "
                "Survey a larger region, or leave that part out with --mask."
            )

    def check_reach(self, x_um: float, y_um: float, limits_um: tuple[float, float]) -> None:
        """Refuse a place whose surface Z does not reach, motor or lens. Raises SurfaceRefused."""
        low_um, high_um = limits_um
        z_um = self.surface_um(x_um, y_um)
        if not low_um <= z_um <= high_um:
            raise SurfaceRefused(
                f"the focal surface lies at z={z_um:.1f} um at the tile at x={x_um:.0f} y={y_um:.0f} um, but Z goes "
                f"from {low_um:.1f} to {high_um:.1f} um; nothing more was scanned. Leave that part out with --mask, or "
                "change the limits of board.z; with a lens, set lens.park_um to the middle of the slide's heights."
            )

    def surface_um(self, x_um: float, y_um: float) -> float:
        """Height of the surface; outside of its points that of the nearest place inside."""
        if not self._surface.covers(x_um, y_um):
            x_um, y_um = _clamped(self._surface.hull_um, x_um, y_um)
        return float(self._surface.heights_um(np.array([x_um]), np.array([y_um]))[0])

    def learn(self, x_um: float, y_um: float, focus_z_um: float, sigma_um: float) -> None:
        """Take in the focus that a tile has shown. A later one at the same place replaces it."""
        above_um = focus_z_um - self.surface_um(x_um, y_um)
        if abs(above_um) <= MAX_CORRECTION_UM:
            row = self._row_of.setdefault((x_um, y_um), len(self._row_of))
            if row == len(self._learned):
                self._learned = np.concatenate([self._learned, np.empty_like(self._learned)])
            cell = self._cells.setdefault(self._cell(x_um, y_um), [])
            if row not in cell:
                cell.append(row)
            self._learned[row] = x_um, y_um, above_um, sigma_um

    def _cell(self, x_um: float, y_um: float) -> tuple[int, int]:
        return round(x_um / self._pitch_um[0]), round(y_um / self._pitch_um[1])

    def _about(self, x_um: float, y_um: float, n_cells: int) -> tuple[Floats, Floats]:
        """What was learned within so many cells of a place, (n, 4), in that order, and how far away it is, pitches."""
        column, line = self._cell(x_um, y_um)
        near = range(-n_cells, n_cells + 1)
        rows = [row for dx in near for dy in near for row in self._cells.get((column + dx, line + dy), ())]
        found = self._learned[sorted(rows)]
        return found, np.hypot(
            (found[:, 0] - x_um) / self._pitch_um[0], (found[:, 1] - y_um) / self._pitch_um[1]
        )

    def learn_swept(self, planned: PlannedTile, focus_z_um: float, sigma_um: float) -> None:
        """Take in the focus that a tile has shown in a sweep, should it be taken again."""
        if abs(focus_z_um - self.surface_um(planned.x_um, planned.y_um)) <= MAX_CORRECTION_UM:
            self._shown[planned.place_um] = Expected(focus_z_um, sigma_um)

    def has_shown(self, planned: PlannedTile) -> bool:
        """Whether a picture of a sweep has shown the focus of this tile."""
        return planned.place_um in self._shown

    def expected_of(self, planned: PlannedTile, x_um: float, y_um: float) -> Expected:
        """The expected focus of a tile whose middle lies at `x_um`, `y_um` in a picture."""
        return self._shown.get(planned.place_um) or self.expected(x_um, y_um)

    def expected(self, x_um: float, y_um: float) -> Expected:
        """The expected focus at a place: what its own picture has shown in a sweep, if it was taken in one. Else:

        The weighted median of the tiles nearby that lie on the same side of a step, drawn towards the surface as far as
        that is known better.
        """
        if (shown := self._shown.get((x_um, y_um))) is not None:
            return shown
        base_um = self.surface_um(x_um, y_um)
        above_um, weight = self._nearby(x_um, y_um)
        total = float(weight.sum())
        if total <= 0.0:
            return Expected(base_um, math.sqrt(self._prior))
        middle_um = _weighted_median(above_um, weight)
        # Where the tiles lie farther from the surface than it errs elsewhere, it is not known that well here.
        variance = max(self._prior, middle_um**2)
        known = total + 1.0 / variance
        share = CALM_SHARE if self._is_calm(x_um, y_um) else MIN_SHARE
        sigma_um = max(math.sqrt(1.0 / known), share * math.sqrt(variance))
        beyond_um = base_um if abs(middle_um) > STANDS_OUT * math.sqrt(self._prior) else None
        return Expected(base_um + middle_um * total / known, sigma_um, beyond_um)

    def _nearby(self, x_um: float, y_um: float) -> tuple[Floats, Floats]:
        """Height above the surface and weight, 1/um2, of the tiles nearby, (n,), without those beyond a step."""
        learned, apart = self._about(x_um, y_um, math.ceil(REACH_PITCHES))
        near = np.argsort(apart, kind="stable")[:MAX_NEIGHBOURS]
        near = near[apart[near] <= REACH_PITCHES]
        above_um = learned[near, 2]
        variance = learned[near, 3] ** 2 + (ROUGHNESS_UM * apart[near]) ** 2
        guess_um = self._across_edges_um(x_um, y_um)
        if guess_um is not None:
            is_alike = np.abs(above_um - guess_um) <= BEYOND_STEP * np.sqrt(variance + MIN_SURFACE_UM**2)
            # The guess is made of tiles nearby, but may lie between all of them: then they all count.
            if is_alike.any():
                above_um, variance = above_um[is_alike], variance[is_alike]
        return above_um, 1.0 / np.maximum(variance, 1e-4)

    def _across_edges_um(self, x_um: float, y_um: float) -> float | None:
        """Height above the surface from what was measured at the very place, else from the neighbours about it.

        The predictor of JPEG-LS: if the diagonal neighbour is like the one in the row, an edge lies between columns,
        and the one in the column tells; and the other way round. None without a neighbour.
        """
        here = self._at(x_um, y_um)
        if here is not None:
            return here
        corner = self._corner_um(x_um, y_um)
        if corner is not None:
            row, column, between = corner
            return float(np.median([row, column, row + column - between]))
        beside = [
            self._at(x_um + dx * self._pitch_um[0], y_um + dy * self._pitch_um[1])
            for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))
        ]
        return next((value for value in beside if value is not None), None)

    def _is_calm(self, x_um: float, y_um: float) -> bool:
        """Whether no edge is seen between the neighbours in the row, in the column, and between the two."""
        corner = self._corner_um(x_um, y_um)
        return corner is not None and max(abs(at - corner[2]) for at in corner[:2]) < CALM_UM

    def _corner_um(self, x_um: float, y_um: float) -> tuple[float, float, float] | None:
        """Heights above the surface in the row, in the column, and between the two; None where one is missing."""
        for side in (-1, 1):
            for along in (-1, 1):
                row, column, between = (
                    self._at(x_um + dx * self._pitch_um[0], y_um + dy * self._pitch_um[1])
                    for dx, dy in ((side, 0), (0, along), (side, along))
                )
                if row is not None and column is not None and between is not None:
                    return row, column, between
        return None

    def _at(self, x_um: float, y_um: float) -> float | None:
        """What the tile at this place has shown, um above the surface; None if there is none."""
        learned, apart = self._about(x_um, y_um, 1)
        if not len(learned):
            return None
        nearest = int(np.argmin(apart))
        return float(learned[nearest, 2]) if apart[nearest] < SAME_PLACE else None


def _weighted_median(values: Floats, weights: Floats) -> float:
    """Half of the weight lies below it and half above; between two values, their weighted mean."""
    order = np.argsort(values, kind="stable")
    ordered, weight = values[order], weights[order]
    middle = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    return float(np.interp(0.5, middle, ordered))


def _clamped(hull_um: Floats, x_um: float, y_um: float) -> tuple[float, float]:
    """The place on the outline of the hull (m, 2) that is nearest to a place."""
    place = np.array([x_um, y_um])
    along = np.roll(hull_um, -1, axis=0) - hull_um
    length = np.maximum((along**2).sum(axis=1), 1e-12)
    share = np.clip(((place - hull_um) * along).sum(axis=1) / length, 0.0, 1.0)
    nearest = hull_um + share[:, None] * along
    best = nearest[int(np.argmin(((nearest - place) ** 2).sum(axis=1)))]
    return float(best[0]), float(best[1])
