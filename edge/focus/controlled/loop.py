"""The loop that carries out the controller's steps, and keeps the history that it decides by."""

import msgspec

from parfocal.edge.focus.controlled import controller
from parfocal.edge.focus.controlled.claims import FIELD_UM, UNKNOWN_UM, Claim, ClaimErrors, Record, together
from parfocal.edge.focus.controlled.controller import Bounds, Go, Look, Pair, Stay, Step, Sweep
from parfocal.edge.focus.controlled.curve import curve_before
from parfocal.edge.focus.controlled.history import History, Verified
from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.judging.depth import depth_of_field_um, depth_scale
from parfocal.edge.focus.judging.estimate import Estimate, estimate, estimate_single
from parfocal.edge.focus.judging.rule import Reach
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.two_shot import held_against_move
from parfocal.engines.predictor import Predictor

# While fewer claims than this are on record, each shot of a field adds one.
ENOUGH_RECORDS = 24


class ControlledLoop:
    """Focuses field after field with as few shots as the history allows."""

    def __init__(
        self,
        work: FieldWork,
        predictor: Predictor,
        single: Predictor | None,
        reach: Reach,
        measures: bool = False,
        above_sharpest_um: float | None = None,
    ) -> None:
        """`predictor` takes two shots, `single` one; without it every field takes a pair. Nothing moves.

        `measures`, `above_sharpest_um`: as Focuser takes them.
        """
        self._work, self._predictor, self._single = work, predictor, single
        self._bounds = Bounds(work.limits_um, reach, measures)
        depth_um = depth_of_field_um(work.config.objective)
        curve = curve_before(depth_um, None if above_sharpest_um is None else -above_sharpest_um)
        scale = depth_scale(work.config.objective)
        self._field_um, self._unknown_um = FIELD_UM * scale, UNKNOWN_UM * scale
        self.history = History(depth_um, ClaimErrors(scale=scale), curve=curve)
        self._looks: list[Look] = []  # of the present field; the first is that on arrival

    def use(self, predictor: Predictor, reach: Reach) -> None:
        """Predict from two shots with `predictor` from the next field on; the history stays."""
        self._predictor = predictor
        self._bounds = msgspec.structs.replace(self._bounds, reach=reach)

    @property
    def is_taught(self) -> bool:
        """Whether a single shot near the focus may tell its height."""
        return self._single is not None and controller.is_taught(
            self.history, self._bounds, self._work.proof.is_given
        )

    def verify_next(self) -> None:
        """Let a pair settle the next field, whatever a single shot says."""
        self.history = self.history.with_verification_due()

    def measured(self, passed: Shot) -> FocusResult | None:
        """The height of the focus by one picture, taken while the stage passed; None if it does not tell.

        The field was begun. Nothing moves. Raises EngineError.
        """
        work = self._work
        self._looks = []
        look = self._look(passed, True)
        name = controller.on_passing(look, self.history, self._bounds, work.proof.is_given)
        if name is None or look.claim is None or look.single is None:
            return None
        work.note(passed.z_um, passed.z_um, look.single, name)
        return work.passed("focused", passed, look.claim.distance_um)

    def focused(self, start: Shot) -> FocusResult:
        """Focus a field that was begun and is not blank. `start` is the first shot that shows something.

        Raises:
            FocusLost: predictions and sweep failed; the stage is back at the pivot. Carries the result.
            BoardError, CameraFailed, EngineError: as they come.
        """
        work = self._work
        self._looks = []
        arrival = self._look(start, True)
        step: Step = controller.on_arrival(
            arrival, self.history, self._bounds, work.config, work.proof.is_given
        )
        if far := controller.on_far_arrival(arrival, self.history, self._bounds, work.proof.is_given):
            arrival, step = far
        if isinstance(step, Stay | Go) and arrival.single is not None:
            work.note(start.z_um, start.z_um, arrival.single, step.rule)
        final, look, step = self._by_singles(start, arrival, step)
        if isinstance(step, Stay):
            return self._settled(start, final, look)
        return self._by_pairs(start, step)

    def _by_singles(self, final: Shot, look: Look, step: Step) -> tuple[Shot, Look, Step]:
        """Follow single shots from `final`, which shows `look`: the last of both, and a step that is not `Go`."""
        work, n_moves = self._work, 0
        while isinstance(step, Go):
            final, before, n_moves = work.lit_shot(step.target_um), look, n_moves + 1
            look = self._look(final, True)
            step = controller.on_single_check(before, look, self.history, self._bounds, work.config, n_moves)
            if isinstance(step, Go) and look.single is not None:
                work.note(final.z_um, final.z_um, look.single, step.rule)
        return final, look, step

    def _settled(self, start: Shot, final: Shot, look: Look) -> FocusResult:
        """A field that single shots end; `look` is what `final` shows."""
        left = look.claim or Claim(0.0, self._unknown_um)
        sharp = self.history.by_sharpness([one.seen for one in self._looks], left)
        records: tuple[Record, ...] = ()
        if sharp is not None:
            records = self._records(final.z_um + sharp.distance_um, sharp.sigma_um)
            left = together(left, sharp)
        elif final is not start:
            records = self._records(final.z_um + left.distance_um, self._unknown_um)
        self.history = self.history.with_unverified(records, sharp is not None)
        return self._work.ended("focused", final.z_um, start, final, left.distance_um)

    def _by_pairs(self, start: Shot, step: Step) -> FocusResult:
        """Pairs, until one of them leads to a shot that nothing contradicts; else a sweep."""
        work, n_contradicted = self._work, 0
        while isinstance(step, Pair) and step.z1_um >= work.shots.lowest_um:
            final, found, step = self._pair(step)
            focus_um = final.z_um + found.distance_um
            if isinstance(step, Stay) and step.rule == "pair_measured":
                return self._measured(start, final, focus_um)
            look = self._look(final, self._is_learning)
            followed = self._followed(found, look, step)
            if followed is not None:
                final, look, step = self._by_singles(final, *followed)
                if isinstance(step, Stay):
                    return self._settled(start, final, look)
            if not isinstance(step, Stay | Go):
                continue
            if isinstance(step, Go):
                final = work.lit_shot(step.target_um)
                look = self._look(final, self._is_learning)
            others = [seen for seen in work.seen if seen.z_um != final.z_um]
            step = controller.on_pair_check(look, others, self.history, work.config, n_contradicted > 0)
            if isinstance(step, Stay):
                is_back = controller.is_pivot_better(self._looks[0], look, focus_um, self.history)
                end = start if is_back else final
                instead_um = work.disproved_um(end)
                if instead_um is None:
                    if is_back:
                        work.overrule("pivot_sharper")
                    left_um = 0.0 if is_back else focus_um - end.z_um
                    result = work.ended("focused", end.z_um, start, end, left_um)
                    return self._remembered_pair(result, final, focus_um)
                step = Sweep("not_sharper", instead_um)
            work.overrule(step.rule)
            n_contradicted += 1
        result = work.recovered(start, step.about_um if isinstance(step, Sweep) else None)
        return self._remembered(result, result.end, result.z_um)

    def _measured(self, start: Shot, final: Shot, focus_um: float) -> FocusResult:
        """A field whose height a pair has told; the shot on arrival, `start`, is the one near the focus."""
        if self._is_learning:
            self._look(final, True)
        result = self._work.ended("focused", final.z_um, start, final, focus_um - final.z_um)
        return self._remembered_pair(result, start, focus_um)

    def _followed(self, found: Estimate, second: Look, step: Step) -> tuple[Look, Go] | None:
        """What `controller.on_pair_followed` says, where single shots may lead the field."""
        if self._single is None or not controller.are_singles_used(self.history, self._work.proof.is_given):
            return None
        return controller.on_pair_followed(found, second, step, self._bounds)

    def _pair(self, asked: Pair) -> tuple[Shot, Estimate, Step]:
        """The second shot of an estimate, the estimate, and the step that follows."""
        work, config = self._work, self._work.config
        first, second = work.pair(asked.z1_um)
        found = estimate(first.part, second.part, self._predictor, config)
        found = held_against_move(found, second.z_um, work.attempts, self._bounds.reach)
        focus_um, earlier_um = second.z_um + found.distance_um, asked.earlier_um
        if not work.attempts:
            earlier_um = controller.confirmed_by(self._looks[0], focus_um, self._bounds.reach)
        step = controller.on_pair(
            found,
            second.z_um,
            work.attempts,
            self._bounds,
            config,
            earlier_um,
            self.history.depth_of_field_um,
        )
        if self._is_measured(first, found, focus_um):
            step = Stay("pair_measured")
        work.note(first.z_um, second.z_um, found, step.rule)
        return second, found, step

    def _remembered_pair(self, result: FocusResult, end: Shot, focus_um: float) -> FocusResult:
        """`_remembered` for a field that a pair has settled. In the history, sharpness tells its focus as well."""
        seen = self._work.seen
        last_um = seen[-1].z_um
        by_pair = Claim(focus_um - last_um, self._field_um)
        sharp = self.history.by_sharpness(seen, by_pair)
        self.history = self.history.with_curve(seen, focus_um)
        if sharp is None:
            return self._remembered(result, end, focus_um)
        self._learned(end, last_um + together(by_pair, sharp).distance_um)
        return _with_singles(result, self._records(focus_um, self._field_um))

    def _remembered(self, result: FocusResult, end: Shot | None, focus_um: float) -> FocusResult:
        """`result` with what single shots claimed in this field, and what was true; the history has it too."""
        return result if end is None else _with_singles(result, self._learned(end, focus_um))

    def _learned(self, end: Shot, focus_um: float) -> tuple[Record, ...]:
        """What single shots claimed in this field, and what was true: the history has it from now on."""
        records = self._records(focus_um, self._field_um)
        field = Verified(focus_um - self._work.pivot_um, end.part.clarity)
        self.history = self.history.with_verified(records, field)
        return records

    def _records(self, focus_um: float, sigma_um: float) -> tuple[Record, ...]:
        """What single shots claimed in this field, with its focus at `focus_um`, give or take `sigma_um`."""
        return tuple(
            Record(
                look.single.distance_um, focus_um - look.z_um, look.single.sigma_um, focus_sigma_um=sigma_um
            )
            for look in self._looks
            if look.single is not None and abs(focus_um - look.z_um) <= self._bounds.reach.believed_um
        )

    def _is_measured(self, first: Shot, found: Estimate, focus_um: float) -> bool:
        """Whether a pair that began with `first` is all that a field needs whose height alone is wanted."""
        work, arrival = self._work, self._looks[0]
        is_begun_by_it = not work.attempts and first.z_um == arrival.z_um and work.proof.is_given
        return (
            self._bounds.measures
            and is_begun_by_it
            and controller.is_measured_by_pair(arrival, found, focus_um, self.history.depth_of_field_um)
        )

    @property
    def _is_learning(self) -> bool:
        """Whether too little is known about single shots to ask for fewer of them."""
        return len(self.history.claim_errors.verified) < ENOUGH_RECORDS

    def _look(self, shot: Shot, with_single: bool) -> Look:
        """What a shot shows; the single-shot model is asked only where its answer counts, as it takes long."""
        single = None
        if with_single and self._single is not None:
            single = estimate_single(shot.pixels, self._single, self._work.config)
        look = Look(shot.z_um, shot.sharpness, shot.part.clarity, single, self.history.claim_of(single))
        self._looks.append(look)
        return look


def _with_singles(result: FocusResult, records: tuple[Record, ...]) -> FocusResult:
    singles_um = tuple((record.claimed_um, record.true_um) for record in records)
    return msgspec.structs.replace(result, singles_um=singles_um)
