"""The focus rule of dastidar2020 4.3, as a pure function: an estimate and where it was taken -> what to do.

The loop in `parfocal.edge.focus` carries out what is said here and decides nothing itself.
"""

import math
from typing import Literal

import msgspec

from parfocal.edge.config import FocusConfig
from parfocal.edge.estimate import Estimate

RuleName = Literal[
    "accept",
    "in_focus",
    "half_spread",
    "half_distance",
    "down",
    "beyond_limits",
    "exhausted",
    "not_sharper",
    "pivot_sharper",
]


class Accept(msgspec.Struct, frozen=True):
    """Go to `target_um`, upwards: that is the focus."""

    target_um: float
    rule: RuleName


class Again(msgspec.Struct, frozen=True):
    """Estimate again with the first shot at `z1_um`."""

    z1_um: float
    rule: RuleName


class GiveUp(msgspec.Struct, frozen=True):
    """The estimates lead nowhere: sweep."""

    rule: RuleName


Decision = Accept | Again | GiveUp


def first_shot_um(pivot_um: float, config: FocusConfig) -> float:
    """z1 of the first attempt in a field (4.3.2)."""
    return pivot_um - config.z1_below_um


def approach_start_um(z1_um: float, config: FocusConfig) -> float:
    """z0: where the upward approach to `z1_um` starts at the latest.

    The paper gives z0 and z1 from the pivot (22 and 8 um), 14 um apart: less than its own 20 um of play. With
    play that large I1 and I2 would both be taken inside it, at one height. The axis therefore goes lower than
    this wherever the measured play asks for it.
    """
    return z1_um - (config.z0_below_um - config.z1_below_um)


def decide(
    estimate: Estimate, z2_um: float, attempt: int, limits_um: tuple[float, float], config: FocusConfig
) -> Decision:
    """What to do after attempt number `attempt` (from 1) whose second shot was taken at `z2_um`.

    Args:
        estimate: with the distance to focus from z2, positive upwards.
        z2_um: engaged position of the second shot.
        attempt: how many attempts there have been in this field.
        limits_um: lowest and highest position the axis may take.
        config: the rule's numbers.
    """
    decision = _unbounded(estimate, z2_um, config)
    if not _within(decision, limits_um, config):
        return GiveUp(rule="beyond_limits")
    if isinstance(decision, Again) and attempt >= config.max_attempts:
        return GiveUp(rule="exhausted")
    return decision


def _unbounded(estimate: Estimate, z2_um: float, config: FocusConfig) -> Decision:
    distance_um = estimate.distance_um
    if not (math.isfinite(distance_um) and math.isfinite(estimate.spread_um)):
        return GiveUp(rule="exhausted")
    if estimate.spread_um > config.max_spread_um:
        return Again(z1_um=_half_way_um(distance_um, z2_um, config), rule="half_spread")
    if abs(distance_um) > config.max_distance_um:
        return Again(z1_um=_half_way_um(distance_um, z2_um, config), rule="half_distance")
    if distance_um >= 0.0:
        return Accept(target_um=z2_um + distance_um, rule="accept")
    if distance_um >= -config.in_focus_um:
        return Accept(target_um=z2_um, rule="in_focus")
    # Both new shots lie lower than the focus by the distance and more, as seen from here (4.3.2: more than
    # twice the distance); that the play is taken up as well is the axis's part.
    return Again(z1_um=z2_um + 2.0 * distance_um - config.delta_um, rule="down")


def _half_way_um(distance_um: float, z2_um: float, config: FocusConfig) -> float:
    """z1 of the next attempt when the prediction is trusted for its direction only (4.3.3)."""
    half_um = z2_um + 0.5 * distance_um
    # Upwards the first shot is taken half-way. Downwards it is the second: with the first there, a short
    # half-way would leave z2 above where it was.
    return half_um if distance_um >= 0.0 else half_um - config.delta_um


def _within(decision: Decision, limits_um: tuple[float, float], config: FocusConfig) -> bool:
    low_um, high_um = limits_um
    if isinstance(decision, Accept):
        return low_um <= decision.target_um <= high_um
    if isinstance(decision, Again):
        return low_um <= decision.z1_um and decision.z1_um + config.delta_um <= high_um
    return True
