"""The loop that carries out the paper's rule: a pair of shots, an estimate, a decision (dastidar2020 4.3)."""

import msgspec

from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.judging.belief import contradicts_move
from parfocal.edge.focus.judging.estimate import Estimate, estimate
from parfocal.edge.focus.result import Attempt, FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.engines.predictor import Predictor


def focused_by_pairs(work: FieldWork, start: Shot, predictor: Predictor, reach: rule.Reach) -> FocusResult:
    """Focus a field that was begun and is not blank. `start` is the first shot that shows something.

    Raises:
        FocusLost: predictions and sweep failed; the stage is back at the pivot. Carries the result.
        BoardError, CameraFailed, EngineError: as they come.
    """
    config = work.config
    z1_um: float | None = rule.first_shot_um(start.z_um, config)
    earlier_um: float | None = None
    doubted_um: float | None = None
    while z1_um is not None and z1_um >= work.shots.lowest_um:
        first, second = work.pair(z1_um)
        found = estimate(first.part, second.part, predictor, config)
        found = held_against_move(found, second.z_um, work.attempts, reach)
        decision = rule.decide(
            found,
            second.z_um,
            len(work.attempts) + 1,
            work.limits_um,
            config,
            reach,
            earlier_um,
            any(attempt.doubt for attempt in work.attempts),
        )
        work.note(z1_um, second.z_um, found, decision.rule)
        if isinstance(decision, rule.Accept):
            is_higher = decision.target_um > second.z_um
            final = work.lit_shot(decision.target_um) if is_higher else second
            if rule.contradicts(final.seen, (start.seen, first.seen, second.seen), config):
                work.overrule("not_sharper")
                break
            # Both are good; the field must not end less sharp than it began.
            end = start if start.sharpness > final.sharpness else final
            doubted_um = work.disproved_um(end)
            if doubted_um is not None:
                work.overrule("not_sharper")
                break
            if end is start:
                work.overrule("pivot_sharper")
            return work.ended("focused", end.z_um, start, end)
        z1_um, earlier_um = None, None
        if isinstance(decision, rule.Again):
            z1_um, earlier_um = decision.z1_um, decision.focus_um
        elif decision.rule == "not_believed":
            # Not to be believed, but the best guess there is of where to sweep.
            doubted_um = second.z_um + found.distance_um
    return work.recovered(start, doubted_um)


def held_against_move(found: Estimate, z2_um: float, attempts: list[Attempt], reach: rule.Reach) -> Estimate:
    """The estimate, not believed if the distance did not shrink by the move since the one before."""
    last = attempts[-1] if attempts else None
    if last is None or last.doubt or found.doubt:
        return found
    if abs(last.distance_um) > reach.accepted_um:
        return found  # from that far away a model may say too little on any microscope
    earlier_um = last.z2_um + last.distance_um
    if contradicts_move(
        z2_um + found.distance_um, found.sigma_um, earlier_um, last.sigma_um, reach.agreement_um
    ):
        return msgspec.structs.replace(found, doubt="move")
    return found
