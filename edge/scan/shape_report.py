"""The shape of the focus inside a field, as it is written to JSON."""

import msgspec

from parfocal.edge.focus.uneven.evenness import Shape
from parfocal.edge.focus.uneven.field import Verdict


class HeightMapReport(msgspec.Struct, frozen=True):
    """Heights of the focus inside a field, row by row from the upper left; None where nothing is known."""

    cell_um: float
    z_um: tuple[tuple[float | None, ...], ...]
    sigma_um: tuple[tuple[float | None, ...], ...]


class ShapeReport(msgspec.Struct, frozen=True):
    """The shape of the focus inside one field, see `parfocal.edge.focus.uneven.field.FieldShape`.

    `composite` names the file of the all-in-focus picture.
    """

    verdict: Verdict
    predicted: Shape
    z_um: float
    patches_um: tuple[float, ...]
    images: int
    heights: HeightMapReport | None = None
    composite: str | None = None
