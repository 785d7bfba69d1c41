"""The loop that carries out the focus rule on one axis and one camera."""

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.errors import MoveRefused
from parfocal.edge.camera.frame import Camera
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus import rule
from parfocal.edge.focus.belief import contradicts_move
from parfocal.edge.focus.estimate import Estimate, estimate
from parfocal.edge.focus.exposure import exposure_fault
from parfocal.edge.focus.result import Attempt, FocusLost, FocusResult, Outcome
from parfocal.edge.focus.sharpness import peak_inside_um, peak_um
from parfocal.edge.focus.shots import Shot, Shots
from parfocal.engines.predictor import Predictor


class FirstSweep(msgspec.Struct, frozen=True):
    """The sweep for a slide's focus: where it is, None if the sweep has no peak; and the images it took."""

    pivot_um: float | None
    images: int


class Focuser:
    """Focuses field after field. The stage only ever arrives at a height from below."""

    def __init__(self, axis: Axis, camera: Camera, predictor: Predictor, config: FocusConfig) -> None:
        """Nothing moves."""
        self._shots = Shots(axis, camera, config, rule.run_up_um(config))
        self._config = config
        self.use(predictor)
        self._attempts: list[Attempt] = []
        self._seen: list[rule.Seen] = []

    def use(self, predictor: Predictor) -> None:
        """Predict with `predictor` from the next field on."""
        self._predictor = predictor
        self._reach = rule.reach_of(predictor.contract.range_um, self._config, predictor.range_um)

    def check_first_sweep(self) -> None:
        """Refuse a first sweep that would leave the limits. Raises MoveRefused; nothing moves."""
        config, (low_um, high_um) = self._config, self._shots.limits_um
        lowest_um = config.first_sweep_start_um - config.z1_below_um
        if lowest_um < self._shots.lowest_um or config.first_sweep_stop_um > high_um:
            raise MoveRefused(
                f"sweep from z={config.first_sweep_start_um} to {config.first_sweep_stop_um} um refused: with "
                f"z0 {lowest_um - (self._shots.lowest_um - low_um):.1f} um the limit is {low_um}..{high_um} um; "
                "nothing moved. Change focus.first_sweep_start_um / first_sweep_stop_um or the limits of board.z."
            )

    def first_sweep(self) -> FirstSweep:
        """Find the slide's focus in this field by an upward sweep from a low start (dastidar2020 4.3.1)."""
        config = self._config
        self._begin()
        pivot_um = self._sweep_peak_um(
            config.first_sweep_start_um, config.first_sweep_stop_um, config.first_sweep_step_um
        )
        return FirstSweep(pivot_um, self._shots.images)

    def without_focus(self) -> FocusResult:
        """The result of a field whose first sweep has no peak: "blank" if the field is empty, else "lost"."""
        shot = self._shots.take(self._shots.z_um)
        reason = exposure_fault(shot.pixels)
        if reason is None and not shot.part.is_blank:
            reason = "the first sweep of the slide found no peak in this field"
        return self._result("blank" if reason is None else "lost", reason=reason)

    def focus(self, pivot_um: float) -> FocusResult:
        """Focus this field, whose focus is expected near `pivot_um`.

        Raises:
            FocusLost: predictions and sweep failed; the stage is back at `pivot_um`. Carries the result.
            BoardError, CameraFailed, EngineError: as they come.
        """
        self._begin()
        # The field before anything is tried. It shows best whether the field is empty, and the final shot must not
        # be less sharp than this one.
        start = self._lit_shot(pivot_um, pivot_um)
        if start.part.is_blank:
            return self._ended("blank", pivot_um, start, start)
        self._seen.append(start.seen)
        limits_um = (self._shots.lowest_um, self._shots.limits_um[1])
        z1_um: float | None = rule.first_shot_um(pivot_um, self._config)
        earlier_um: float | None = None
        doubted_um: float | None = None
        while z1_um is not None and z1_um >= self._shots.lowest_um:
            first, second, found = self._attempt(z1_um, pivot_um)
            found = self._held_against_move(found, second.z_um)
            decision = rule.decide(
                found,
                second.z_um,
                len(self._attempts) + 1,
                limits_um,
                self._config,
                self._reach,
                earlier_um,
                any(attempt.doubt for attempt in self._attempts),
            )
            self._note(z1_um, second.z_um, found, decision.rule)
            if isinstance(decision, rule.Accept):
                is_higher = decision.target_um > second.z_um
                final = self._lit_shot(decision.target_um, pivot_um) if is_higher else second
                self._seen.append(final.seen)
                if rule.contradicts(final.seen, (start.seen, first.seen, second.seen), self._config):
                    self._overrule("not_sharper")
                    break
                if start.sharpness > final.sharpness:
                    # Both are good; the field must not end less sharp than it began.
                    self._overrule("pivot_sharper")
                    return self._ended("focused", pivot_um, start, start)
                return self._ended("focused", final.z_um, start, final)
            z1_um, earlier_um = None, None
            if isinstance(decision, rule.Again):
                z1_um, earlier_um = decision.z1_um, decision.focus_um
            elif decision.rule == "not_believed":
                # Not to be believed, but the best guess there is of where to sweep.
                doubted_um = second.z_um + found.distance_um
        return self._recovered(pivot_um, start, doubted_um)

    def _begin(self) -> None:
        self._shots.restart_trace()
        self._attempts, self._seen = [], []

    def _overrule(self, name: rule.RuleName) -> None:
        """Replace the rule of the last attempt by what the final shot showed."""
        self._attempts[-1] = msgspec.structs.replace(self._attempts[-1], rule=name)

    def _note(self, z1_um: float, z2_um: float, found: Estimate, name: rule.RuleName) -> None:
        self._attempts.append(
            Attempt(
                z1_um=z1_um,
                z2_um=z2_um,
                predictions_um=found.predictions_um,
                distance_um=found.distance_um,
                spread_um=found.spread_um,
                rule=name,
                sigma_um=found.sigma_um,
                believed=found.believed,
                doubt=found.doubt,
            )
        )

    def _lit_shot(self, z_um: float, pivot_um: float) -> Shot:
        """A shot that shows something. Raises FocusLost if it is too dark or too bright; back at `pivot_um`."""
        shot = self._shots.take(z_um)
        fault = exposure_fault(shot.pixels)
        if fault is None and not shot.part.contrasts.any():
            fault = "the picture is of one colour: check the camera and its cable"
        if fault is None:
            return shot
        self._shots.approach(pivot_um)
        message = (
            f"no focus near z={pivot_um:.1f} um: at z={z_um:.1f} um {fault}; "
            f"the stage is back at z={pivot_um:.1f} um."
        )
        raise FocusLost(message, self._result("lost", reason=message))

    def _held_against_move(self, found: Estimate, z2_um: float) -> Estimate:
        """The estimate, not believed if the distance did not shrink by the move since the one before."""
        last = self._attempts[-1] if self._attempts else None
        if last is None or last.doubt or found.doubt:
            return found
        if abs(last.distance_um) > self._reach.accepted_um:
            return found  # from that far away a model may say too little on any microscope
        earlier_um = last.z2_um + last.distance_um
        if contradicts_move(z2_um + found.distance_um, found.sigma_um, earlier_um, last.sigma_um):
            return msgspec.structs.replace(found, doubt="move")
        return found

    def _attempt(self, z1_um: float, pivot_um: float) -> tuple[Shot, Shot, Estimate]:
        """Both shots of an estimate, and the estimate."""
        first = self._lit_shot(z1_um, pivot_um)
        self._seen.append(first.seen)
        second = self._lit_shot(first.z_um + self._config.delta_um, pivot_um)
        self._seen.append(second.seen)
        return first, second, estimate(first.part, second.part, self._predictor, self._config)

    def _recovered(self, pivot_um: float, start: Shot, doubted_um: float | None) -> FocusResult:
        """A fine upward sweep, or one about the peak of a coarse one; else back, and FocusLost.

        The first sweep is about `doubted_um`, the focus by an estimate that was not believed, else about the pivot.
        """
        config = self._config
        near_um = self._fine_peak_um(pivot_um if doubted_um is None else doubted_um)
        if near_um is not None:
            near = self._shots.take(near_um)
            if self._is_sharpest(near):
                return self._ended("recovered", near_um, start, near)
        z_um = self._sweep_peak_um(
            pivot_um - config.recovery_reach_um, pivot_um + config.recovery_reach_um, config.recovery_step_um
        )
        if z_um is not None:
            z_um = self._fine_peak_um(z_um) or z_um
            found = self._shots.take(z_um)
            if self._is_sharpest(found):
                return self._ended("recovered", z_um, start, found)
        self._shots.approach(pivot_um)
        message = (
            f"no focus near z={pivot_um:.1f} um: {len(self._attempts)} estimates and a sweep of "
            f"+-{config.recovery_reach_um} um failed; the stage is back at z={pivot_um:.1f} um. Look at the field: "
            "thick or folded tissue has no single focus. A larger focus.recovery_reach_um sweeps farther."
        )
        raise FocusLost(message, self._result("lost", reason=message))

    def _is_sharpest(self, shot: Shot) -> bool:
        """Whether no earlier shot of this field is clearly sharper."""
        best = max((seen.sharpness for seen in self._seen), default=0.0)
        return shot.sharpness >= self._config.min_relative_sharpness * best

    def _fine_peak_um(self, centre_um: float) -> float | None:
        """Peak of a short upward sweep about `centre_um`; None if the curve still rises at one end."""
        reach_um = self._config.fine_reach_um
        return peak_inside_um(
            *self._sweep(centre_um - reach_um, centre_um + reach_um, self._config.fine_step_um)
        )

    def _sweep_peak_um(self, start_um: float, stop_um: float, step_um: float) -> float | None:
        return peak_um(*self._sweep(start_um, stop_um, step_um))

    def _sweep(self, start_um: float, stop_um: float, step_um: float) -> tuple[list[float], list[float]]:
        """Heights and sharpness of an upward sweep, cut to what the limits allow."""
        low_um, high_um = max(start_um, self._shots.lowest_um), min(stop_um, self._shots.limits_um[1])
        swept = self._shots.sweep(low_um, high_um, step_um)
        self._seen.extend(swept)
        return [seen.z_um for seen in swept], [seen.sharpness for seen in swept]

    def _ended(self, outcome: Outcome, z_um: float, start: Shot, end: Shot) -> FocusResult:
        self._shots.approach(z_um)
        return self._result(outcome, start=start, end=end)

    def _result(
        self,
        outcome: Outcome,
        *,
        reason: str | None = None,
        start: Shot | None = None,
        end: Shot | None = None,
    ) -> FocusResult:
        return FocusResult(
            outcome=outcome,
            z_um=self._shots.z_um,
            images=self._shots.images,
            attempts=tuple(self._attempts),
            path_um=self._shots.path_um,
            reason=reason,
            start=start,
            end=end,
            seen=tuple(self._seen),
        )
