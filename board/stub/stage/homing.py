"""The legs of a homing in the stub's mechanics: off the switch, fast onto it, slowly off, both once more, up to 0."""

from __future__ import annotations

from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stage.ratings import SeekSteps
from parfocal.board.wire.messages import Home


class StuckSwitch(Exception):
    """The switch did not open where it should."""


def seek(axis: AxisMechanics, steps: SeekSteps, request: Home, now_s: float) -> int | None:
    """Plan the legs; return the spread of the two edges found, steps, or None if there is none.

    Raises StuckSwitch, with the legs planned that the board makes until it knows.
    """
    fast_steps_per_s, slow_steps_per_s = request.fast_steps_per_s, request.slow_steps_per_s
    accel_steps_per_s2 = request.accel_steps_per_s2
    if axis.lower_closed(now_s) and axis.seek_release(now_s, steps.off, slow_steps_per_s) is None:
        raise StuckSwitch
    edges: list[int] = []
    for max_steps, steps_per_s in ((steps.whole, fast_steps_per_s), (2 * steps.edge, slow_steps_per_s)):
        if not axis.seek_down(max(axis.end_s, now_s), max_steps, steps_per_s, accel_steps_per_s2):
            return None
        edge = axis.seek_release(axis.end_s, steps.off, slow_steps_per_s)
        if edge is None:
            raise StuckSwitch
        edges.append(edge)
    # The board knows the position of its switch: from there up to 0.
    zero_count = edges[1] - steps.switch
    axis.drive(axis.end_s, zero_count - axis.end_count, fast_steps_per_s, accel_steps_per_s2)
    return abs(edges[1] - edges[0])
