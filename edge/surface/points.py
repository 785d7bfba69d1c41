"""Focus points of a survey: where the focus was found, and where it was not."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from parfocal.edge.errors import EdgeError

Status = Literal["used", "rejected", "blank", "lost"]


class FocusPoint(msgspec.Struct, frozen=True):
    """One point of a survey. Positions and heights are um of the stage.

    `status`: "used" by the surface, "rejected" because it lies far from the surface of the others, "blank" if the field
    was empty, "lost" if it had no focus. `z_um` is None for the last two, and `reason` says why a point was left out.
    `sigma_um` is the standard uncertainty of the height, None if it is not known. `residual_um` is the height above the
    fitted surface, None before a fit.
    """

    x_um: float
    y_um: float
    z_um: float | None = None
    sigma_um: float | None = None
    residual_um: float | None = None
    status: Status = "used"
    reason: str | None = None


class SurfaceRefused(EdgeError):
    """The points do not determine a focal surface, or a height was asked for outside of them."""


def with_height(points: Sequence[FocusPoint]) -> list[FocusPoint]:
    """The points that have a height: those that are used, and those that an earlier fit rejected."""
    return [point for point in points if point.z_um is not None]
