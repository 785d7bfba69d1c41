"""The play of a gear, in whole steps: which flank carries the stage, and how to arrive with the upper one. Pure."""

from __future__ import annotations

import enum
import math


class Engagement(enum.Enum):
    """Which flank of the gear carries the stage."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


def overshoot_steps_from_play(play_um: float, um_per_step: float) -> int:
    """Steps that surely engage the gear: the play plus a margin of 2 um or a tenth of the play.

    With 20 um of play this is 22 um, the paper's z0 (dastidar2020 4.3.2).
    """
    return math.ceil((play_um + max(2.0, 0.1 * play_um)) / um_per_step - 1e-9)


def engagement_after(engagement: Engagement, delta_steps: int, overshoot_steps: int) -> Engagement:
    """Engagement after one move of `delta_steps`: known once the move is longer than play and margin."""
    if delta_steps == 0:
        return engagement
    flank = Engagement.UP if delta_steps > 0 else Engagement.DOWN
    if engagement is flank or abs(delta_steps) >= overshoot_steps:
        return flank
    return Engagement.UNKNOWN


def plan_approach_up(
    pos_steps: int,
    engagement: Engagement,
    target_steps: int,
    overshoot_steps: int,
    from_below_steps: int | None = None,
) -> tuple[int, ...]:
    """Way points of an approach that ends upwards with the gear engaged; empty when it already stands there.

    It goes down only when it must: to `from_below_steps` when the stage stands above it, or to the target minus
    the overshoot when the gear would not be engaged on arrival.
    """
    start_steps = target_steps - overshoot_steps
    is_engaged = engagement is Engagement.UP
    engaged_on_arrival = pos_steps <= start_steps or (is_engaged and pos_steps <= target_steps)
    if from_below_steps is not None and pos_steps > from_below_steps:
        engaged_on_arrival = False
        start_steps = min(start_steps, from_below_steps)
    if engaged_on_arrival:
        return () if pos_steps == target_steps else (target_steps,)
    return (start_steps, target_steps) if start_steps < target_steps else (target_steps,)
