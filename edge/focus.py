"""The loop that carries out the focus rule on one axis and one camera."""

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.board.axis import Axis
from parfocal.board.errors import MoveRefused
from parfocal.edge import rule
from parfocal.edge.config import FocusConfig
from parfocal.edge.errors import FocusLost
from parfocal.edge.estimate import Estimate, blank, central_part, estimate, patch_contrasts
from parfocal.edge.frame import Camera, frame_after
from parfocal.edge.sharpness import peak_inside_um, peak_um, variance_of_laplacian
from parfocal.engines.runner import Runner

UInt8Array = NDArray[np.uint8]
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
        self._attempts: list[Attempt] = []
        self._path_um: list[float] = []
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
        start = self._shot(pivot_um)
        if blank(patch_contrasts(start, self._config), self._config):
            return self._ended("blank", pivot_um, start, start)
        start_sharpness = self._sharpness(start)
        reach_um = (self.lowest_um, self._axis.limits_um[1])
        z1_um: float | None = rule.first_shot_um(pivot_um, self._config)
        while z1_um is not None and z1_um >= self.lowest_um:
            z2_um, shots, found = self._attempt(z1_um)
            decision = rule.decide(found, z2_um, len(self._attempts) + 1, reach_um, self._config)
            final = None
            name: rule.RuleName = decision.rule
            if isinstance(decision, rule.Accept):
                final, sharpness = self._confirmed(decision.target_um, z2_um, shots, start_sharpness)
                name = decision.rule if final is not None else "not_sharper"
                if final is not None and start_sharpness > sharpness:
                    # Both are good; the field must not end less sharp than it began.
                    self._note(z1_um, z2_um, found, "pivot_sharper")
                    return self._ended("focused", pivot_um, start, start)
            self._note(z1_um, z2_um, found, name)
            if final is not None:
                return self._ended("focused", self._axis.position_um, start, final)
            z1_um = decision.z1_um if isinstance(decision, rule.Again) else None
        return self._recovered(pivot_um, start)

    def _begin(self) -> None:
        self._attempts, self._path_um, self._images = [], [], 0

    def _note(self, z1_um: float, z2_um: float, found: Estimate, name: str) -> None:
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

    def _attempt(self, z1_um: float) -> tuple[float, tuple[UInt8Array, UInt8Array], Estimate]:
        first = self._shot(z1_um)
        second = self._shot(self._axis.position_um + self._config.delta_um)
        found = estimate(first, second, self._runner, self._config)
        return self._axis.position_um, (first, second), found

    def _confirmed(
        self, target_um: float, z2_um: float, shots: tuple[UInt8Array, UInt8Array], start_sharpness: float
    ) -> tuple[UInt8Array | None, float]:
        """The shot at the target and its sharpness; None where it is less sharp than the start or one of ``shots``."""
        final = shots[1] if target_um <= z2_um else self._shot(target_um)
        sharpness = self._sharpness(final)
        best = max(start_sharpness, *(self._sharpness(pixels) for pixels in shots))
        return (final if sharpness >= self._config.min_relative_sharpness * best else None), sharpness

    def _sharpness(self, pixels: UInt8Array) -> float:
        return variance_of_laplacian(central_part(pixels, self._config))

    def _recovered(self, pivot_um: float, start: UInt8Array) -> Focused:
        """A fine upward sweep about the pivot, or about the peak of a coarse one; or back, and FocusLost."""
        config = self._config
        z_um = self._fine_peak_um(pivot_um)
        if z_um is None:
            coarse_um = self._sweep_peak_um(
                pivot_um - config.recovery_reach_um,
                pivot_um + config.recovery_reach_um,
                config.recovery_step_um,
            )
            z_um = coarse_um if coarse_um is None else self._fine_peak_um(coarse_um) or coarse_um
        if z_um is None:
            self._approach(pivot_um)
            raise FocusLost(
                f"focus near z={pivot_um:.1f} um was asked for, {len(self._attempts)} estimates and a sweep of "
                f"+-{config.recovery_reach_um} um found none; the stage is back at z={pivot_um:.1f} um. Look at "
                "the field: thick or folded tissue has no one focus; a wider focus.recovery_reach_um sees farther.",
                tuple(self._attempts),
            )
        return self._ended("recovered", z_um, start, self._shot(z_um))

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
            sharpness.append(self._sharpness(self._shot(start_um + k * step_um)))
            heights_um.append(self._axis.position_um)
        return heights_um, sharpness

    def is_blank_here(self) -> bool:
        """Whether the field, as it is now, holds too little to judge."""
        pixels = self._shot(self._axis.position_um)
        return blank(patch_contrasts(pixels, self._config), self._config)

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
