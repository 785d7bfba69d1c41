"""`parfocal calibrate optics`: how far the models are off on this microscope, and what corrects them."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.models.fixed_pattern import FineDetail, check_dust
from parfocal.calib.models.optics import MIN_STACKS, OpticsFit
from parfocal.calib.models.stack_faults import (
    StackDrifts,
    StackIsPale,
    StackStaysSharp,
    check_fixed,
    check_steady,
    heights_again,
    moved_um,
    pale_limit,
)
from parfocal.calib.motion.play import FocusCurve, peak_of
from parfocal.calib.store import Store
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Keeper, Stamp
from parfocal.edge.calibrate.optics.dust import EvenedCamera, look_for_dust
from parfocal.edge.calibrate.optics.model_view import (
    Plane,
    SinglePlanes,
    curve_of,
    fine_detail,
    kept_stack,
    plane_heights,
)
from parfocal.edge.calibrate.optics.one_model import Kept, OneModel, Taken
from parfocal.edge.calibrate.optics.result import OpticsResult, OpticsResults
from parfocal.edge.calibrate.optics.transfer import NAMES
from parfocal.edge.config import Config
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.optics_in_use import damaged_of

N_STACKS = 12
FEW = 6  # with fewer stacks, more of them may be all that is missing
# Empty fields and folds are passed over: at most this many fields are visited for each stack.
FIELDS_PER_STACK = 3
MAX_EMPTY = 6  # fields before the first stack; then the place is wrong, or the light
MIN_PLANES = 7  # of a recorded stack
SEARCH_REACH_UM, SEARCH_STEP_UM = 20.0, 2.5  # of `Curves.near`
STEPS_PER_FIELD, FIRST_STEPS = 3, 2
MAX_DETAILS = 12  # stacks among which dust is looked for; more take time and say no more
WHY_PASSED_OVER: dict[type[CalibPoor], str] = {
    StackDrifts: "the focus of {n} moved",
    StackStaysSharp: "{n} stayed sharp far from the focus",
    CalibPoor: "{n} had no clear focus",
}

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
        self._camera = EvenedCamera(instrument.camera)
        self._scale = depth_scale(config.focus.objective)
        self._passed_over: list[tuple[str, CalibPoor]] = []
        self._details: list[FineDetail] = []
        self.images, self.elapsed_s = 0, 0.0

    def take(self, places: Iterable[Place], n_stacks: int, step: Step) -> None:
        """Home if the instrument may, turn the lamp on, and take stacks at `places` until there are `n_stacks`.

        Fields without a single clear focus are passed over. Raises BoardError, CameraFailed, EngineError.
        """
        instrument = msgspec.structs.replace(self._instrument, camera=self._camera)
        instrument.home_if_allowed()
        began_s, places = instrument.clock.now_s(), list(places)
        with instrument.lit(self._config.scan.lamp_duty):
            curves, focus_um = Curves(instrument, self._config.focus, step), None
            for x_um, y_um in places:
                instrument.go_to(x_um, y_um)
                try:
                    if focus_um is None:
                        near_um = curves.focus_um()
                        if not self.images:
                            self.images = look_for_dust(instrument, self._camera, curves, places, near_um)
                            instrument.go_to(x_um, y_um)
                    else:
                        near_um = self._found_um(curves, focus_um)
                    focus_um = self._stack(curves, near_um)
                except CalibPoor as error:
                    self._passed_over.append((f"field at x={x_um:.0f} y={y_um:.0f} um", error))
                contrasts = self._models.two_shot.contrasts
                n_taken = sum(one >= pale_limit(contrasts) for one in contrasts)
                if n_taken >= n_stacks or (not n_taken and len(self._passed_over) >= MAX_EMPTY):
                    break
            self.images += curves.images
        self._drop_pale()
        self.elapsed_s = instrument.clock.now_s() - began_s

    def take_recorded(self, name: str, shots: Iterable[Shot], moved_um: float | None = None) -> None:
        """Use the planes of a recorded stack; one without a clear focus is passed over.

        `moved_um`: how far the focus was away when it was looked at again; None if that was not recorded. Raises
        EngineError.
        """
        planes: list[Plane] = []
        see, singles = self._eyes(planes)
        for shot in shots:
            see(shot)
        self.images += len(planes)
        try:
            if len(planes) < MIN_PLANES:
                raise CalibPoor(f"it has {len(planes)} planes, {MIN_PLANES} or more are needed.")
            curve = curve_of(planes)
            if moved_um is not None:
                check_steady(curve, moved_um, self._scale)
            self._see(planes, singles, curve)
        except CalibPoor as error:
            self._passed_over.append((name, error))

    def take_earlier(self) -> int:
        """Also use the stacks of the calibration in force, if it is of the same model. Returns how many there are."""
        if self._models.single is not None:
            self._models.single.take_earlier(self._keeper.store)
        return self._models.two_shot.take_earlier(self._keeper.store)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why fields gave no stack, a sentence each."""
        return tuple(f"{where}: {error}" for where, error in self._passed_over)

    def fit(self) -> OpticsResults:
        """Fit the models to the stacks and keep the result.

        A single-shot model that is not good enough is kept as refused. Raises CalibPoor where the stacks or the
        two-shot model are not good enough; the earlier values stay. CalibError.
        """
        models, keeper = self._models, self._keeper
        self._drop_pale()
        fit = self._fit_of_two_shots()
        single, of_single, without = self._single()
        apart = models.two_shot.planes_apart(self._config.focus.condenser)
        result, of_two_shots = models.two_shot.keep(fit, keeper, self._taken, apart)
        # Where the loop ends depends on the correction.
        of_loop: Kept = {"focus_repeatability_um": None, "focus_above_sharpest_um": None}
        keeper.store.keep_all({**of_loop, **of_two_shots, **of_single})
        return OpticsResults(result, single, without, self._camera.dust)

    @property
    def _taken(self) -> Taken:
        return Taken(self.images, self.elapsed_s, self.passed_over)

    def _fit_of_two_shots(self) -> OpticsFit:
        two_shot, fit = self._models.two_shot, None
        try:
            self._check_reasons()
            check_dust(self._details)
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

    def _drop_pale(self) -> None:
        """Pass over the stacks that are too pale beside the others, if enough are left."""
        models = self._models
        contrasts = models.two_shot.contrasts
        limit = pale_limit(contrasts)
        curves = models.two_shot.curves
        pale = [(one, curve) for one, curve in zip(contrasts, curves, strict=True) if one < limit]
        if len(curves) - len(pale) < MIN_STACKS:
            return
        for contrast, curve in pale:
            models.two_shot.drop(curve)
            if models.single is not None:
                models.single.drop(curve)
            why = StackIsPale(
                f"it has a contrast of {contrast:.0f} grey levels, and beside the other stacks {limit:.0f} are needed."
            )
            self._passed_over.append((f"stack of {curve.z_um[0]:.1f}..{curve.z_um[-1]:.1f} um", why))

    def _check_reasons(self) -> None:
        """Say why there are too few stacks, if they were passed over for anything but their focus curve."""
        passed_over, kept = self._passed_over, self._models.two_shot.kept
        kinds = [type(error) for _, error in passed_over]
        worst = max(WHY_PASSED_OVER, key=kinds.count)
        if len(kept) >= MIN_STACKS or worst is CalibPoor:
            return
        first = next(f"{where}: {error}" for where, error in passed_over if type(error) is worst)
        found = [
            words.format(n=kinds.count(kind)) for kind, words in WHY_PASSED_OVER.items() if kind in kinds
        ]
        raise CalibPoor(
            f"optics refused: {len(kept)} of {len(kept) + len(kinds)} fields gave a stack that can be used, "
            f"{MIN_STACKS} or more are needed: {', '.join(found)}. {first}"
        )

    def _single(self) -> tuple[OpticsResult | None, Kept, str]:
        """The single-shot model, what is kept of it, and why it was not calibrated, "" if it was."""
        single = self._models.single
        if single is None:
            return None, *self._without_single(self._models.without_single)
        try:
            fit = single.fit(self._config.focus.condenser)
        except CalibPoor as error:
            return None, *self._without_single(str(error))
        result, kept = single.keep(fit, self._keeper, self._taken)
        return result, kept, ""

    def _without_single(self, why: str) -> tuple[Kept, str]:
        """What was measured of the single-shot model before stays, unless it is damaged: runs refuse it then."""
        store = self._keeper.store
        try:
            damaged = damaged_of(store.load(), self._config, store)
        except CalibMissing:
            return {}, why
        if "single" not in damaged:
            return {}, why
        told = "what was measured of it before is damaged, and was removed"
        return {"single": None, **dict.fromkeys(NAMES["single"])}, f"{why.rstrip('.')}; {told}"

    def _found_um(self, curves: Curves, near_um: float) -> float:
        """About where the focus of a field lies, from that of the field before."""
        wide = curves.upward(curves.near(near_um, SEARCH_REACH_UM, SEARCH_STEP_UM))
        return wide.z_um[int(np.argmax(wide.sharpness))]

    def _stack(self, curves: Curves, near_um: float) -> float:
        """Take a stack of the present field; returns where its focus is. Raises CalibPoor if the focus moves."""
        focus, um_per_step = self._config.focus, self._instrument.board.z.config.um_per_step
        heights_um = plane_heights(near_um, self._models.two_shot.predictor, focus, um_per_step)
        planes: list[Plane] = []
        see, singles = self._eyes(planes)
        curve = curves.upward(heights_um, see)
        # At some of the same heights: nothing but the focus may have changed.
        again = heights_again(heights_um, peak_of(curve).z_um, self._scale)
        if again is not None:
            check_steady(curve, moved_um(curve, curves.upward(again)), self._scale)
        self._see(planes, singles, curve)
        return curve.z_um[int(np.argmax(curve.sharpness))]

    def _eyes(self, planes: list[Plane]) -> tuple[Callable[[Shot], None], SinglePlanes | None]:
        """What sees each shot of a stack, and keeps its plane in `planes`; and what the single-shot model saw."""
        single = self._models.single
        singles = None if single is None else SinglePlanes(single.predictor, self._config.focus)

        def see(shot: Shot) -> None:
            planes.append(Plane(shot))
            if singles is not None:
                # As a run sees it: with the dust.
                singles.see(Shot(shot.z_um, self._camera.with_dust(shot.pixels), self._config.focus))

        return see, singles

    def _see(self, planes: Sequence[Plane], singles: SinglePlanes | None, curve: FocusCurve) -> None:
        two_shot, single = self._models.two_shot, self._models.single
        check_fixed(curve, two_shot.predictor.contract.range_um, self._scale)
        two_shot.add(kept_stack(planes, curve, two_shot.predictor, self._config.focus), curve)
        if len(self._details) < MAX_DETAILS:
            self._details.append(fine_detail(planes))
        if single is not None and singles is not None:
            kept = singles.kept(peak_of(curve).z_um)
            if kept is not None:
                single.add(kept, curve)
