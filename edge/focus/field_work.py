"""One field while it is being focused: its shots and estimates so far, and the ways it may end."""

import msgspec

from parfocal.board.axis import Axis
from parfocal.edge.camera.frame import Camera
from parfocal.edge.config import FocusConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.judging.estimate import Estimate
from parfocal.edge.focus.judging.proof import DISPROVES, Proof, missing_um, sharpest_aside
from parfocal.edge.focus.picture.camera_truth import doubt_about_pair, is_frozen
from parfocal.edge.focus.picture.exposure import exposure_fault
from parfocal.edge.focus.picture.sharpness import peak_inside_um, peak_um
from parfocal.edge.focus.result import Attempt, FocusLost, FocusResult, Outcome
from parfocal.edge.focus.shots import Shot, Shots, upward_um
from parfocal.edge.pixels import UInt8Array

MAX_SAME_PICTURES = 3  # a driver may give one frame twice
# A short sweep goes on while one end is sharper than the other by this factor, so many times.
CLIMBING, MAX_CLIMBS, MIN_CLIMBING = 1.15, 2, 3


class FieldWork:
    """Takes the shots of one field after another, keeps what was tried in the present one, and ends it."""

    def __init__(self, axis: Axis, camera: Camera, config: FocusConfig, proof: Proof) -> None:
        """`proof`: what is known of the predictions on this microscope. Nothing moves."""
        self.shots = Shots(axis, camera, config, rule.run_up_um(config))
        self.config, self.proof = config, proof
        self.attempts: list[Attempt] = []
        self.seen: list[rule.Seen] = []
        self.pivot_um = 0.0
        self.remarks: list[str] = []
        # The strongest trace in a field that was found to be empty all the same: of dust on the camera.
        self.static_trace = 0.0
        self._last: Shot | None = None
        self._pixels: UInt8Array | None = None

    @property
    def limits_um(self) -> tuple[float, float]:
        """Lowest and highest height of a shot: there is room for the approach from below."""
        return self.shots.lowest_um, self.shots.limits_um[1]

    def begin(self, pivot_um: float) -> None:
        """Forget the field before; this one is expected to be in focus near `pivot_um`."""
        self.shots.restart_trace()
        self.attempts, self.seen, self.pivot_um = [], [], pivot_um
        self.remarks, self._last = [], None

    def pair(self, z1_um: float) -> tuple[Shot, Shot]:
        """Two shots a delta apart, the first at `z1_um`: the last shot if the stage still stands there, else a new one.

        Taken once more if camera or lamp spoiled them. Raises as `lit_shot`.
        """
        last = self._last
        stands_there = last is not None and last.z_um == self.shots.z_um == self.shots.height_um(z1_um)
        first = last if last is not None and stands_there else self.lit_shot(z1_um)
        second = self.lit_shot(first.z_um + self.config.delta_um)
        doubt = doubt_about_pair(first.part, second.part)
        if doubt is None:
            return first, second
        self.remarks.append(f"at z={second.z_um:.1f} um {doubt}")
        first = self.lit_shot(z1_um)
        return first, self.lit_shot(first.z_um + self.config.delta_um)

    def lit_shot(self, z_um: float) -> Shot:
        """A shot at `z_um` that shows something.

        Raises:
            FocusLost: it is too dark, too bright or of one colour. The stage does not go up any more.
            CameraFailed: the camera gives the same picture again and again.
        """
        shot = self._live_shot(z_um)
        fault = exposure_fault(shot.pixels)
        if fault is None and not shot.part.contrasts.any():
            fault = "the picture is of one colour: check the camera and its cable"
        if fault is None:
            self._last = shot
            self.seen.append(shot.seen)
            return shot
        self.retreat()
        raise self.lost(
            f"no focus near z={self.pivot_um:.1f} um: at z={z_um:.1f} um {fault}; "
            f"the stage waits at z={self.shots.z_um:.1f} um."
        )

    def retreat(self) -> None:
        """After a fault: down to the pivot if the stage stands above it. Nothing moves towards the objective."""
        self.shots.lower_to(self.pivot_um)

    def _live_shot(self, z_um: float) -> Shot:
        """A shot at `z_um` that is not the picture before once more. Raises CameraFailed."""
        shot = self.shots.take(z_um)
        for _ in range(MAX_SAME_PICTURES):
            if self._pixels is None or not is_frozen(self._pixels, shot.pixels):
                break
            shot = self.shots.take(z_um)
        else:
            raise CameraFailed(
                f"the picture is frozen: {MAX_SAME_PICTURES + 1} frames in a row are the same in every pixel, although "
                "the noise of a camera makes each one different. Unplug the camera and plug it in again."
            )
        self._pixels = shot.pixels
        return shot

    def note(self, z1_um: float, z2_um: float, found: Estimate, name: rule.RuleName) -> None:
        """Keep an estimate and the rule that followed from it."""
        self.attempts.append(
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

    def overrule(self, name: rule.RuleName) -> None:
        """Replace the rule of the last estimate by what the final shot showed."""
        self.attempts[-1] = msgspec.structs.replace(self.attempts[-1], rule=name)

    def disproved_um(self, final: Shot) -> float | None:
        """Where to look for the focus instead, if the pictures about `final` disprove it; None if they prove it.

        They are taken only where a proof is due.
        """
        distance_um, probe_um = self.attempts[-1].distance_um, self.config.proof_um
        if not self.proof.is_due(distance_um, probe_um):
            return None
        for z_um in missing_um(final.z_um, self.seen, self.limits_um, probe_um):
            self.lit_shot(z_um)
        aside = sharpest_aside(final.seen, self.seen, probe_um)
        if aside is None:
            return None
        share = aside.sharpness / final.sharpness
        self.proof = self.proof.after(share, distance_um)
        return aside.z_um if share >= DISPROVES else None

    def recovered(self, start: Shot, doubted_um: float | None) -> FocusResult:
        """A fine upward sweep, or one about the peak of a coarse one; else back to the pivot, and FocusLost.

        The fine sweep is about `doubted_um`, where the focus may be all the same, else about `start`, or a shot that is
        clearly sharper. The coarse one is about `start`.
        """
        config, pivot_um = self.config, self.pivot_um
        sharpest = max(self.seen, key=lambda one: one.sharpness)
        best_um = sharpest.z_um if sharpest.sharpness > CLIMBING * start.sharpness else start.z_um
        near_um = self._fine_peak_um(best_um if doubted_um is None else doubted_um)
        if near_um is not None:
            near = self.shots.take(near_um)
            if self._is_sharpest(near):
                return self.ended("recovered", near_um, start, near)
        z_um = self._sweep_peak_um(
            start.z_um - config.recovery_reach_um,
            start.z_um + config.recovery_reach_um,
            config.recovery_step_um,
        )
        if z_um is not None:
            z_um = self._fine_peak_um(z_um) or z_um
            found = self.shots.take(z_um)
            if self._is_sharpest(found):
                return self.ended("recovered", z_um, start, found)
        self.shots.approach(pivot_um)
        raise self.lost(
            f"no focus near z={pivot_um:.1f} um: {len(self.attempts)} estimates and a sweep of "
            f"+-{config.recovery_reach_um} um failed; the stage is back at z={pivot_um:.1f} um. Look at the field: "
            "thick or folded tissue has no single focus. A larger focus.recovery_reach_um sweeps farther."
        )

    def ended(
        self, outcome: Outcome, z_um: float, start: Shot, end: Shot, left_um: float = 0.0
    ) -> FocusResult:
        """Go to `z_um` and end there. `left_um`: how far above it the focus is by what was measured."""
        self.shots.approach(z_um)
        return msgspec.structs.replace(self.result(outcome, start=start, end=end), left_um=left_um)

    def passed(self, outcome: Outcome, shot: Shot, left_um: float = 0.0) -> FocusResult:
        """The end of a field that was seen in passing, in one picture. Nothing moves. `left_um` as in `ended`."""
        result = self.result(outcome, start=shot, end=shot)
        return msgspec.structs.replace(
            result, z_um=shot.z_um, images=1, path_um=(shot.z_um,), left_um=left_um
        )

    def lost(self, reason: str) -> FocusLost:
        """The error of a field that was lost where the stage stands."""
        return FocusLost(reason, self.result("lost", reason=reason))

    def result(
        self,
        outcome: Outcome,
        *,
        reason: str | None = None,
        start: Shot | None = None,
        end: Shot | None = None,
    ) -> FocusResult:
        """How the field ended, with all that was tried."""
        return FocusResult(
            outcome=outcome,
            z_um=self.shots.z_um,
            images=self.shots.images,
            attempts=tuple(self.attempts),
            path_um=self.shots.path_um,
            reason=reason,
            start=start,
            end=end,
            remarks=tuple(self.remarks),
            seen=tuple(self.seen),
        )

    def _is_sharpest(self, shot: Shot) -> bool:
        """Whether no earlier shot of this field is clearly sharper."""
        best = max((seen.sharpness for seen in self.seen), default=0.0)
        return shot.sharpness >= self.config.min_relative_sharpness * best

    def _fine_peak_um(self, centre_um: float) -> float | None:
        """Peak of a short upward sweep about `centre_um`, which goes on where it still rises; None without a peak."""
        reach_um, step_um = self.config.fine_reach_um, self.config.fine_step_um
        z_um, sharpness = self._sweep(centre_um - reach_um, centre_um + reach_um, step_um)
        for _ in range(MAX_CLIMBS):
            found_um = peak_inside_um(z_um, sharpness)
            if found_um is not None or len(z_um) < MIN_CLIMBING:
                return found_um
            if sharpness[-1] > CLIMBING * sharpness[0]:
                more_um, more = self._sweep(z_um[-1] + step_um, z_um[-1] + 2.0 * reach_um, step_um)
                z_um, sharpness = [*z_um, *more_um], [*sharpness, *more]
            elif sharpness[0] > CLIMBING * sharpness[-1]:
                more_um, more = self._sweep(z_um[0] - 2.0 * reach_um, z_um[0] - 0.5 * step_um, step_um)
                z_um, sharpness = [*more_um, *z_um], [*more, *sharpness]
            else:
                return None
            if not more_um:
                return None
        return peak_inside_um(z_um, sharpness)

    def _sweep_peak_um(self, start_um: float, stop_um: float, step_um: float) -> float | None:
        return peak_um(*self._sweep(start_um, stop_um, step_um))

    def _sweep(self, start_um: float, stop_um: float, step_um: float) -> tuple[list[float], list[float]]:
        """Heights and sharpness of an upward sweep, cut to what the limits allow."""
        low_um, high_um = self.limits_um
        heights_um = upward_um(max(start_um, low_um), min(stop_um, high_um), step_um)
        swept = [self.lit_shot(z_um).seen for z_um in heights_um]
        return [seen.z_um for seen in swept], [seen.sharpness for seen in swept]
