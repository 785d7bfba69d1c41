"""The focus rule of dastidar2020 4.3 as a pure function: from an estimate and its height to the next step.

The loop in `parfocal.edge.focus.focuser` carries out these decisions and makes none itself.
"""

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.belief import AGREEMENT_UM
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.judging.estimate import Estimate

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
    "far",
    "not_believed",
    "not_sharper",
    "pivot_sharper",
    "single",
    "single_in_focus",
    "single_measured",
    "pair_measured",
]

# A model saturates beyond the range it was trained on: from 20 um away, one trained within +-10 um predicts 11 or 12.
# It never predicts a distance within this share of its range from beyond the range (measured on nine textures, -35 to
# +30 um).
BELIEVED_SHARE = 0.9
# The paper accepts 12 um from a model of +-25 um (dastidar2020 4.2, 4.3.3).
ACCEPTED_SHARE = 12.0 / 25.0
# A shot this far from focus is visibly blurred, through 20x/0.75: its sharpness falls to 0.7 or less. So if two shots
# farther apart than this are equally sharp, the focus is between them.
APART_UM = 1.9
MAX_SHARPNESS_APART = 0.9


class Reach(msgspec.Struct, frozen=True):
    """How far the predictions of one model may be followed, um.

    Up to `accepted_um` one estimate is enough. Up to `believed_um` a second estimate, taken at the predicted focus,
    must agree. Beyond that only the direction is used. `scale`: depth of field over that of 20x/0.75.
    """

    accepted_um: float
    believed_um: float
    scale: float = 1.0

    @property
    def agreement_um(self) -> float:
        """Two estimates of one focus agree within this."""
        return AGREEMENT_UM * self.scale


class Accept(msgspec.Struct, frozen=True):
    """Go up to `target_um`: it is the focus."""

    target_um: float
    rule: RuleName


class Again(msgspec.Struct, frozen=True):
    """Estimate again, with the first shot at `z1_um`. `focus_um`: the focus by this estimate, if it is believed."""

    z1_um: float
    rule: RuleName
    focus_um: float | None = None


class GiveUp(msgspec.Struct, frozen=True):
    """The estimates do not lead to the focus: sweep."""

    rule: RuleName


Decision = Accept | Again | GiveUp


class Seen(msgspec.Struct, frozen=True):
    """Sharpness of the field at one height: variance of Laplacian, grey levels squared."""

    z_um: float
    sharpness: float


def reach_of(range_um: float, config: FocusConfig, told_um: float | None = None) -> Reach:
    """How far to follow a model trained within +-`range_um`. Raises ValueError if `max_distance_um` is beyond that.

    `told_um`: where it saturates on this instrument, if that is nearer than `range_um`.
    """
    believed_um, scale = BELIEVED_SHARE * range_um, depth_scale(config.objective)
    if told_um is not None and told_um < range_um:
        reach = reach_of(range_um, config)
        nearer_um = BELIEVED_SHARE * told_um
        return Reach(min(reach.accepted_um, nearer_um), nearer_um, scale)
    if config.max_distance_um is None:
        return Reach(ACCEPTED_SHARE * range_um, believed_um, scale)
    if config.max_distance_um > believed_um:
        raise ValueError(
            f"focus.max_distance_um = {config.max_distance_um:g} is too large for a model trained within "
            f"+-{range_um:g} um: give {believed_um:g} or less, or leave it out for "
            f"{ACCEPTED_SHARE * range_um:g}"
        )
    return Reach(config.max_distance_um, believed_um, scale)


def first_shot_um(pivot_um: float, config: FocusConfig) -> float:
    """z1 of the first attempt in a field (dastidar2020 4.3.2)."""
    return pivot_um - config.z1_below_um


def run_up_um(config: FocusConfig) -> float:
    """How far below z1 the upward approach starts, at z0 (dastidar2020 4.3.2).

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
    doubted: bool = False,
) -> Decision:
    """Decide what follows attempt number `attempt` (from 1), whose second shot was taken at `z2_um`.

    Args:
        estimate: distance from z2 to the focus, positive upwards.
        z2_um: height of the second shot, with the gear engaged.
        attempt: number of attempts in this field so far.
        limits_um: lowest and highest position the axis may take.
        config: the thresholds of the rule.
        reach: how far the model may be followed.
        earlier_um: the focus by the previous attempt, if it was within what the model can tell (`Again.focus_um`).
        doubted: whether an earlier estimate of this field was not believed (`Estimate.doubt`).
    """
    decision = _unbounded(estimate, z2_um, config, reach, earlier_um)
    if estimate.doubt and doubted:
        decision = GiveUp(rule="not_believed")
    elif estimate.doubt and isinstance(decision, Accept | Again):
        decision = _once_more(decision, estimate, z2_um, config)
    if not _within(decision, limits_um, config):
        return GiveUp(rule="beyond_limits")
    if isinstance(decision, Again) and attempt >= config.max_attempts:
        return GiveUp(rule="exhausted")
    return decision


def contradicts(final: Seen, others: Iterable[Seen], config: FocusConfig) -> bool:
    """Whether other shots of the same field show that `final` is out of focus.

    Either one of them is clearly sharper, or one is about as sharp although it was taken two depths of field away or
    more: then the focus is between the two, and both are equally blurred.
    """
    apart_um = APART_UM * depth_scale(config.objective)
    return any(
        final.sharpness < config.min_relative_sharpness * other.sharpness
        or (
            abs(other.z_um - final.z_um) >= apart_um
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
        # Take both shots well below the focus: more than twice the distance down (dastidar2020 4.3.2), or as far
        # below the focus as in a new field. The axis takes up the play.
        z1_um = max(z2_um + 2.0 * distance_um - config.delta_um, first_shot_um(focus_um, config))
        return Again(z1_um=z1_um, rule="down", focus_um=focus_um)
    agrees = earlier_um is not None and abs(earlier_um - focus_um) <= reach.agreement_um
    if earlier_um is not None and not agrees:
        return Again(z1_um=focus_um - config.delta_um, rule="disagrees", focus_um=focus_um)
    if distance_um > reach.accepted_um and not agrees:
        return Again(z1_um=focus_um - config.delta_um, rule="check", focus_um=focus_um)
    if distance_um <= config.in_focus_um:
        return Accept(target_um=z2_um, rule="in_focus")
    return Accept(target_um=focus_um, rule="accept")


def _once_more(decision: Accept | Again, estimate: Estimate, z2_um: float, config: FocusConfig) -> Again:
    """A second estimate instead of what an estimate that is not believed leads to: where it says the focus is."""
    if isinstance(decision, Again):
        return Again(z1_um=decision.z1_um, rule="not_believed", focus_um=decision.focus_um)
    focus_um = z2_um + estimate.distance_um
    return Again(z1_um=focus_um - config.delta_um, rule="not_believed", focus_um=focus_um)


def _half_way_um(distance_um: float, z2_um: float, config: FocusConfig) -> float:
    """z1 of the next attempt when only the direction of the prediction is used (dastidar2020 4.3.3)."""
    half_um = z2_um + 0.5 * distance_um
    # Upwards the first shot is taken half-way. Downwards it is the second one: otherwise a short half-way would leave
    # z2 higher than before.
    if distance_um < 0.0:
        return half_um - config.delta_um
    # Where the next second shot is half-way or beyond anyway, the present one serves as its first.
    return z2_um if half_um <= z2_um + config.delta_um else half_um


def _within(decision: Decision, limits_um: tuple[float, float], config: FocusConfig) -> bool:
    low_um, high_um = limits_um
    if isinstance(decision, Accept):
        return low_um <= decision.target_um <= high_um
    if isinstance(decision, Again):
        return low_um <= decision.z1_um and decision.z1_um + config.delta_um <= high_um
    return True
