"""The loop that carries out the focus rule on one axis and one camera."""

from typing import Literal

import msgspec
import numpy as np

from parfocal.board.axis import Axis
from parfocal.board.errors import MoveRefused
from parfocal.edge.camera.frame import Camera, frame_after
from parfocal.edge.config import FocusConfig
from parfocal.edge.errors import FocusLost
from parfocal.edge.focus import rule
from parfocal.edge.focus.estimate import Estimate, blank, central_part, estimate, patch_contrasts
from parfocal.edge.focus.exposure import exposure_fault
from parfocal.edge.focus.sharpness import peak_inside_um, peak_um, variance_of_laplacian
from parfocal.edge.pixels import UInt8Array
from parfocal.engines.runner import Runner

Outcome = Literal["focused", "recovered", "blank", "lost"]


class Attempt(msgspec.Struct, frozen=True):
    """One pair of shots, what was made of it, and the rule that followed."""

    z1_um: float
    z2_um: float
    predictions_um: tuple[float, ...]
    distance_um: float
    spread_um: float
    rule: str


class Focused(msgspec.Struct, frozen=True):
    """How the focusing of one field ended, with the shots (h, w, 3) at the pivot and at the end, if any."""

    outcome: Outcome
    z_um: float
    images: int
    attempts: tuple[Attempt, ...]
    path_um: tuple[float, ...]
    start: UInt8Array | None = None
    pixels: UInt8Array | None = None


class Focuser:
    """Focuses field after field. The stage is moved by approaches from below alone."""

    def __init__(self, axis: Axis, camera: Camera, runner: Runner, config: FocusConfig) -> None:
        """Nothing moves."""
        self._axis = axis
        self._camera = camera
        self._runner = runner
        self._config = config
        self._reach = rule.reach_of(runner.contract.range_um, config)
        self._attempts: list[Attempt] = []
        self._path_um: list[float] = []
        self._shots: list[rule.Seen] = []
        self._images = 0

    @property
    def images(self) -> int:
        """Shots taken since the present focusing or sweep began."""
        return self._images

    @property
    def path_um(self) -> tuple[float, ...]:
        """Where the stage went since then, in order: every shot's height and every start of an approach."""
        return tuple(self._path_um)

    @property
    def lowest_um(self) -> float:
        """Lowest height a shot may be taken at: below it there is no room for the approach."""
        config = self._config
        run_up_um = max(self._axis.overshoot_um, config.z0_below_um - config.z1_below_um)
        return self._axis.limits_um[0] + run_up_um

    def check_first_sweep(self) -> None:
        """Refuse a first sweep that the limits forbid. Raises MoveRefused; nothing moves."""
        config, (low_um, high_um) = self._config, self._axis.limits_um
        lowest_um = config.first_sweep_start_um - config.z1_below_um
        if lowest_um < self.lowest_um or config.first_sweep_stop_um > high_um:
            raise MoveRefused(
                f"sweep from z={config.first_sweep_start_um} to {config.first_sweep_stop_um} um refused: with "
                f"z0 {lowest_um - (self.lowest_um - low_um):.1f} um the limit is {low_um}..{high_um} um; nothing "
                "moved. Change focus.first_sweep_start_um / first_sweep_stop_um or the limits of board.z."
            )

    def first_pivot_um(self) -> float | None:
        """Where the slide's focus lies in this field, by an upward sweep from a low start (4.3.1).

        None where the sweep has no peak: an empty field, or focus outside the sweep.
        """
        config = self._config
        self._begin()
        return self._sweep_peak_um(
            config.first_sweep_start_um, config.first_sweep_stop_um, config.first_sweep_step_um
        )

    def focus(self, pivot_um: float) -> Focused:
        """Focus this field, whose focus is expected near `pivot_um`.

        Raises:
            FocusLost: attempts and sweep failed; the stage is back at `pivot_um`. Carries the trace.
            BoardError, CameraFailed, EngineError: as they come.
        """
        self._begin()
        # What the field looks like before anything is tried: it tells an empty field best, and the end must
        # not be less sharp than the beginning.
        start = self._lit_shot(pivot_um, pivot_um)
        if blank(patch_contrasts(start, self._config), self._config):
            return self._ended("blank", pivot_um, start, start)
        began = self._note_shot(start)
        limits_um = (self.lowest_um, self._axis.limits_um[1])
        z1_um: float | None = rule.first_shot_um(pivot_um, self._config)
        earlier_um: float | None = None
        while z1_um is not None and z1_um >= self.lowest_um:
            shot, seen, found = self._attempt(z1_um, pivot_um)
            z2_um = seen[1].z_um
            decision = rule.decide(
                found, z2_um, len(self._attempts) + 1, limits_um, self._config, self._reach, earlier_um
            )
            self._note(z1_um, z2_um, found, decision.rule)
            if isinstance(decision, rule.Accept):
                final = shot if decision.target_um <= z2_um else self._lit_shot(decision.target_um, pivot_um)
                ended = self._note_shot(final)
                if rule.contradicts(ended, (began, *seen), self._config):
                    self._overrule("not_sharper")
                    break
                if began.sharpness > ended.sharpness:
                    # Both are good; the field must not end less sharp than it began.
                    self._overrule("pivot_sharper")
                    return self._ended("focused", pivot_um, start, start)
                return self._ended("focused", ended.z_um, start, final)
            z1_um, earlier_um = None, None
            if isinstance(decision, rule.Again):
                z1_um, earlier_um = decision.z1_um, decision.focus_um
        return self._recovered(pivot_um, start)

    def _begin(self) -> None:
        self._attempts, self._path_um, self._shots, self._images = [], [], [], 0

    def _overrule(self, name: rule.RuleName) -> None:
        """What the final shot said of the last attempt."""
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
            )
        )

    def _shot(self, z_um: float) -> UInt8Array:
        """Approach `z_um` from below and take the first frame exposed at rest."""
        settled_s = self._approach(z_um)
        self._images += 1
        return frame_after(self._camera, settled_s).pixels

    def _approach(self, z_um: float) -> float:
        """Go to `z_um` upwards, from z0 where that lies below; returns when the stage is at rest, s."""
        from_below_um = None
        if z_um < self._axis.position_um:
            from_below_um = min(rule.approach_start_um(z_um, self._config), z_um - self._axis.overshoot_um)
            self._path_um.append(from_below_um)
        settled_s = self._axis.approach_up(z_um, from_below_um)
        self._path_um.append(self._axis.position_um)
        return settled_s

    def _lit_shot(self, z_um: float, pivot_um: float) -> UInt8Array:
        """A shot that shows something. Raises FocusLost where light is missing or too much; back at ``pivot_um``."""
        pixels = self._shot(z_um)
        fault = exposure_fault(pixels)
        if fault is None and not patch_contrasts(pixels, self._config).any():
            fault = "the picture is of one colour: look at the camera and its cable"
        if fault is None:
            return pixels
        self._approach(pivot_um)
        raise FocusLost(
            f"focus near z={pivot_um:.1f} um was asked for, but at z={z_um:.1f} um {fault}; the stage is back at "
            f"z={pivot_um:.1f} um.",
            tuple(self._attempts),
        )

    def _attempt(
        self, z1_um: float, pivot_um: float
    ) -> tuple[UInt8Array, tuple[rule.Seen, rule.Seen], Estimate]:
        """Both shots of an estimate: the pixels of the second, how sharp both are, and the estimate."""
        first = self._lit_shot(z1_um, pivot_um)
        first_seen = self._note_shot(first)
        second = self._lit_shot(self._axis.position_um + self._config.delta_um, pivot_um)
        return (
            second,
            (first_seen, self._note_shot(second)),
            estimate(first, second, self._runner, self._config),
        )

    def _note_shot(self, pixels: UInt8Array) -> rule.Seen:
        """How sharp the shot just taken is, at the height where the stage stands."""
        seen = rule.Seen(self._axis.position_um, self._sharpness(pixels))
        self._shots.append(seen)
        return seen

    def _sharpness(self, pixels: UInt8Array) -> float:
        return variance_of_laplacian(central_part(pixels, self._config))

    def _recovered(self, pivot_um: float, start: UInt8Array) -> Focused:
        """A fine upward sweep about the pivot, or about the peak of a coarse one; or back, and FocusLost."""
        config = self._config
        near_um = self._fine_peak_um(pivot_um)
        if near_um is not None:
            near = self._shot(near_um)
            if self._is_sharpest(near):
                return self._ended("recovered", near_um, start, near)
        z_um = self._sweep_peak_um(
            pivot_um - config.recovery_reach_um, pivot_um + config.recovery_reach_um, config.recovery_step_um
        )
        if z_um is not None:
            z_um = self._fine_peak_um(z_um) or z_um
            found = self._shot(z_um)
            if self._is_sharpest(found):
                return self._ended("recovered", z_um, start, found)
        self._approach(pivot_um)
        raise FocusLost(
            f"focus near z={pivot_um:.1f} um was asked for, {len(self._attempts)} estimates and a sweep of "
            f"+-{config.recovery_reach_um} um found none; the stage is back at z={pivot_um:.1f} um. Look at "
            "the field: thick or folded tissue has no one focus; a wider focus.recovery_reach_um sees farther.",
            tuple(self._attempts),
        )

    def _is_sharpest(self, pixels: UInt8Array) -> bool:
        """Whether no shot of this field so far is clearly sharper than the one just taken."""
        best = max((seen.sharpness for seen in self._shots), default=0.0)
        return self._sharpness(pixels) >= self._config.min_relative_sharpness * best

    def _fine_peak_um(self, centre_um: float) -> float | None:
        """Height of the peak of a short upward sweep about ``centre_um``; None where it still rises at an end."""
        config = self._config
        return peak_inside_um(
            *self._sweep(
                centre_um - config.fine_reach_um, centre_um + config.fine_reach_um, config.fine_step_um
            )
        )

    def _sweep_peak_um(self, start_um: float, stop_um: float, step_um: float) -> float | None:
        return peak_um(*self._sweep(start_um, stop_um, step_um))

    def _sweep(self, start_um: float, stop_um: float, step_um: float) -> tuple[list[float], list[float]]:
        """Heights and sharpness of an upward sweep, as much of it as the limits allow."""
        start_um, stop_um = max(start_um, self.lowest_um), min(stop_um, self._axis.limits_um[1])
        heights_um, sharpness = [], []
        for k in range(int(np.floor((stop_um - start_um) / step_um + 1e-6)) + 1):
            seen = self._note_shot(self._shot(start_um + k * step_um))
            heights_um.append(seen.z_um)
            sharpness.append(seen.sharpness)
        return heights_um, sharpness

    def why_without_focus(self) -> str | None:
        """Why the field, as it is now, gave a sweep no peak, where it holds something; None where it is empty."""
        pixels = self._shot(self._axis.position_um)
        fault = exposure_fault(pixels)
        if fault is None and blank(patch_contrasts(pixels, self._config), self._config):
            return None
        return fault or "the first sweep of the slide found no peak in this field"

    def _ended(self, outcome: Outcome, z_um: float, start: UInt8Array, pixels: UInt8Array) -> Focused:
        self._approach(z_um)
        return Focused(
            outcome=outcome,
            z_um=self._axis.position_um,
            images=self._images,
            attempts=tuple(self._attempts),
            path_um=self.path_um,
            start=start,
            pixels=pixels,
        )
