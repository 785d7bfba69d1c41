"""The focus points of the survey of a scan."""

from __future__ import annotations

import math

from parfocal.board.config import AxisConfig
from parfocal.edge.config import Config
from parfocal.edge.scan.grid import Region, points_of_region, room_um
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.tiling.plan import TilePlan
from parfocal.edge.surface.surface import MIN_POINTS

# Every tile corrects the surface for those after it, so a scan needs fewer points than a surface used by itself does.
# 15 x 15 mm with 81 points 1.8 mm apart took 2 to 5 s more than with 256 points 1 mm apart, and the survey half of its
# time less (docs/scan.md). 64 points still tell the judge how single shots read the slide.
ENOUGH_POINTS = 64
NEAREST_UM, FARTHEST_UM = 1000.0, 2000.0


def spacing_for(plan: TilePlan) -> float:
    """How far apart the points may lie, um: as `ENOUGH_POINTS` on the tiles do, but 1 mm at least and 2 mm at most."""
    area_um2 = len(plan.tiles) * plan.pitch_um[0] * plan.pitch_um[1]
    return min(max(math.sqrt(area_um2 / ENOUGH_POINTS), NEAREST_UM), FARTHEST_UM)


def survey_points(plan: TilePlan, config: Config, spacing_um: float | None = None) -> tuple[Field, ...]:
    """Focus points for the surface under the tiles of a plan, on tiles only, back and forth.

    No farther apart than `spacing_um`, None for `spacing_for` the plan. Raises ConfigError.
    """
    xs_um, ys_um = [t.x_um for t in plan.tiles], [t.y_um for t in plan.tiles]
    (x0, x1), (y0, y1) = (
        _bounds(at_um, pitch_um / 2.0, axis)
        for at_um, pitch_um, axis in zip(
            (xs_um, ys_um), plan.pitch_um, (config.board.x, config.board.y), strict=True
        )
    )
    points = points_of_region(Region(x0, y0, x1, y1), config, None, spacing_um or spacing_for(plan))
    near = [point for point in points if _is_on_a_tile(point, plan)]
    return tuple(near) if len(near) >= 2 * MIN_POINTS else points


def _bounds(at_um: list[float], half_um: float, axis: AxisConfig) -> tuple[float, float]:
    """From where to where the points lie, um."""
    low_um, high_um = min(at_um), max(at_um)
    if low_um < high_um:
        return low_um, high_um
    # A row of tiles still needs points on both sides of it, to tell a tilt; at the end of the stage, on one.
    lowest_um, highest_um = room_um(axis)
    return max(low_um - half_um, lowest_um), min(high_um + half_um, highest_um)


def _is_on_a_tile(point: Field, plan: TilePlan) -> bool:
    width_um, height_um = ((p + o) / 2.0 + 1.0 for p, o in zip(plan.pitch_um, plan.overlap_um, strict=True))
    return any(
        abs(point.x_um - tile.x_um) <= width_um and abs(point.y_um - tile.y_um) <= height_um
        for tile in plan.tiles
    )
