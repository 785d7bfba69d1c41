"""`parfocal calibrate focus`: closes the loop on a real field, and chooses where it takes its shots."""

import msgspec
import numpy as np

from parfocal.board.axis import steps_from_um, um_from_steps
from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.loop import (
    PIVOT_SPREAD_UM,
    Approach,
    Judged,
    LoopFit,
    SharpestPlane,
    Spacing,
    choose_spacing,
    fit_loop,
)
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.calibrate.optics.model_view import Plane, kept_stack, plane_heights, seen_by
from parfocal.edge.config import Config
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging import rule
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import SpacingInUse
from parfocal.engines.predictor import Predictor

METHOD = "{n} approaches of the loop, against focus curves before, between and after"
STEM = "focus"
N_APPROACHES, N_PER_CURVE = 20, 5
N_STEPS = 2 + 1 + N_APPROACHES // N_PER_CURVE + N_APPROACHES
REACH_UM, STEP_UM = 5.0, 0.625  # of `Curves.near`
# From where the approaches begin, um from the sharpest plane through 20x/0.75: as neighbouring fields leave the stage.
# As many depths of field through another objective, so that the loop has as far to go.
PIVOTS_UM = tuple(float(um) for um in np.linspace(-PIVOT_SPREAD_UM, PIVOT_SPREAD_UM, N_APPROACHES))
ORDER = tuple(
    k * 7 % N_APPROACHES for k in range(N_APPROACHES)
)  # so that a drift is not taken for the pivot's work


class RawLoop(msgspec.Struct, frozen=True):
    """What the loop's values were computed from; `refused` says why they were not kept.

    `judged` are the errors of the model over a stack of the field, `curves` the focus curves between the approaches.
    """

    curves: tuple[FocusCurve, ...] = ()
    planes: tuple[SharpestPlane, ...] = ()
    approaches: tuple[Approach, ...] = ()
    judged: tuple[Judged, ...] = ()
    spacing: Spacing | None = None
    fit: LoopFit | None = None
    refused: str | None = None


class LoopCalibration:
    """Runs the loop on the field at the configured origin, again and again."""

    def __init__(
        self,
        instrument: Instrument,
        config: Config,
        store: Store,
        stamp: Stamp,
        predictor: Predictor,
    ) -> None:
        """Nothing moves. `predictor` is corrected as it is in use. Raises CalibError for a store that takes nothing."""
        self._instrument, self._config, self._predictor = instrument, config, predictor
        self._keeper = Keeper(store, stamp)
        self.images = 0
        self.seen = RawLoop()

    def run(self, step: Step) -> tuple[KeptValue, ...]:
        """Home if the instrument may, turn the lamp on, and measure. All results are kept together, at the end.

        Raises CalibPoor where the loop does not repeat; the earlier values stay. BoardError, CameraFailed, EngineError.
        """
        try:
            found = self._measured(step)
        except CalibPoor as error:
            raw = msgspec.structs.replace(self.seen, refused=str(error))
            raise self._keeper.poor(error, "the loop", STEM, raw) from error
        focus = self._config.focus
        before = {"focus_z0_below_um": focus.z0_below_um, "focus_z1_below_um": focus.z1_below_um}
        file = self._keeper.keep(found, METHOD.format(n=N_APPROACHES), STEM, self.seen)
        return tuple(
            KeptValue(one.name, one.value, one.uncertainty, before.get(one.name), file) for one in found
        )

    def _measured(self, step: Step) -> tuple[Found, ...]:
        instrument, config = self._instrument, self._config
        instrument.home_if_allowed()
        scan = config.scan
        with instrument.lit(scan.lamp_duty):
            instrument.go_to(scan.origin_x_um, scan.origin_y_um)
            curves = Curves(instrument, config.focus, step)
            sharpest_um = curves.focus_um()
            spacing = self._spacing(curves, sharpest_um)
            focus = config.focus
            if not config.calibration.keep_spacing:
                focus = SpacingInUse(spacing.z0_below_um, spacing.z1_below_um).of(focus)
            # z0 and z1 are those of the two-shot loop; the controller takes its pairs from where it stands.
            focus = msgspec.structs.replace(focus, strategy="two-shot")
            focuser = Focuser(instrument.board.z, instrument.camera, self._predictor, focus)
            for number, k in enumerate(ORDER):
                if number and number % N_PER_CURVE == 0:
                    sharpest_um = self._sharpest_um(curves, sharpest_um)
                self._approach(focuser, sharpest_um + curves.scale * PIVOTS_UM[k])
                step(f"approach {number + 1} of {N_APPROACHES}")
            curves.leave_at(self._sharpest_um(curves, sharpest_um))
            self.images += curves.images
        fit = fit_loop(self.seen.approaches, self.seen.planes, curves.scale)
        self._see(fit=fit)
        return (
            Found("focus_repeatability_um", fit.repeatability_um, fit.repeatability_uncertainty_um),
            Found("focus_above_sharpest_um", fit.above_um, fit.above_uncertainty_um),
            Found("focus_z0_below_um", spacing.z0_below_um, 0.0),
            Found("focus_z1_below_um", spacing.z1_below_um, 0.0),
        )

    def _spacing(self, curves: Curves, near_um: float) -> Spacing:
        """Take a stack of the field, see how the model errs on it, and choose where to take the shots."""
        axis, focus = self._instrument.board.z, self._config.focus
        planes: list[Plane] = []
        um_per_step = axis.config.um_per_step
        heights_um = plane_heights(near_um, self._predictor, focus, um_per_step)
        curve = curves.upward(heights_um, lambda shot: planes.append(Plane(shot)))
        self._found(curve)
        (seen,) = seen_by([kept_stack(planes, curve, self._predictor, focus)], self._predictor)
        said_um = seen.picture_um(seen.predicted_um)
        judged = tuple(
            Judged(float(true), float(said - true)) for true, said in zip(seen.true_um, said_um, strict=True)
        )
        reach = rule.reach_of(self._predictor.contract.range_um, focus, self._predictor.range_um)
        delta_um = um_from_steps(steps_from_um(focus.delta_um, um_per_step), um_per_step)
        spacing = choose_spacing(judged, delta_um, reach.accepted_um, axis.overshoot_um, curves.scale)
        self._see(judged=judged, spacing=spacing)
        return spacing

    def _sharpest_um(self, curves: Curves, near_um: float) -> float:
        """The sharpest plane now, by a close focus curve."""
        return self._found(curves.upward(curves.near(near_um, REACH_UM, STEP_UM)))

    def _found(self, curve: FocusCurve) -> float:
        plane = SharpestPlane(peak_of(curve).z_um, curve.time_s)
        self._see(planes=(*self.seen.planes, plane), curves=(*self.seen.curves, curve))
        return plane.z_um

    def _approach(self, focuser: Focuser, pivot_um: float) -> None:
        try:
            result = focuser.focus(pivot_um)
        except FocusLost as lost:
            if lost.result is None:
                raise
            result = lost.result
        self.images += result.images
        now_s = self._instrument.clock.now_s()
        done = Approach(pivot_um, result.z_um, now_s, result.outcome, result.images)
        self._see(approaches=(*self.seen.approaches, done))

    def _see(self, **seen: object) -> None:
        self.seen = msgspec.structs.replace(self.seen, **seen)
