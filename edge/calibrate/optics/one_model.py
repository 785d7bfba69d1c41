"""The stacks of a calibration as one model saw them, and what is fitted to them."""

import hashlib
from collections.abc import Iterator

import msgspec
import numpy as np

from parfocal.calib.errors import CalibMissing
from parfocal.calib.models.levels import Condensers, Limit, StackSeen
from parfocal.calib.models.optics import SINGLE_SHOT, TWO_SHOTS, OpticsFit, fit_optics
from parfocal.calib.models.planes import Apart, planes_apart
from parfocal.calib.motion.play import FocusCurve
from parfocal.calib.store import OpticsModel, Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.keeper import Keeper
from parfocal.edge.calibrate.optics.model_view import seen_by, strangest
from parfocal.edge.calibrate.optics.result import LEVEL_WORDS, OpticsResult, RawOptics, StackCurve
from parfocal.edge.focus.judging.depth import depth_scale
from parfocal.edge.measured.optics_file import KeptStack, Taught, optics_bytes, stacks_in
from parfocal.edge.measured.optics_in_use import Which
from parfocal.engines.predictor import AS_SHIPPED, Correction, Predictor

METHOD = "{n} stacks, labelled by their sharpest plane; held-out stacks chose {level}"
# Beyond the strangest of 200 patches of the instrument's own stacks, by this factor, a patch is strange.
SPARE_STRANGENESS = 1.1
LIMITS: dict[Which, Limit] = {"optics": TWO_SHOTS, "single": SINGLE_SHOT}

Kept = dict[str, Measured | OpticsModel | None]


class ModelName(msgspec.Struct, frozen=True):
    """A model by its name and the SHA-256 of its file."""

    name: str
    sha256: str


class Taken(msgspec.Struct, frozen=True):
    """How the stacks were taken; `passed_over` says why fields gave none, a sentence each."""

    images: int
    elapsed_s: float
    passed_over: tuple[str, ...]


class OneModel:
    """One model, the stacks as it saw them, and their focus curves."""

    def __init__(self, which: Which, predictor: Predictor, model: ModelName) -> None:
        """`predictor` may be corrected; the fit begins with the model as it ships."""
        self.which, self.model = which, model
        self.predictor = predictor.corrected(AS_SHIPPED)
        self._scale = depth_scale(predictor.contract.objective)
        self.kept: list[KeptStack] = []
        self.curves: list[FocusCurve] = []
        self.n_earlier = 0

    def add(self, stack: KeptStack, curve: FocusCurve) -> None:
        """Another stack of this run."""
        self.kept.append(stack)
        self.curves.append(curve)

    @property
    def contrasts(self) -> list[float]:
        """Mean contrast of the stacks of this run, grey levels."""
        return [float(stack.contrast.mean()) for stack in self.kept[self.n_earlier :]]

    def drop(self, curve: FocusCurve) -> None:
        """Forget the stack of this run with this curve, if there is one."""
        for number, one in enumerate(self.curves):
            if one is curve:
                del self.curves[number], self.kept[self.n_earlier + number]
                return

    def take_earlier(self, store: Store) -> int:
        """Also use the stacks of the calibration in force, if it is of the same model. Returns how many there are."""
        try:
            calibration = store.load()
        except CalibMissing:
            return 0
        optics = calibration.optics if self.which == "optics" else calibration.single
        if optics is None or optics.model_sha256 != self.model.sha256:
            return 0
        earlier = stacks_in(store.read_file(optics))
        self.kept = [*earlier, *self.kept]
        self.n_earlier += len(earlier)
        return len(earlier)

    def fit(self, condenser: float | None) -> OpticsFit:
        """Fit the model to the stacks. `condenser` is that of the configuration, which is not fitted then.

        Raises CalibPoor for too few stacks.
        """
        limit = LIMITS[self.which].at(self._scale)
        return fit_optics(self._seen_at, self._condensers(condenser), limit)

    def planes_apart(self, condenser: float | None) -> Apart | None:
        """How far the sharpest plane lies above that of least wavefront variance.

        `condenser` as for `fit`. None if the model takes no condenser, or the stacks say too little.
        """
        if self.predictor.condenser is None:  # it takes another condenser for another focus
            return None
        return planes_apart(self._seen_at, self._condensers(condenser), self._scale)

    def raw(self, fit: OpticsFit | None, passed_over: tuple[str, ...], refused: str | None) -> RawOptics:
        """What the fit was computed from; `refused` says why it was refused."""
        levels, chosen = (fit.levels, fit.chosen.level) if fit else ((), None)
        curves = tuple(self._drawn(fit))
        return RawOptics(self.model.name, levels, chosen, curves, passed_over, self.n_earlier, refused)

    def keep(
        self, fit: OpticsFit, keeper: Keeper, taken: Taken, apart: Apart | None = None
    ) -> tuple[OpticsResult, Kept]:
        """Write the files of a fit beside the store; returns it, and what puts it in force.

        `apart`: from `planes_apart` of the two-shot model. Raises CalibError.
        """
        fitted, chosen, stamp, stem = fit.fitted, fit.chosen, keeper.stamp, self.which
        data = optics_bytes(tuple(self.kept), self._taught(fit))
        raw = keeper.keep_raw(stem, self.raw(fit, taken.passed_over, fit.poor))
        file = keeper.store.keep_file(f"{stem}-{stamp.measured_at:%Y%m%dT%H%M%SZ}.npz", data)
        method = METHOD.format(n=len(self.kept), level=LEVEL_WORDS[chosen.level])

        def measured(value: float | None, uncertainty: float | None) -> Measured | None:
            if value is None:
                return None
            return Measured(value, uncertainty or 0.0, stamp.measured_at, method, stamp.program_version, raw)

        gain = fitted.gain if chosen.level in ("line", "head") else None
        offset_um = None if chosen.level == "shipped" else fitted.offset_um
        is_used = fit.poor is None  # an absurd gain would make the store invalid
        values: Kept = {
            stem: self._optics(fit, file, hashlib.sha256(data).hexdigest()),
            f"{stem}_error_um": measured(chosen.error_um, chosen.uncertainty_um),
            f"{stem}_gain": measured(gain, fit.gain_uncertainty) if is_used else None,
            f"{stem}_offset_um": measured(offset_um, fit.offset_uncertainty_um) if is_used else None,
            f"{stem}_condenser": measured(fitted.condenser, fit.condenser_uncertainty) if is_used else None,
        }
        if self.which == "optics":
            above = None if apart is None else measured(apart.above_um, apart.uncertainty_um)
            values["optics_sharpest_above_um"] = above
        result = OpticsResult(
            self.model.name,
            fit.levels,
            chosen.level,
            chosen.error_um,
            gain,
            offset_um,
            fitted.condenser,
            len(self.kept),
            taken.images,
            taken.elapsed_s,
            raw,
            file,
            fit.poor,
            apart,
        )
        return result, values

    def _optics(self, fit: OpticsFit, file: str, digest: str) -> OpticsModel:
        limit = strangest(self.kept, self.predictor.corrected(Correction(condenser=fit.fitted.condenser)))
        scale = fit.chosen.sigma_scale
        return OpticsModel(
            fit.chosen.level,
            self.model.name,
            self.model.sha256,
            file,
            digest,
            None if limit is None else SPARE_STRANGENESS * limit,
            # Stacks of one slide make no model more certain than it is on all others.
            None if scale is None else max(1.0, scale),
            fit.poor,
        )

    def _seen_at(self, condenser: float | None) -> tuple[StackSeen, ...]:
        return seen_by(self.kept, self.predictor.corrected(Correction(condenser=condenser)))

    def _condensers(self, configured: float | None) -> Condensers | None:
        """The condensers to try; None if the head takes none, or the user decided."""
        head = self.predictor.contract.head
        if head is None or head.condenser is None or configured is not None:
            return None
        return Condensers(head.condenser.least, head.condenser.most)

    def _taught(self, fit: OpticsFit) -> Taught | None:
        head = self.predictor.head
        if fit.fitted.weights is None or head is None:
            return None
        members = len(head.layers[-1][0])
        return Taught(fit.fitted.weights.reshape(members, -1).astype(np.float32), fit.fitted.bias_um)

    def _drawn(self, fit: OpticsFit | None) -> Iterator[StackCurve]:
        """The stacks of this run as they are drawn."""
        condenser = None if fit is None else fit.fitted.condenser
        shipped, now = self._seen_at(None)[self.n_earlier :], self._seen_at(condenser)[self.n_earlier :]
        for curve, before, after in zip(self.curves, shipped, now, strict=True):
            corrected = after.picture_um(after.predicted_um) if fit is None else fit.fitted.picture_um(after)
            yield StackCurve(
                curve.z_um,
                curve.sharpness,
                tuple(before.true_um.tolist()),
                tuple(before.picture_um(before.predicted_um).tolist()),
                tuple(corrected.tolist()),
            )
