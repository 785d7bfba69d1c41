"""A run over the fields of a plan: go there, focus, report."""

from collections.abc import Callable, Generator

from parfocal.edge.config import Config
from parfocal.edge.focus.focuser import Focuser
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.judging.proof import CALIBRATED, Proof
from parfocal.edge.focus.picture.part import reduced
from parfocal.edge.focus.result import FocusLost, FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.dust_alone import is_dust_alone
from parfocal.edge.scan.field_result import FieldResult
from parfocal.edge.scan.learner import Learner, Learning
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.report import FieldReport
from parfocal.edge.scan.watch import Due, watch_of
from parfocal.edge.words import counted
from parfocal.engines.predictor import Predictor


class Session:
    """Focuses one field after another, each starting from the height of the one before."""

    def __init__(
        self,
        instrument: Instrument,
        predictor: Predictor,
        config: Config,
        single: Predictor | None = None,
        measures: bool = False,
    ) -> None:
        """Check what can be checked before anything moves. The model is corrected as it was measured.

        `single`, `measures`: as Focuser takes them.

        Raises MoveRefused; InputMismatch for a model that does not take its correction.
        """
        self._instrument, self._config = instrument, config
        predictor, focus = instrument.calibrated(predictor, config.focus)
        self.condenser = predictor.condenser
        proof = Proof() if instrument.above_sharpest_um is None else CALIBRATED
        single = instrument.single.calibrated(single)
        self._focuser = Focuser(
            instrument.board.z,
            instrument.camera,
            predictor,
            focus,
            single,
            proof,
            measures,
            instrument.above_sharpest_um,
        )
        self._learner = None
        if config.focus.learn and instrument.above_sharpest_um is not None:
            self._learner = Learner(predictor, instrument.above_sharpest_um)
        self._focuser.check_first_sweep()
        self._watch = watch_of(instrument, config.scan.lamp_duty)
        self._pivot_um: float | None = None
        self.first_sweep_images = 0
        self.first_sweep_s = 0.0

    @property
    def learning(self) -> Learning | None:
        """What was learned about the model so far; None if nothing is to be learned."""
        return None if self._learner is None else self._learner.learning

    @property
    def z_um(self) -> float:
        """The present height of the stage, um."""
        return self._instrument.board.z.position_um

    @property
    def depth_um(self) -> float:
        """Depth of field, um."""
        return depth_of_field_um(self._config.focus.objective)

    @property
    def due(self) -> tuple[Due, ...]:
        """The calibrations that the fields so far contradict."""
        return self._watch.due

    @property
    def confirmed(self) -> frozenset[str]:
        """The calibrations that the fields so far confirm."""
        return frozenset(self._watch.confirmed)

    @property
    def is_taught(self) -> bool:
        """Whether `measured` may tell the height of a focus by one picture."""
        return self._focuser.is_taught

    def verify_next(self) -> None:
        """Let two shots settle the next field, whatever a single one says."""
        self._focuser.verify_next()

    def shows_dust_alone(self, pixels: UInt8Array) -> bool:
        """Whether a picture (h, w, 3) of the camera shows nothing but dust on glass."""
        focus = self._config.focus
        return is_dust_alone(reduced(pixels, focus), focus, self._instrument.view.um_per_px)

    def run(
        self, plan: tuple[Field, ...], pivot_at: Callable[[Field], float | None] | None = None
    ) -> Generator[FieldResult, None, None]:
        """Home if the instrument may, turn the lamp on, and visit the fields of `plan` in order.

        `pivot_at(field)` gives the height at which a field starts; without it, or where it gives None, a field starts
        at the height of the one before. The lamp is off again however the run ends; close the iterator to end it early.

        Raises:
            FocusLost: no field of the plan could be focused.
            BoardError, CameraFailed, EngineError: as they come, after the fields that were done.
        """
        self._instrument.home_if_allowed()
        with self._instrument.lit(self._config.scan.lamp_duty):
            for field in plan:
                yield self.visit(field, pivot_at(field) if pivot_at else None)
        self.finish(len(plan))

    def finish(self, n_fields: int) -> None:
        """Look once more at the settings of the camera. Raises FocusLost if none of `n_fields` could be focused."""
        self._watch.check_settings()
        if self._pivot_um is None:
            focus = self._config.focus
            raise FocusLost(
                f"no focus in {counted(n_fields, 'field')}: a look from z={focus.first_sweep_start_um} to "
                f"{focus.first_sweep_stop_um} um found none in any of them. Check lamp and slide, or move "
                "focus.first_sweep_start_um / first_sweep_stop_um."
            )

    def visit(self, field: Field, pivot_um: float | None = None) -> FieldResult:
        """Go to one field and focus it, from `pivot_um` or else from the height of the field before.

        The lamp must be on and the axes homed.

        Raises BoardError, CameraFailed, EngineError. A lost field is reported, not raised.
        """
        began_s = self._instrument.clock.now_s()
        if pivot_um is not None:
            self._pivot_um = pivot_um
        # Z goes to where the field begins, or the look for its focus, while X and Y are on their way.
        clock, is_first = self._instrument.clock, self._pivot_um is None
        begin_um = self._config.focus.first_sweep_start_um if self._pivot_um is None else self._pivot_um
        clock.sleep_s(self._instrument.approach(field.x_um, field.y_um, begin_um) - clock.now_s())
        return self._visit_first(field, began_s) if is_first else self._focused(field, begin_um, began_s)

    def measured(
        self, field: Field, passed: Shot, elapsed_s: float, error_um: float | None
    ) -> FieldResult | None:
        """What one picture tells of a field, taken while the stage passed it; None if it must be visited.

        `error_um`: true height of the stage above the true focus in that picture, None on a real microscope. Nothing
        moves. Raises EngineError.
        """
        result = self._focuser.measured(passed)
        if result is None:
            return None
        focus_um = None if error_um is None else passed.z_um - error_um
        return FieldResult(_report(field, result, elapsed_s, (focus_um, error_um, error_um)), result)

    def _visit_first(self, field: Field, began_s: float) -> FieldResult:
        """Focus a field of a slide of which nothing is known: from a coarse look, or else from a whole sweep.

        The time of look and sweep is counted apart.
        """
        for find in (self._focuser.coarse_look, self._focuser.first_sweep):
            found_s = self._instrument.clock.now_s()
            try:
                found = find()
            except FocusLost as lost:
                if lost.result is None:
                    raise
                return self._done(field, lost.result, began_s, None)
            elapsed_s = self._instrument.clock.now_s() - found_s
            self.first_sweep_images += found.images
            self.first_sweep_s += elapsed_s
            began_s += elapsed_s
            if found.pivot_um is None:
                break
            done = self._focused(field, found.pivot_um, began_s)
            if done.outcome != "lost" or find == self._focuser.first_sweep:
                return done
        return self._done(field, self._focuser.without_focus(), began_s, None)

    def _focused(self, field: Field, pivot_um: float, began_s: float) -> FieldResult:
        """Focus a field from `pivot_um`; where that succeeds is the pivot of the next."""
        began_error_um = self._error_um(field, pivot_um)
        try:
            result = self._focuser.focus(pivot_um)
        except FocusLost as lost:
            if lost.result is None:
                raise
            result = lost.result
        if result.outcome in ("focused", "recovered"):
            self._pivot_um = result.z_um
        if self._learner is not None and (predictor := self._learner.seen(result)) is not None:
            self._focuser.use(predictor)
        return self._done(field, result, began_s, began_error_um)

    def _done(
        self, field: Field, result: FocusResult, began_s: float, began_error_um: float | None
    ) -> FieldResult:
        self._look_at(result)
        truth_at = self._instrument.truth_at
        truth = truth_at(field.x_um, field.y_um) if truth_at else None
        focus_um, error_um = (
            (truth.focus_z_um, truth.stage_z_um - truth.focus_z_um) if truth else (None, None)
        )
        elapsed_s = self._instrument.clock.now_s() - began_s
        report = _report(field, result, elapsed_s, (focus_um, error_um, began_error_um))
        return FieldResult(report, result)

    def _look_at(self, result: FocusResult) -> None:
        if result.end is not None and result.outcome != "lost":
            board, is_empty = self._instrument.board, result.outcome == "blank"
            self._watch.look(board.x.stage_um, board.y.stage_um, result.end.pixels, is_empty)

    def _error_um(self, field: Field, z_um: float) -> float | None:
        truth_at = self._instrument.truth_at
        return z_um - truth_at(field.x_um, field.y_um).focus_z_um if truth_at else None


def _report(
    field: Field,
    result: FocusResult,
    elapsed_s: float,
    truth_um: tuple[float | None, float | None, float | None],
) -> FieldReport:
    """`truth_um`: the true focus, and how far above it the stage was at the end and at the beginning."""
    focus_um, error_um, began_error_um = truth_um
    return FieldReport(
        x_um=field.x_um,
        y_um=field.y_um,
        z_um=result.z_um,
        true_focus_z_um=focus_um,
        error_um=error_um,
        began_error_um=began_error_um,
        images=result.images,
        elapsed_s=elapsed_s,
        outcome=result.outcome,
        attempts=result.attempts,
        path_um=result.path_um,
        reason=result.reason,
        sigma_um=result.sigma_um,
        believed=result.believed,
        remarks=result.remarks,
    )
