"""A survey's grid of focus points, checked against the limits before anything moves."""

import math

import msgspec

from parfocal.board.config import AxisConfig
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.plan import Field
from parfocal.edge.surface.surface import MAX_POINTS, MIN_POINTS


class Region(msgspec.Struct, frozen=True):
    """A rectangle on the stage, um."""

    x0_um: float
    y0_um: float
    x1_um: float
    y1_um: float


def points_of_region(
    region: Region, config: Config, n_points: int | None, spacing_um: float
) -> tuple[Field, ...]:
    """Focus points over the whole of `region`, its corners among them, every other row backwards.

    So neighbours in time are neighbours in space (liao2021 fig. 4(b)), and the height of one is where the next begins.
    At most `n_points` about equally far apart in X and Y; without it, no farther apart than `spacing_um`.

    Raises:
        ConfigError: the region is empty, lies outside the limits, or would get too few or too many points.
    """
    low_high = (("x", region.x0_um, region.x1_um), ("y", region.y0_um, region.y1_um))
    for name, low_um, high_um in low_high:
        if not low_um < high_um:
            raise ConfigError(
                f"region of {name}={low_um:.0f}..{high_um:.0f} um is empty: give X0 Y0 X1 Y1 with X0 < X1 and Y0 < Y1"
            )
        check_room(low_um, high_um, name, config.board.x if name == "x" else config.board.y)
    width_um, height_um = region.x1_um - region.x0_um, region.y1_um - region.y0_um
    columns, rows = (
        (math.ceil(width_um / spacing_um) + 1, math.ceil(height_um / spacing_um) + 1)
        if n_points is None
        else _columns_and_rows(n_points, width_um / height_um)
    )
    if columns * rows > MAX_POINTS:
        raise ConfigError(
            f"{columns} x {rows} focus points are too many: {MAX_POINTS} or fewer can be fitted; nothing moved. Give a "
            "smaller --region or a larger --spacing-um."
        )
    fields = []
    for row in range(rows):
        for k in range(columns):
            column = k if row % 2 == 0 else columns - 1 - k
            # Tenths of a um: a stage does no better, and files stay legible.
            x_um = round(region.x0_um + width_um * column / (columns - 1), 1)
            y_um = round(region.y0_um + height_um * row / (rows - 1), 1)
            fields.append(Field(min(x_um, region.x1_um), min(y_um, region.y1_um)))
    return tuple(fields)


def _columns_and_rows(n_points: int, aspect: float) -> tuple[int, int]:
    """The grid of at most `n_points` whose cells are nearest to squares; `aspect` is width over height."""
    if n_points < MIN_POINTS:
        raise ConfigError(f"{n_points} focus points are too few: give {MIN_POINTS} or more")
    columns = min(max(2, round(math.sqrt(n_points * aspect))), n_points // 2)
    return columns, max(2, n_points // columns)


def room_um(axis: AxisConfig) -> tuple[float, float]:
    """The lowest and the highest position of X or Y that can be approached, um."""
    # Both axes are approached from below, so there must be room for the run-up too.
    return axis.min_um + 2.0 * axis.play_um, axis.highest_um


def check_room(low_um: float, high_um: float, name: str, axis: AxisConfig) -> None:
    """Refuse positions from `low_um` to `high_um` that leave the axis `name`, run-up included. Raises ConfigError."""
    lowest_um, highest_um = room_um(axis)
    if low_um < lowest_um or high_um > highest_um:
        raise ConfigError(
            f"region of {name}={low_um:.0f}..{high_um:.0f} um leaves the stage, which allows "
            f"{lowest_um:.0f}..{highest_um:.0f} um; nothing moved. Give another --region."
        )
