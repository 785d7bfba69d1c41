"""A controller that takes no more shots than a field needs. Pure: from what was seen to the next step.

The frame taken on arrival is a measurement. One single shot is enough where the fields before say that it may be
believed (`parfocal.edge.focus.controlled.history`). Else two shots a delta apart settle it, the shot on arrival being
the first of them; and the rule of the paper where even these are far from the focus. A sweep comes last. The loop in
`parfocal.edge.focus.controlled.loop` carries out these steps and decides none itself.
"""

import itertools
import math
from collections.abc import Sequence

import msgspec

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.controlled.claims import LENGTH_UM, Claim, together
from parfocal.edge.focus.controlled.history import History
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.picture.sharpness import MIN_FALL_SHARE
from parfocal.edge.focus.result import Attempt

# A field is in focus up to this share of a depth of field. With 0.4, neighbouring fields took 0.08 images more, and
# ended 0.025 um nearer on average.
IN_FOCUS_SHARE = 0.5
# Where the claim of the shot on arrival is near the focus and not certain, a move by more than this share of a depth of
# field and one more single shot cost less than a pair. A shorter one shows nothing that is new: without the colours of
# the objective, fields 2 um from their focus were taken for ones in focus.
UNSURE_SHARE = 0.42
# All um here are those of 20x/0.75, and through another objective as many depths of field (`Reach.scale`).
# Where the focus curve is calibrated, the stage aims so many uncertainties below a claimed focus above it, if they are
# larger than this, as in the first fields of a slide: what is then missing takes 75 ms, but from above the focus it is
# 185 ms, down through the play. Not from afar, where claims say too little rather than too much. It goes up by this
# share of a depth of field at least: from two shots so far apart sharpness tells the focus. So such a step takes the
# place of a pair if a claim is near and not certain.
AIM_LOW, AIM_LOW_FROM_UM, LEAST_UP_SHARE = 0.4, 0.3, 0.5
# A pair that sees the focus beyond what the model can tell says too little, never too much: a whole of its distance
# upwards is not too far. Downwards the stage goes farther, since what is missing upwards takes a third of the time of
# one more way down through the play. How much farther follows from the uncertainty, which grows with what the model
# cannot tell: 0.3 um at 12 um, 0.4 at 16, 0.7 at 22. Share beyond the distance, per um of uncertainty beyond the first.
FAR_DOWN, FAR_DOWN_FROM_UM, FAR_DOWN_PER_UM, MAX_FAR_DOWN = 1.45, 0.25, 1.6, 1.75
# Beyond what the model can tell, its distance may be off by this share. A single shot that is sure has the right
# direction there: in 124 of 125 pictures of seven slides, 9 to 25 um from the focus on both sides; one was 22.5 um
# above it and told 10 um up. None told more than 1.6 times the reach.
FAR_SHARE, FAR_CLAIM = 0.35, 1.6
# A single shot is followed if it is off by a depth of field at most, or by this share of its distance: the next one,
# much closer, tells more, and a pair instead costs an image in any case.
FAR_SIGMA_SHARE = 0.15
# Two single shots agree within a depth of field or two uncertainties. Up to so many times as much apart, the nearer one
# leads the stage on, but does not end the field.
DISAGREE = 1.5
# What sharpness says agrees with them within this share of a depth of field, or two uncertainties.
SHARP_SHARE = 0.75
MAX_SINGLE_MOVES = 2  # by single shots in a row; then a pair costs less
# Where only the height of the focus is wanted, a field may be left so many depths of field away from it, if the claim
# is certain within a whole one. A picture there is still clear, and near the focus claims are at their best.
MEASURED_SHARE = 1.5


class Look(msgspec.Struct, frozen=True):
    """What one shot shows: height, sharpness, clarity (`CentralPart.clarity`), and what a single-shot model says."""

    z_um: float
    sharpness: float
    clarity: float
    single: Estimate | None = None
    claim: Claim | None = None

    @property
    def seen(self) -> rule.Seen:
        """Height and sharpness alone."""
        return rule.Seen(self.z_um, self.sharpness)


class Stay(msgspec.Struct, frozen=True):
    """The last shot is in focus, or near enough."""

    rule: rule.RuleName


class Go(msgspec.Struct, frozen=True):
    """Go to `target_um`, up or down, take a shot and check it."""

    target_um: float
    rule: rule.RuleName


class Pair(msgspec.Struct, frozen=True):
    """Estimate from two shots, the first at `z1_um`. `earlier_um`: the focus by an estimate that it should confirm."""

    z1_um: float
    rule: rule.RuleName
    earlier_um: float | None = None


class Sweep(msgspec.Struct, frozen=True):
    """Sweep, about `about_um` if an estimate says at least where."""

    rule: rule.RuleName
    about_um: float | None = None


Step = Stay | Go | Pair | Sweep


class Bounds(msgspec.Struct, frozen=True):
    """How far the stage may go and the models may be followed, um. `limits_um`: lowest and highest height of a shot.

    `measures`: only the height of the focus is wanted, so a field may be left out of focus.
    """

    limits_um: tuple[float, float]
    reach: rule.Reach
    measures: bool = False


def on_arrival(
    look: Look, history: History, bounds: Bounds, config: FocusConfig, is_proven: bool = True
) -> Step:
    """What follows from the shot at the pivot. `is_proven`: whether pairs hold on this microscope (`proof`)."""
    claim, depth_um = look.claim, history.depth_of_field_um
    if claim is not None and are_singles_used(history, is_proven):
        is_clear = history.is_clear(look.clarity) and history.is_near(bounds.reach.believed_um)
        if _is_in_focus(claim, depth_um) and is_clear:
            return Stay("single_in_focus")
        if bounds.measures and _is_measured(claim, depth_um) and is_clear:
            return Stay("single_measured")
        target_um = _target_um(claim, look.z_um, history, bounds)
        if target_um is not None and abs(claim.distance_um) <= UNSURE_SHARE * depth_um:
            up_um = look.z_um + LEAST_UP_SHARE * depth_um
            # A pair tells a height without going back to it.
            is_pair_better = bounds.measures or not history.is_calibrated
            target_um = None if is_pair_better or up_um > bounds.limits_um[1] else up_um
        if target_um is not None:
            return Go(target_um, "single")
    z1_um = look.z_um
    if z1_um + config.delta_um > bounds.limits_um[1]:
        z1_um -= config.delta_um
    return Pair(z1_um, "check")


def on_far_arrival(
    look: Look, history: History, bounds: Bounds, is_proven: bool = True
) -> tuple[Look, Go] | None:
    """The look on arrival with its claim, and where to go by it, if it sees the focus beyond what the model can tell.

    Only its direction counts, and about how far; the next picture tells more. None if it does not, or is not believed.
    """
    claim, single = look.claim, look.single
    if claim is None or single is None or not are_singles_used(history, is_proven):
        return None
    distance_um, (low_um, high_um) = single.distance_um, bounds.limits_um
    if (
        abs(distance_um) <= bounds.reach.believed_um
        or abs(distance_um) > FAR_CLAIM * bounds.reach.believed_um
    ):
        return None
    target_um = min(max(look.z_um + distance_um, low_um), high_um)
    far = Claim(distance_um, FAR_SHARE * abs(distance_um))
    return msgspec.structs.replace(look, claim=far), Go(target_um, "single")


def on_passing(look: Look, history: History, bounds: Bounds, is_proven: bool) -> rule.RuleName | None:
    """The rule by which one picture, taken while the stage passed, tells the height of the focus; None if it does not.

    That no pair is due does not matter here: the stage does not stop for one.
    """
    claim, depth_um = look.claim, history.depth_of_field_um
    if claim is None or not is_taught(history, bounds, is_proven) or not history.is_clear(look.clarity):
        return None
    if _is_in_focus(claim, depth_um):
        return "single_in_focus"
    return "single_measured" if _is_measured(claim, depth_um) else None


def is_taught(history: History, bounds: Bounds, is_proven: bool) -> bool:
    """Whether enough is known of the slide for a single shot to tell the height of a focus near it."""
    return is_proven and history.is_mostly_near(bounds.reach.believed_um)


def are_singles_used(history: History, is_proven: bool) -> bool:
    """Whether single shots may lead this field and end it."""
    return is_proven and history.is_established and not history.is_verification_due


def on_single_check(
    start: Look, final: Look, history: History, bounds: Bounds, config: FocusConfig, n_moves: int
) -> Step:
    """What follows from the shot where `start` had put the focus by its claim. `n_moves`: so many in a row."""
    said, claim = start.claim, final.claim
    if said is None or claim is None or rule.contradicts(final.seen, (start.seen,), config):
        return Pair(final.z_um, "check")
    depth_um = history.depth_of_field_um
    expected = Claim(start.z_um + said.distance_um - final.z_um, said.sigma_um)
    apart_um = abs(claim.distance_um - expected.distance_um)
    allowed_um = max(depth_um, 2.0 * math.hypot(said.sigma_um, claim.sigma_um))
    if apart_um > DISAGREE * allowed_um:
        return Pair(final.z_um, "check")
    agrees = apart_um <= allowed_um
    moved_um = start.z_um - final.z_um
    best = _of_both(expected, claim, moved_um, LENGTH_UM * bounds.reach.scale) if agrees else claim
    sharp = history.by_sharpness((start.seen, final.seen), best)
    if sharp is not None:
        apart_um = abs(sharp.distance_um - best.distance_um)
        if apart_um > max(SHARP_SHARE * depth_um, 2.0 * math.hypot(sharp.sigma_um, best.sigma_um)):
            return Pair(final.z_um, "check")
        best = together(best, sharp)
    if agrees and _is_in_focus(best, depth_um):
        return Stay("single") if history.is_clear(final.clarity) else Pair(final.z_um, "check")
    # A step that was taken to learn more may have gone the wrong way.
    is_step = abs(said.distance_um) <= UNSURE_SHARE * depth_um
    before_um = abs(final.z_um - start.z_um) + depth_um if is_step else abs(said.distance_um)
    is_closer = IN_FOCUS_SHARE * depth_um < abs(best.distance_um) < before_um
    target_um = _target_um(best, final.z_um, history, bounds)
    if n_moves < MAX_SINGLE_MOVES and is_closer and target_um is not None:
        return Go(target_um, "single")
    return Pair(final.z_um, "check")


def on_pair_followed(found: Estimate, second: Look, step: Step, bounds: Bounds) -> tuple[Look, Go] | None:
    """The second look of a pair with its claim, and where to go by it, if a single shot there is to replace a pair.

    `step` is what follows from the pair alone. None if that is no further pair, or the pair is not believed.
    """
    if not isinstance(step, Pair) or step.rule not in ("far", "check", "down"):
        return None
    distance_um = found.distance_um
    is_far = step.rule == "far"
    sigma_um = FAR_SHARE * abs(distance_um) if is_far else bounds.reach.agreement_um
    moved_um = _down_um(found, bounds.reach) if is_far and distance_um < 0.0 else distance_um
    low_um, high_um = bounds.limits_um
    target_um = min(max(second.z_um + moved_um, low_um), high_um)
    claim = Claim(distance_um, sigma_um)
    return msgspec.structs.replace(second, claim=claim), Go(target_um, step.rule)


def confirmed_by(look: Look, focus_um: float, reach: rule.Reach) -> float | None:
    """The focus by the single shot of `look`, if it may confirm or contradict that a pair puts it at `focus_um`.

    One that is not yet believed may only confirm.
    """
    if look.claim is not None:
        return look.z_um + look.claim.distance_um
    single = look.single
    if single is None or single.doubt or not abs(single.distance_um) <= reach.believed_um:
        return None
    single_um = look.z_um + single.distance_um
    return single_um if abs(single_um - focus_um) <= reach.agreement_um else None


def on_pair(
    found: Estimate,
    z2_um: float,
    attempts: Sequence[Attempt],
    bounds: Bounds,
    config: FocusConfig,
    earlier_um: float | None,
    depth_um: float,
) -> Step:
    """What follows from an estimate by two shots, the second at `z2_um`; `attempts` are the estimates before.

    `depth_um`: depth of field.
    """
    doubted = any(attempt.doubt for attempt in attempts)
    decision = rule.decide(
        found, z2_um, len(attempts) + 1, bounds.limits_um, config, bounds.reach, earlier_um, doubted
    )
    focus_um = z2_um + found.distance_um
    agrees = earlier_um is not None and abs(earlier_um - focus_um) <= bounds.reach.agreement_um
    is_settled = decision.rule == "down" and (earlier_um is None or agrees)
    sigma_um = math.inf if found.sigma_um is None else found.sigma_um
    if is_settled and _is_in_focus(Claim(found.distance_um, sigma_um), depth_um):
        return Stay("in_focus")  # the way down through the play is not worth it
    if isinstance(decision, rule.Accept):
        return Stay("in_focus") if decision.rule == "in_focus" else Go(focus_um, "accept")
    if isinstance(decision, rule.GiveUp):
        return Sweep(decision.rule, focus_um if decision.rule == "not_believed" else None)
    if decision.rule == "down" and focus_um >= bounds.limits_um[0]:
        is_near = -found.distance_um <= bounds.reach.accepted_um and earlier_um is None
        if agrees or is_near:
            return Go(focus_um, "down")
    if not _progresses(found, attempts, bounds.reach):
        return Sweep("exhausted")
    if decision.rule == "half_distance" or (decision.rule == "half_spread" and _all_far(found, bounds.reach)):
        return Pair(_far_um(found, z2_um, bounds, config), "far")
    return Pair(decision.z1_um, decision.rule, decision.focus_um)


def on_pair_check(
    final: Look, others: Sequence[rule.Seen], history: History, config: FocusConfig, is_second: bool
) -> Step:
    """What follows from the shot where a pair had put the focus. `is_second`: one such shot was contradicted before."""
    claim, half_um = final.claim, 0.5 * history.depth_of_field_um
    is_blurred = bool(history.fields) and not history.is_clear(final.clarity)
    is_out = claim is not None and abs(claim.distance_um) - 2.0 * claim.sigma_um > half_um
    if not (is_blurred or is_out or rule.contradicts(final.seen, others, config)):
        return Stay("accept")
    return Sweep("not_sharper") if is_second else Pair(final.z_um, "not_sharper")


def is_measured_by_pair(arrival: Look, found: Estimate, focus_um: float, depth_um: float) -> bool:
    """Whether a first pair, begun by the shot on arrival, and the single shot agree on a focus near it, `focus_um`.

    Where only the height of the focus is wanted, the stage need not go back down to it then.
    """
    claim = arrival.claim
    if claim is None or found.doubt:
        return False
    away_um = focus_um - arrival.z_um
    is_agreed = abs(away_um - claim.distance_um) <= max(depth_um, 2.0 * claim.sigma_um)
    return is_agreed and abs(away_um) <= MEASURED_SHARE * depth_um


def is_pivot_better(start: Look, final: Look, focus_um: float, history: History) -> bool:
    """Whether a field that a pair put at `focus_um` is better left at its pivot, where it was `start`.

    It must not end less sharp than it began. But the plane that counts as focus is not quite the sharpest one, so a
    pivot on the other side of it may be sharper and farther away.
    """
    is_near = abs(start.z_um - focus_um) <= 0.5 * history.depth_of_field_um
    return is_near and start.sharpness * (1.0 - MIN_FALL_SHARE) > final.sharpness


def _target_um(claim: Claim, z_um: float, history: History, bounds: Bounds) -> float | None:
    """Where to go by `claim`, made at `z_um`; None if it is too uncertain. The next picture checks it.

    Of a claim from beyond what the model can tell, the direction counts. On a calibrated microscope: a little below a
    focus that is above.
    """
    if claim.sigma_um > max(history.depth_of_field_um, FAR_SIGMA_SHARE * abs(claim.distance_um)):
        return None
    believed_um, (low_um, high_um) = bounds.reach.believed_um, bounds.limits_um
    distance_um = min(max(claim.distance_um, -believed_um), believed_um)
    is_unsure = claim.sigma_um > AIM_LOW_FROM_UM * bounds.reach.scale
    if history.is_calibrated and is_unsure and 0.0 < distance_um <= bounds.reach.accepted_um:
        least_um = min(distance_um, LEAST_UP_SHARE * history.depth_of_field_um)
        distance_um = max(distance_um - AIM_LOW * claim.sigma_um, least_um)
    target_um = z_um + distance_um
    return target_um if low_um <= target_um <= high_um else None


def _far_um(found: Estimate, z2_um: float, bounds: Bounds, config: FocusConfig) -> float:
    """First shot of the next pair, where a pair that ends at `z2_um` sees the focus beyond what the model can tell."""
    low_um, high_um = bounds.limits_um
    z1_um = z2_um + (
        _down_um(found, bounds.reach) if found.distance_um < 0.0 else found.distance_um - config.delta_um
    )
    return min(max(z1_um, low_um), high_um - config.delta_um)


def _down_um(found: Estimate, reach: rule.Reach) -> float:
    """How far to go, negative, where the focus is farther below than the model can tell."""
    if found.sigma_um is None:
        return FAR_DOWN * found.distance_um
    beyond = FAR_DOWN_PER_UM * max(0.0, found.sigma_um / reach.scale - FAR_DOWN_FROM_UM)
    return min(1.0 + beyond, MAX_FAR_DOWN) * found.distance_um


def _all_far(found: Estimate, reach: rule.Reach) -> bool:
    """Whether all patches see the focus in one direction, beyond what the model can tell: there they spread."""
    distances_um = found.predictions_um
    return min(distances_um) > reach.believed_um or max(distances_um) < -reach.believed_um


def _of_both(expected: Claim, claim: Claim, moved_um: float, length_um: float) -> Claim:
    """What two single shots say together that are `moved_um` apart: from nearly the same height, no more than one.

    `length_um`: over which their errors change.
    """
    alike = math.exp(-0.5 * (moved_um / length_um) ** 2)
    best = together(expected, claim)
    return Claim(best.distance_um, best.sigma_um * math.sqrt(1.0 + alike))


def _is_in_focus(claim: Claim, depth_um: float) -> bool:
    """Whether the focus is near by this claim, and within a depth of field almost certainly."""
    distance_um = abs(claim.distance_um)
    return distance_um <= IN_FOCUS_SHARE * depth_um and distance_um + 2.0 * claim.sigma_um <= depth_um


def _is_measured(claim: Claim, depth_um: float) -> bool:
    """Whether the height of the focus is known by this claim from near it."""
    return abs(claim.distance_um) <= MEASURED_SHARE * depth_um and 2.0 * claim.sigma_um <= depth_um


def _progresses(found: Estimate, attempts: Sequence[Attempt], reach: rule.Reach) -> bool:
    """Whether the estimates come closer, or at least keep their direction from beyond what the model can tell.

    One estimate without progress is allowed: it may be the first that is right. Estimates that go to and fro make none.
    """
    distances_um = [attempt.distance_um for attempt in attempts] + [found.distance_um]
    stalled, nearest_um = 0, abs(distances_um[0])
    for before_um, after_um in itertools.pairwise(distances_um):
        keeps_direction = before_um * after_um > 0.0 and abs(after_um) > reach.believed_um
        stalled = 0 if abs(after_um) < nearest_um or keeps_direction else stalled + 1
        nearest_um = min(nearest_um, abs(after_um))
    return stalled < 2
