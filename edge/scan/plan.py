"""Plans: which fields to visit. They are data, checked before a motor moves."""

import math

import msgspec

from parfocal.board.config import AxisConfig
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.words import counted

MAX_FIELDS = 100_000  # ten times what a slide holds


class Field(msgspec.Struct, frozen=True):
    """Centre of one field on the stage."""

    x_um: float
    y_um: float


def snake(n_fields: int, config: Config) -> tuple[Field, ...]:
    """Plan `n_fields` neighbouring fields, every other row backwards, so that each step goes to a neighbour.

    Raises:
        ConfigError: a field lies outside the limits of the stage.
    """
    if n_fields < 1:
        raise ConfigError(f"{counted(n_fields, 'field')} is not a plan: give 1 or more")
    if n_fields > MAX_FIELDS:
        raise ConfigError(f"{n_fields} fields are too many: give {MAX_FIELDS} or fewer")
    width_um, height_um = config.camera.field_um
    step_x_um, step_y_um = (side_um * (1.0 - config.scan.overlap) for side_um in (width_um, height_um))
    columns = math.ceil(math.sqrt(n_fields))
    fields = []
    for k in range(n_fields):
        row, column = divmod(k, columns)
        column = column if row % 2 == 0 else columns - 1 - column
        field = Field(config.scan.origin_x_um + column * step_x_um, config.scan.origin_y_um + row * step_y_um)
        _check(field.x_um, "x", config.board.x, n_fields)
        _check(field.y_um, "y", config.board.y, n_fields)
        fields.append(field)
    return tuple(fields)


def _check(position_um: float, name: str, axis: AxisConfig, n_fields: int) -> None:
    # Both axes are approached from below, so there must be room for the run-up too.
    lowest_um = axis.min_um + 2.0 * axis.play_um
    if not lowest_um <= position_um <= axis.highest_um:
        raise ConfigError(
            f"no room for {counted(n_fields, 'field')}: one is at {name}={position_um:.0f} um, but the stage allows "
            f"{lowest_um:.0f}..{axis.highest_um:.0f} um; nothing moved. Ask for fewer, or change scan.origin_{name}_um."
        )
