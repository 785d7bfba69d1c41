"""`parfocal calibrate optics`: how far the model is off on this microscope, and what corrects it."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np

from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.optics import Condensers, LevelFit, OpticsFit, StackSeen, fit_optics
from parfocal.calib.play import FocusCurve
from parfocal.calib.store import OpticsModel, Store
from parfocal.calib.value import Level, Measured
from parfocal.edge.calibrate.curves import Curves, Step
from parfocal.edge.calibrate.keeper import Keeper, Stamp
from parfocal.edge.calibrate.model_view import Plane, curve_of, kept_stack, plane_heights, seen_by, strangest
from parfocal.edge.config import Config
from parfocal.edge.focus.shots import Shot
from parfocal.edge.instrument import Instrument
from parfocal.edge.optics_file import KeptStack, Taught, optics_bytes, stacks_in
from parfocal.engines.predictor import AS_SHIPPED, Correction, Predictor

METHOD = "{n} stacks, labelled by their sharpest plane; held-out stacks chose {level}"
STEM = "optics"
N_STACKS = 12
# Empty fields and folds are passed over: at most this many fields are visited for each stack.
FIELDS_PER_STACK = 3
MAX_EMPTY = 6  # fields before the first stack; then the place is wrong, or the light
SEARCH_REACH_UM, SEARCH_STEP_UM = 20.0, 2.5
STEPS_PER_FIELD, FIRST_STEPS = 2, 2
SPARE_STRANGENESS = 1.1

Place = tuple[float, float]


class StackCurve(msgspec.Struct, frozen=True):
    """The focus curve of a stack, and what the model said about its pictures, with and without the correction, um.

    `true_um` is the distance from each picture to the sharpest plane.
    """

    z_um: tuple[float, ...]
    sharpness: tuple[float, ...]
    true_um: tuple[float, ...] = ()
    shipped_um: tuple[float, ...] = ()
    corrected_um: tuple[float, ...] = ()


class RawOptics(msgspec.Struct, frozen=True):
    """What the optics were computed from; `passed_over` says why fields gave no stack, `refused` why nothing was kept.

    `earlier` is the number of stacks of earlier runs that were used besides those shown here.
    """

    model: str
    levels: tuple[LevelFit, ...] = ()
    chosen: Level | None = None
    stacks: tuple[StackCurve, ...] = ()
    passed_over: tuple[str, ...] = ()
    earlier: int = 0
    refused: str | None = None


class OpticsResult(msgspec.Struct, frozen=True):
    """The levels beside each other and the one that was taken. `raw` and `file` are what was written beside the store.

    A value that the level does not have is None. Errors are against the sharpest plane of held-out stacks, um.
    """

    model: str
    levels: tuple[LevelFit, ...]
    chosen: Level
    error_um: float
    gain: float | None
    offset_um: float | None
    condenser: float | None
    n_stacks: int
    images: int
    elapsed_s: float
    raw: str
    file: str


class ModelName(msgspec.Struct, frozen=True):
    """A model by its name and the SHA-256 of its file."""

    name: str
    sha256: str


class OpticsCalibration:
    """Takes stacks about the configured origin, or is given recorded ones, and fits the model to them."""

    def __init__(
        self,
        instrument: Instrument,
        config: Config,
        store: Store,
        stamp: Stamp,
        predictor: Predictor,
        model: ModelName,
    ) -> None:
        """Nothing moves. Raises CalibError for a store that could not take the result."""
        self._instrument, self._config, self._model = instrument, config, model
        self._predictor = predictor.corrected(AS_SHIPPED)
        self._keeper = Keeper(store, stamp)
        self._kept: list[KeptStack] = []
        self._curves: list[FocusCurve] = []
        self._passed_over: list[str] = []
        self._n_earlier = 0
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
                n_taken = len(self._kept) - self._n_earlier
                if n_taken >= n_stacks or (not n_taken and len(self._passed_over) >= MAX_EMPTY):
                    break
            self.images = curves.images
        self.elapsed_s = instrument.clock.now_s() - began_s

    def take_recorded(self, name: str, shots: Iterable[Shot]) -> None:
        """Use the planes of a recorded stack; one without a clear focus is passed over. Raises EngineError."""
        planes = [Plane(shot) for shot in shots]
        self.images += len(planes)
        try:
            if len(planes) < 7:
                raise CalibPoor(f"it has {len(planes)} planes, 7 or more are needed.")
            self._see(planes, curve_of(planes))
        except CalibPoor as error:
            self._passed_over.append(f"{name}: {error}")

    def take_earlier(self) -> int:
        """Also use the stacks of the calibration in force, if it is of the same model. Returns how many there are."""
        try:
            optics = self._keeper.store.load().optics
        except CalibMissing:
            return 0
        if optics is None or optics.model_sha256 != self._model.sha256:
            return 0
        earlier = stacks_in(self._keeper.store.read_file(optics))
        self._kept = [*earlier, *self._kept]
        self._n_earlier += len(earlier)
        return len(earlier)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Why fields gave no stack, a sentence each."""
        return tuple(self._passed_over)

    def fit(self) -> OpticsResult:
        """Fit the model to the stacks and keep the result.

        Raises CalibPoor where the stacks or the model are not good enough; the earlier values stay. CalibError.
        """
        try:
            fit = fit_optics(self._seen_at, self._condensers())
        except CalibPoor as error:
            raise self._keeper.poor(error, "the optics", STEM, self._raw(None, str(error))) from error
        return self._keep(fit)

    def _found_um(self, curves: Curves, near_um: float) -> float:
        """About where the focus of a field lies, from that of the field before."""
        wide = curves.upward(curves.heights(near_um, SEARCH_REACH_UM, SEARCH_STEP_UM))
        return wide.z_um[int(np.argmax(wide.sharpness))]

    def _stack(self, curves: Curves, near_um: float) -> float:
        """Take a stack of the present field; returns where its focus is."""
        focus, scale = self._config.focus, self._instrument.board.z.config.um_per_step
        planes: list[Plane] = []
        heights_um = plane_heights(near_um, self._predictor, focus, scale)
        curve = curves.upward(heights_um, lambda shot: planes.append(Plane(shot)))
        self._see(planes, curve)
        return curve.z_um[int(np.argmax(curve.sharpness))]

    def _see(self, planes: Sequence[Plane], curve: FocusCurve) -> None:
        self._kept.append(kept_stack(planes, curve, self._predictor, self._config.focus))
        self._curves.append(curve)

    def _seen_at(self, condenser: float | None) -> tuple[StackSeen, ...]:
        return seen_by(self._kept, self._predictor.corrected(Correction(condenser=condenser)))

    def _condensers(self) -> Condensers | None:
        """The condensers to try; None if the head takes none, or the user decided."""
        head = self._predictor.contract.head
        if head is None or head.condenser is None or self._config.focus.condenser is not None:
            return None
        return Condensers(head.condenser.least, head.condenser.most)

    def _keep(self, fit: OpticsFit) -> OpticsResult:
        fitted, chosen, stamp = fit.fitted, fit.chosen, self._keeper.stamp
        limit = strangest(self._kept, self._predictor.corrected(Correction(condenser=fitted.condenser)))
        if limit is not None:
            limit *= SPARE_STRANGENESS
        data = optics_bytes(tuple(self._kept), self._taught(fit))
        store = self._keeper.store
        raw = self._keeper.keep_raw(STEM, self._raw(fit))
        file = store.keep_file(f"{STEM}-{stamp.measured_at:%Y%m%dT%H%M%SZ}.npz", data)
        digest = hashlib.sha256(data).hexdigest()
        method = METHOD.format(n=len(self._kept), level=LEVEL_WORDS[chosen.level])

        def measured(value: float | None, uncertainty: float | None) -> Measured | None:
            if value is None:
                return None
            return Measured(value, uncertainty or 0.0, stamp.measured_at, method, stamp.program_version, raw)

        is_scaled = chosen.level in ("line", "head")
        store.keep_all(
            {
                "optics": OpticsModel(
                    chosen.level, self._model.name, self._model.sha256, file, digest, limit
                ),
                "optics_error_um": measured(chosen.error_um, chosen.uncertainty_um),
                "optics_gain": measured(fitted.gain, fit.gain_uncertainty) if is_scaled else None,
                "optics_offset_um": measured(fitted.offset_um, fit.offset_uncertainty_um)
                if chosen.level != "shipped"
                else None,
                "optics_condenser": measured(fitted.condenser, fit.condenser_uncertainty),
                # Where the loop ends depends on the correction.
                "focus_repeatability_um": None,
                "focus_above_sharpest_um": None,
            }
        )
        return OpticsResult(
            model=self._model.name,
            levels=fit.levels,
            chosen=chosen.level,
            error_um=chosen.error_um,
            gain=fitted.gain if is_scaled else None,
            offset_um=None if chosen.level == "shipped" else fitted.offset_um,
            condenser=fitted.condenser,
            n_stacks=len(self._kept),
            images=self.images,
            elapsed_s=self.elapsed_s,
            raw=raw,
            file=file,
        )

    def _taught(self, fit: OpticsFit) -> Taught | None:
        head = self._predictor.head
        if fit.fitted.weights is None or head is None:
            return None
        members = len(head.layers[-1][0])
        return Taught(fit.fitted.weights.reshape(members, -1).astype(np.float32), fit.fitted.bias_um)

    def _raw(self, fit: OpticsFit | None, refused: str | None = None) -> RawOptics:
        curves = tuple(self._drawn(fit))
        levels, chosen = (fit.levels, fit.chosen.level) if fit else ((), None)
        return RawOptics(self._model.name, levels, chosen, curves, self.passed_over, self._n_earlier, refused)

    def _drawn(self, fit: OpticsFit | None) -> Iterator[StackCurve]:
        """The stacks of this run as they are drawn."""
        condenser = None if fit is None else fit.fitted.condenser
        shipped, now = self._seen_at(None)[self._n_earlier :], self._seen_at(condenser)[self._n_earlier :]
        for curve, before, after in zip(self._curves, shipped, now, strict=True):
            corrected = after.picture_um(after.predicted_um) if fit is None else fit.fitted.picture_um(after)
            yield StackCurve(
                curve.z_um,
                curve.sharpness,
                tuple(before.true_um.tolist()),
                tuple(before.picture_um(before.predicted_um).tolist()),
                tuple(corrected.tolist()),
            )


LEVEL_WORDS: dict[Level, str] = {
    "shipped": "the model as it is",
    "line": "gain and offset",
    "condenser": "the condenser",
    "head": "the head taught on the stacks",
}
