"""How the measured optics correct the configured models, and whether they are used at all."""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

from parfocal.calib.errors import CalibRefused
from parfocal.calib.store import Calibration, OpticsModel, Store
from parfocal.calib.value import Level, Measured
from parfocal.edge.config import Config
from parfocal.edge.measured.optics_file import Taught, taught_in
from parfocal.engines.errors import EngineError
from parfocal.engines.model.shipped import model_path
from parfocal.engines.predictor import AS_SHIPPED, Correction, Predictor

# Which model: that of two shots or that of one. The name of its table in the store, and the beginning of its values.
Which = Literal["optics", "single"]
KEYS: dict[Which, str] = {"optics": "focus.model", "single": "focus.single_model"}
WORDS: dict[Which, str] = {"optics": "optics", "single": "single shots"}


class OpticsInUse(msgspec.Struct, frozen=True):
    """How the model is corrected, see `parfocal.calib.models.optics`; a value that its level does not have is None.

    `error_um` is the mean error on stacks of this microscope that the correction was not fitted on.
    """

    level: Level
    gain: float | None
    offset_um: float | None
    condenser: float | None
    error_um: float
    measured_at: datetime

    def __str__(self) -> str:
        """As in messages: "distances times 0.77, less 0.26 um"."""
        told = []
        if self.level == "shipped":
            return "the model needs no correction"
        if self.condenser is not None:
            told.append(f"condenser {self.condenser:.2f}")
        if self.gain is not None:
            told.append(f"distances times {self.gain:.2f}")
        if self.offset_um is not None:
            told.append(f"{'plus' if self.offset_um >= 0.0 else 'less'} {abs(self.offset_um):.2f} um")
        if self.level == "head":
            told.append("head taught")
        return ", ".join(told)


class SingleInUse(msgspec.Struct, frozen=True):
    """What was measured of the single-shot model: how it is corrected, or why it must not be used here."""

    optics: OpticsInUse | None = None
    correction: Correction = AS_SHIPPED
    refused: str | None = None

    def calibrated(self, single: Predictor | None) -> Predictor | None:
        """The single-shot model as it was measured; None if there is none, or it must not be used.

        Raises InputMismatch for a model that does not take its correction.
        """
        if single is None or self.refused is not None:
            return None
        return single if self.correction is AS_SHIPPED else single.corrected(self.correction)

    def needed(self, single: Predictor, what: str) -> Predictor:
        """The same for `what`, which needs it. Raises CalibRefused if the model must not be used."""
        found = self.calibrated(single)
        if found is None:
            raise CalibRefused(
                f"{what} refused: it needs the single-shot model {single.contract.name}, and {self.refused}. Run "
                "`parfocal calibrate optics` again, or train a model for this microscope."
            )
        return found


def model_named(config: Config, which: Which) -> str:
    """Name or path of the configured model; "" for none."""
    return config.focus.model if which == "optics" else config.focus.single_model


def model_digest(name: str) -> str | None:
    """SHA-256 of a model by its name or path; None if it cannot be read, which opening its engine reports."""
    try:
        return hashlib.sha256(model_path(name).read_bytes()).hexdigest()
    except (EngineError, OSError):
        return None


def optics_of(
    calibration: Calibration, config: Config, store: Store, without_damaged: bool = False
) -> tuple[OpticsInUse | None, Correction, tuple[str, ...]]:
    """How the configured model is corrected, what does it, and remarks. Nothing, if another model was measured.

    Raises CalibRefused for a file of the optics that is gone or damaged; `without_damaged` makes a remark of it.
    """
    return _in_use(calibration, config, store, "optics", without_damaged)


def single_of(
    calibration: Calibration, config: Config, store: Store, without_damaged: bool = False
) -> tuple[SingleInUse, tuple[str, ...]]:
    """The same of the single-shot model, if one is configured."""
    single = calibration.single
    if single is None or not config.focus.single_model:
        return SingleInUse(), ()
    if single.refused is not None and why_not_used(calibration, config, "single") is None:
        told = f"single shots are not used on this microscope: {single.refused}; two shots and sharpness do their work"
        return SingleInUse(refused=single.refused), (f"calibration {calibration.used}: {told}",)
    used, correction, notes = _in_use(calibration, config, store, "single", without_damaged)
    return SingleInUse(used, correction), notes


def damaged_of(calibration: Calibration, config: Config, store: Store) -> dict[Which, str]:
    """Why runs refuse the measured optics of a model, and what to do; empty if they do not."""
    found: dict[Which, str] = {}
    try:
        optics_of(calibration, config, store)
    except CalibRefused as damaged:
        found["optics"] = str(damaged)
    try:
        single_of(calibration, config, store)
    except CalibRefused as damaged:
        found["single"] = str(damaged)
    return found


def why_not_used(calibration: Calibration, config: Config, which: Which = "optics") -> str | None:
    """Why the measured optics are not used with this configuration, and what to do; None if they are."""
    optics, condenser = _model(calibration, which), calibration.values().get(f"{which}_condenser")
    name = model_named(config, which)
    if optics is None:
        return "nothing was measured. Run `parfocal calibrate optics`."
    if optics.model_sha256 != model_digest(name):
        return (
            f"they belong to model {optics.model} as it was then, and {KEYS[which]} = {name!r} is another one. Run "
            "`parfocal calibrate optics`."
        )
    if condenser is not None and config.focus.condenser is not None:
        return (
            f"focus.condenser = {config.focus.condenser:g} is configured, but {condenser.value:.2f} +- "
            f"{condenser.uncertainty:.2f} was measured. Remove that key, or run `parfocal calibrate optics`."
        )
    return None


def _in_use(
    calibration: Calibration, config: Config, store: Store, which: Which, without_damaged: bool
) -> tuple[OpticsInUse | None, Correction, tuple[str, ...]]:
    values = calibration.values()
    optics, error = _model(calibration, which), values.get(f"{which}_error_um")
    if optics is None or error is None:
        return None, AS_SHIPPED, ()
    if (why := why_not_used(calibration, config, which)) is not None:
        return None, AS_SHIPPED, (f"calibration: the measured {WORDS[which]} are not used: {why}",)
    gain, offset_um, condenser = (
        None if (one := values.get(f"{which}_{name}")) is None else one.value
        for name in ("gain", "offset_um", "condenser")
    )
    try:
        taught = _taught(optics, store) if optics.level == "head" else None
    except CalibRefused as damaged:
        if not without_damaged:
            raise
        return None, AS_SHIPPED, (f"calibration: the measured {WORDS[which]} are left out: {damaged}",)
    used = OpticsInUse(optics.level, gain, offset_um, condenser, error.value, error.measured_at)
    correction = Correction(
        1.0 if gain is None else gain,
        offset_um or 0.0,
        condenser,
        None if taught is None else taught.weights,
        0.0 if taught is None else taught.bias_um,
        optics.strangeness_limit,
        optics.sigma_scale or 1.0,
    )
    return used, correction, (f"calibration {calibration.used}: {WORDS[which]}: {used} ({_aged(error)})",)


def _taught(optics: OpticsModel, store: Store) -> Taught | None:
    """What the file of the optics adds to the head. Raises CalibRefused if it is gone or damaged."""
    try:
        return taught_in(store.read_file(optics))
    except ValueError as damaged:
        raise CalibRefused(
            f"calibration {store.path} refused: {optics.file} is damaged: {damaged}. Run `parfocal calibrate optics`."
        ) from damaged


def _model(calibration: Calibration, which: Which) -> OpticsModel | None:
    return calibration.optics if which == "optics" else calibration.single


def _aged(error: Measured) -> str:
    return f"error {error.value:.2f} +- {error.uncertainty:.2f} um on its own stacks, {error.measured_at:%Y-%m-%d}"
