"""The words in which a way point outside the limits of an axis is refused."""

from __future__ import annotations

from parfocal.board.errors import MoveRefused


def beyond_limits(
    name: str,
    point_um: float,
    target_um: float,
    limits_um: tuple[float, float],
    configured_um: tuple[float, float],
) -> MoveRefused:
    """The error of a way point outside of `limits_um`, on the way of an axis to `target_um`.

    `configured_um`: the limits in the configuration, which may be wider.
    """
    why = "" if point_um == target_um else f" (to approach {float(round(target_um, 3))} um from below)"
    low_um, high_um = limits_um
    if point_um > high_um:
        remedy, key, is_configured = "Lower", "max_um", high_um == configured_um[1]
    else:
        remedy, key, is_configured = "Raise", "min_um", low_um == configured_um[0]
    widen = f", or set board.{name}.{key} if the stage may go there" if is_configured else ""
    return MoveRefused(
        f"move to {name}={float(round(point_um, 3))} um{why} refused: limit is {low_um}..{high_um} um; "
        f"nothing moved. {remedy} the target{widen}."
    )
