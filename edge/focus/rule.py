"""The focus rule of dastidar2020 4.3, as a pure function: an estimate and where it was taken -> what to do.

The loop in `parfocal.edge.focus.focuser` carries out what is said here and decides nothing itself.
"""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.estimate import Estimate

RuleName = Literal[
    "accept",
    "in_focus",
    "half_spread",
    "half_distance",
    "check",
    "disagrees",
    "down",
    "beyond_limits",
    "exhausted",
    "not_sharper",
    "pivot_sharper",
]

# A model saturates beyond the range it was trained on: asked from 20 um away, one of +-10 um says 11 or 12. What it
# says within this share of its range it never says from beyond (measured on nine textures from -35 to +30 um).
BELIEVED_SHARE = 0.9
# The paper accepts 12 um from a model of +-25 um (dastidar2020 4.2, 4.3.3).
ACCEPTED_SHARE = 12.0 / 25.0
# Two estimates of one focus agree within this, about a depth of field. Those from 5 to 9 um away err by 0.4 um
# (standard deviation), one that has saturated by several um.
AGREEMENT_UM = 1.0
# A shot this far from the final one shows less of the object than a shot in focus: sharpness falls to 0.7 or less. Two
# shots as sharp as each other and farther apart than this have the focus between them.
APART_UM = 1.9
MAX_SHARPNESS_APART = 0.9


class Reach(msgspec.Struct, frozen=True):
    """How far the predictions of one model may be followed, um.

    Up to `accepted_um` one estimate is enough. Up to `believed_um` a second one, taken where the first one says the
    focus lies, must agree. Beyond it only the direction is believed.
    """

    accepted_um: float
    believed_um: float


class Accept(msgspec.Struct, frozen=True):
    """Go to `target_um`, upwards: that is the focus."""

    target_um: float
    rule: RuleName


class Again(msgspec.Struct, frozen=True):
    """Estimate again with the first shot at `z1_um`. `focus_um`: where this estimate puts the focus, if believed."""

    z1_um: float
    rule: RuleName
    focus_um: float | None = None


class GiveUp(msgspec.Struct, frozen=True):
    """The estimates lead nowhere: sweep."""

    rule: RuleName


Decision = Accept | Again | GiveUp


class Seen(msgspec.Struct, frozen=True):
    """How sharp the field was at a height: variance of Laplacian, grey levels squared."""

    z_um: float
    sharpness: float


def reach_of(range_um: float, config: FocusConfig) -> Reach:
    """How far a model trained within +-`range_um` may be followed. Raises ValueError for a `max_distance_um` beyond."""
    believed_um = BELIEVED_SHARE * range_um
    if config.max_distance_um is None:
        return Reach(ACCEPTED_SHARE * range_um, believed_um)
    if config.max_distance_um > believed_um:
        raise ValueError(
            f"focus.max_distance_um = {config.max_distance_um:g} is beyond what a model trained within "
            f"+-{range_um:g} um can be believed: give {believed_um:g} or less, or leave it out for "
            f"{ACCEPTED_SHARE * range_um:g}"
        )
    return Reach(config.max_distance_um, believed_um)


def first_shot_um(pivot_um: float, config: FocusConfig) -> float:
    """z1 of the first attempt in a field (4.3.2)."""
    return pivot_um - config.z1_below_um


def run_up_um(config: FocusConfig) -> float:
    """How far below z1 the upward approach starts: z0 (4.3.2).

    The paper gives z0 and z1 from the pivot (22 and 8 um), 14 um apart: less than its own 20 um of play. With that
    much play both shots would be taken inside it, at the same height. So the axis starts lower if its measured play
    requires it.
    """
    return config.z0_below_um - config.z1_below_um


def decide(
    estimate: Estimate,
    z2_um: float,
    attempt: int,
    limits_um: tuple[float, float],
    config: FocusConfig,
    reach: Reach,
    earlier_um: float | None = None,
) -> Decision:
    """What to do after attempt number `attempt` (from 1) whose second shot was taken at `z2_um`.

    Args:
        estimate: with the distance to focus from z2, positive upwards.
        z2_um: engaged position of the second shot.
        attempt: how many attempts there have been in this field.
        limits_um: lowest and highest position the axis may take.
        config: the rule's numbers.
        reach: how far the model is believed.
        earlier_um: where the attempt before put the focus, if it was believed (`Again.focus_um`).
    """
    decision = _unbounded(estimate, z2_um, config, reach, earlier_um)
    if not _within(decision, limits_um, config):
        return GiveUp(rule="beyond_limits")
    if isinstance(decision, Again) and attempt >= config.max_attempts:
        return GiveUp(rule="exhausted")
    return decision


def contradicts(final: Seen, others: Iterable[Seen], config: FocusConfig) -> bool:
    """Whether shots of the same field show that the one at `final` is not in focus.

    One is clearly sharper; or one is about as sharp though it was taken more than `APART_UM` away, so that the focus
    lies between the two, out of focus in both by as much.
    """
    return any(
        final.sharpness < config.min_relative_sharpness * other.sharpness
        or (
            abs(other.z_um - final.z_um) >= APART_UM
            and other.sharpness > MAX_SHARPNESS_APART * final.sharpness
        )
        for other in others
    )


def _unbounded(
    estimate: Estimate, z2_um: float, config: FocusConfig, reach: Reach, earlier_um: float | None
) -> Decision:
    distance_um = estimate.distance_um
    if not (math.isfinite(distance_um) and math.isfinite(estimate.spread_um)):
        return GiveUp(rule="exhausted")
    if estimate.spread_um > config.max_spread_um:
        return Again(z1_um=_half_way_um(distance_um, z2_um, config), rule="half_spread")
    if abs(distance_um) > reach.believed_um:
        return Again(z1_um=_half_way_um(distance_um, z2_um, config), rule="half_distance")
    focus_um = z2_um + distance_um
    if distance_um < -config.in_focus_um:
        # Both new shots lie lower than the focus by the distance and more, as seen from here (4.3.2: more than
        # twice the distance), or as far below it as in a new field; that the play is taken up as well is the
        # axis's part.
        z1_um = max(z2_um + 2.0 * distance_um - config.delta_um, first_shot_um(focus_um, config))
        return Again(z1_um=z1_um, rule="down", focus_um=focus_um)
    agrees = earlier_um is not None and abs(earlier_um - focus_um) <= AGREEMENT_UM
    if earlier_um is not None and not agrees:
        return Again(z1_um=focus_um - config.delta_um, rule="disagrees", focus_um=focus_um)
    if distance_um > reach.accepted_um and not agrees:
        return Again(z1_um=focus_um - config.delta_um, rule="check", focus_um=focus_um)
    if distance_um <= config.in_focus_um:
        return Accept(target_um=z2_um, rule="in_focus")
    return Accept(target_um=focus_um, rule="accept")


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
