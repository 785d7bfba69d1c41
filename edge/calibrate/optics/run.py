"""`parfocal calibrate optics`: how far the models are off on this microscope, and what corrects them."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from parfocal.calib.errors import CalibPoor
from parfocal.calib.models.optics import OpticsFit
from parfocal.calib.models.stack_faults import check_fixed, check_steady
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import LOCATE_REACH_UM, Curves, Step
from parfocal.edge.calibrate.keeper import Keeper, Stamp
from parfocal.edge.calibrate.optics.model_view import (
    Plane,
    SinglePlanes,
    curve_of,
    kept_stack,
    plane_heights,
)
from parfocal.edge.calibrate.optics.one_model import Kept, OneModel, Taken
from parfocal.edge.calibrate.optics.result import OpticsResult, OpticsResults
from parfocal.edge.config import Config
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument

N_STACKS = 12
FEW = 6  # with fewer stacks, more of them may be all that is missing
# Empty fields and folds are passed over: at most this many fields are visited for each stack.
FIELDS_PER_STACK = 3
MAX_EMPTY = 6  # fields before the first stack; then the place is wrong, or the light
MIN_PLANES = 7  # of a recorded stack
SEARCH_REACH_UM, SEARCH_STEP_UM = 20.0, 2.5
STEPS_PER_FIELD, FIRST_STEPS = 3, 2

Place = tuple[float, float]


class Models(msgspec.Struct, frozen=True):
    """The models that are fitted. `without_single` says why there is no single-shot model, "" if none is configured."""

    two_shot: OneModel
    single: OneModel | None = None
    without_single: str = ""


class OpticsCalibration:
    """Takes stacks about the configured origin, or is given recorded ones, and fits the models to them."""

    def __init__(
        self, instrument: Instrument, config: Config, store: Store, stamp: Stamp, models: Models
    ) -> None:
        """Nothing moves. Raises CalibError for a store that could not take the result."""
        self._instrument, self._config, self._models = instrument, config, models
        self._keeper = Keeper(store, stamp)
        self._passed_over: list[str] = []
        self.images, self.elapsed_s = 0, 0.0

    def take(self, places: Iterable[Place], n_stacks: int, step: Step) -> None:
        """Home if the instrument may, turn the lamp on, and take stacks at `places` until there are `n_stacks`.

        Fields without a single clear focus are passed over. Raises BoardError, CameraFailed, EngineError.
        """
        instrument = self._instrument
        instrument.home_if_allowed()
        began_s = instrument.clock.now_s()
        with instrument.lit(self._config.scan.lamp_duty):
            curves, focus_um = Curves(instrument, self._config.focus, step), None
            for x_um, y_um in places:
                instrument.go_to(x_um, y_um)
                try:
                    near_um = curves.focus_um() if focus_um is None else self._found_um(curves, focus_um)
                    focus_um = self._stack(curves, near_um)
                except CalibPoor as error:
                    self._passed_over.append(f"field at x={x_um:.0f} y={y_um:.0f} um: {error}")
                n_taken = len(self._models.two_shot.curves)
                if n_taken >= n_stacks or (not n_taken and len(self._passed_over) >= MAX_EMPTY):
                    break
            self.images = curves.images
        self.elapsed_s = instrument.clock.now_s() - began_s

    def take_recorded(self, name: str, shots: Iterable[Shot]) -> None:
        """Use the planes of a recorded stack; one without a clear focus is passed over. Raises EngineError."""
        planes: list[Plane] = []
        see, singles = self._eyes(planes)
        for shot in shots:
            see(shot)
        self.images += len(planes)
        try:
            if len(planes) < MIN_PLANES:
                raise CalibPoor(f"it has {len(planes)} planes, {MIN_PLANES} or more are needed.")
            self._see(planes, singles, curve_of(planes))
        except CalibPoor as error:
            self._passed_over.append(f"{name}: {error}")

    def take_earlier(self) -> int:
        """Also use the stacks of the calibration in force, if it is of the same model. Returns how many there are."""
        if self._models.single is not None:
            self._models.single.take_earlier(self._keeper.store)
        return self._models.two_shot.take_earlier(self._keeper.store)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why fields gave no stack, a sentence each."""
        return tuple(self._passed_over)

    def fit(self) -> OpticsResults:
        """Fit the models to the stacks and keep the result.

        A single-shot model that is not good enough is kept as refused. Raises CalibPoor where the stacks or the
        two-shot model are not good enough; the earlier values stay. CalibError.
        """
        models, keeper = self._models, self._keeper
        fit = self._fit_of_two_shots()
        single, of_single, without = self._single()
        apart = models.two_shot.planes_apart(self._config.focus.condenser)
        result, of_two_shots = models.two_shot.keep(fit, keeper, self._taken, apart)
        # Where the loop ends depends on the correction.
        of_loop: Kept = {"focus_repeatability_um": None, "focus_above_sharpest_um": None}
        keeper.store.keep_all({**of_loop, **of_two_shots, **of_single})
        return OpticsResults(result, single, without)

    @property
    def _taken(self) -> Taken:
        return Taken(self.images, self.elapsed_s, self.passed_over)

    def _fit_of_two_shots(self) -> OpticsFit:
        two_shot, fit = self._models.two_shot, None
        try:
            fit = two_shot.fit(self._config.focus.condenser)
            if fit.poor is not None:
                # One field that is hard to judge is half of two stacks.
                more = (
                    f"Take more stacks than {len(two_shot.kept)} (--stacks, --add). "
                    if len(two_shot.kept) < FEW
                    else ""
                )
                raise CalibPoor(
                    f"optics refused: {fit.poor}. {more}Check objective, pixel size and camera, or train a model for "
                    "this microscope."
                )
        except CalibPoor as error:
            raw = two_shot.raw(fit, self.passed_over, str(error))
            raise self._keeper.poor(error, "the optics", two_shot.which, raw) from error
        return fit

    def _single(self) -> tuple[OpticsResult | None, Kept, str]:
        """The single-shot model, what is kept of it, and why it was not calibrated, "" if it was."""
        single = self._models.single
        if single is None:
            return None, {}, self._models.without_single
        try:
            fit = single.fit(self._config.focus.condenser)
        except CalibPoor as error:
            return None, {}, str(error)
        result, kept = single.keep(fit, self._keeper, self._taken)
        return result, kept, ""

    def _found_um(self, curves: Curves, near_um: float) -> float:
        """About where the focus of a field lies, from that of the field before."""
        wide = curves.upward(curves.heights(near_um, SEARCH_REACH_UM, SEARCH_STEP_UM))
        return wide.z_um[int(np.argmax(wide.sharpness))]

    def _stack(self, curves: Curves, near_um: float) -> float:
        """Take a stack of the present field; returns where its focus is. Raises CalibPoor if the focus moves."""
        focus, scale = self._config.focus, self._instrument.board.z.config.um_per_step
        heights_um = plane_heights(near_um, self._models.two_shot.predictor, focus, scale)
        planes: list[Plane] = []
        see, singles = self._eyes(planes)
        curve = curves.upward(heights_um, see)
        peak_um = peak_of(curve).z_um
        # At every other of the same heights: nothing but the focus may have changed.
        about = [z_um for z_um in heights_um if abs(z_um - peak_um) <= LOCATE_REACH_UM][::2]
        check_steady(curve, curves.upward(tuple(about)))
        self._see(planes, singles, curve)
        return curve.z_um[int(np.argmax(curve.sharpness))]

    def _eyes(self, planes: list[Plane]) -> tuple[Callable[[Shot], None], SinglePlanes | None]:
        """What sees each shot of a stack, and keeps its plane in `planes`; and what the single-shot model saw."""
        single = self._models.single
        singles = None if single is None else SinglePlanes(single.predictor, self._config.focus)

        def see(shot: Shot) -> None:
            planes.append(Plane(shot))
            if singles is not None:
                singles.see(shot)

        return see, singles

    def _see(self, planes: Sequence[Plane], singles: SinglePlanes | None, curve: FocusCurve) -> None:
        check_fixed(curve)
        two_shot, single = self._models.two_shot, self._models.single
        two_shot.add(kept_stack(planes, curve, two_shot.predictor, self._config.focus), curve)
        if single is not None and singles is not None:
            kept = singles.kept(peak_of(curve).z_um)
            if kept is not None:
                single.add(kept, curve)
