"""Focusing with a tunable lens in place of the Z motor."""

import contextlib

import msgspec

from parfocal.board.lens import Lens, LensCurve
from parfocal.board.tunable.lens_board import LensBoard
from parfocal.board.tunable.lens_motor import UM_PER_STEP, UNMEASURED_SETTLE_S, LensMount
from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.value import Measured
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.errors import ConfigError
from parfocal.edge.focus.field_work import FieldWork
from parfocal.edge.focus.first_plane import check_first_sweep, whole_sweep
from parfocal.edge.focus.judging.proof import Proof
from parfocal.edge.focus.result import FocusLost
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse, store_for
from parfocal.edge.scan.plan import Field
from parfocal.edge.scan.session import Session
from parfocal.edge.words import counted
from parfocal.engines.predictor import Predictor

_MEASURE = "Run `parfocal calibrate lens`"


def check_lens(instrument: Instrument, config: Config) -> None:
    """Refuse a lens that was not measured. Nothing moves. Raises CalibMissing, CalibRefused for another lens."""
    _measured(instrument, config)


def through_lens(instrument: Instrument, config: Config, park_um: float) -> tuple[Instrument, Config]:
    """Instrument and configuration that focus with the lens while the Z motor stands at `park_um`. Nothing moves.

    The hysteresis of the lens is approached from below as the play of a gear is. The first sweep is cut to its reach.
    Raises CalibMissing, CalibRefused for another lens, ConfigError where the first sweep is out of its reach.
    """
    lens, curve, play, settle = _measured(instrument, config)
    settle_s = config.lens.settle_s
    if settle_s is None:
        settle_s = UNMEASURED_SETTLE_S if settle is None else settle.interval[1]
    mount = LensMount(park_um, play.interval[1], settle_s)
    board = LensBoard(instrument.board, lens, curve, mount, instrument.clock)
    plays = (
        *(one for one in instrument.plays if one.axis != "z"),
        PlayInUse("z", play.interval[1], play.uncertainty, play.measured_at),
    )
    low_um, high_um = board.z.limits_um
    told = (
        f"lens: focuses in place of the Z motor, from {low_um:.0f} to {high_um:.0f} um; hysteresis "
        f"{play.value:.1f} +- {play.uncertainty:.1f} um of {play.measured_at:%Y-%m-%d}; at rest after {settle_s:.3f} s"
    )
    focus = _within(instrument, config.focus, low_um, high_um, board.z.overshoot_um)
    seen = msgspec.structs.replace(
        instrument, board=board, plays=plays, notes=(*instrument.notes, told), spacing=None
    )
    return seen, msgspec.structs.replace(config, focus=focus)


def parked_by_motor(
    instrument: Instrument,
    predictor: Predictor,
    config: Config,
    plan: tuple[Field, ...],
    single: Predictor | None = None,
) -> float:
    """The height at which the Z motor finds the focus of the first field of `plan` that has one, um.

    Raises FocusLost where none has, and as `Session.run`.
    """
    session = Session(instrument, predictor, config, single)
    with contextlib.closing(session.run(plan)) as run:  # which raises FocusLost if no field can be focused
        return next(done.z_um for done in run if done.outcome in ("focused", "recovered"))


def parked_by_sweep(instrument: Instrument, config: Config, plan: tuple[Field, ...]) -> float:
    """The same without a model, to a few um: the sharpest height of the first field whose sweep has a peak.

    Raises FocusLost where none has; MoveRefused, BoardError, CameraFailed.
    """
    work = FieldWork(instrument.board.z, instrument.camera, config.focus, Proof())
    check_first_sweep(work)
    instrument.home_if_allowed()
    with instrument.lit(config.scan.lamp_duty):
        for field in plan:
            instrument.go_to(field.x_um, field.y_um)
            found = whole_sweep(work)
            if found.pivot_um is not None:
                return found.pivot_um
    raise FocusLost(
        f"no focus in {counted(len(plan), 'field')} for the Z motor to stand at: check lamp and slide, or set "
        "lens.park_um."
    )


def _measured(instrument: Instrument, config: Config) -> tuple[Lens, LensCurve, Measured, Measured | None]:
    """The lens, its curve, its hysteresis, and its settle time, None if that was not measured."""
    lens = instrument.lens
    if lens is None:
        raise ConfigError("lens.focuses = true, but no lens is open: set lens.kind to 'board' or 'optotune'")
    store = store_for(instrument.board.unit_serial, config)
    try:
        calibration = store.load()
    except CalibMissing as error:
        raise CalibMissing(
            f"lens.focuses = true, but no lens of this microscope was measured. {_MEASURE}."
        ) from error
    table, play = calibration.lens, calibration.lens_play_um
    if table is None or play is None:
        raise CalibMissing(f"lens.focuses = true, but the lens was not measured. {_MEASURE}.")
    if table.lens != lens.name:
        raise CalibRefused(
            f"calibration {store.path} refused: its lens is {table.lens!r}, but this one is {lens.name!r}. {_MEASURE}."
        )
    return lens, LensCurve(table.currents_ma, table.heights_um), play, calibration.lens_settle_s


def _within(
    instrument: Instrument, config: FocusConfig, low_um: float, high_um: float, overshoot_um: float
) -> FocusConfig:
    """The focus rule within the reach of the lens. An approach starts as far below as its hysteresis needs."""
    config = config if instrument.spacing is None else instrument.spacing.of(config)
    z0_below_um = config.z1_below_um + overshoot_um
    start_um = max(config.first_sweep_start_um, low_um + z0_below_um + overshoot_um)
    stop_um = min(config.first_sweep_stop_um, high_um - UM_PER_STEP)
    if start_um >= stop_um:
        raise ConfigError(
            f"the first sweep, from {config.first_sweep_start_um:g} to {config.first_sweep_stop_um:g} um, lies out of "
            f"the reach of the lens, {low_um:.0f} to {high_um:.0f} um: set lens.park_um to about the focus of the "
            "slide, or remove it"
        )
    return msgspec.structs.replace(
        config, z0_below_um=z0_below_um, first_sweep_start_um=start_um, first_sweep_stop_um=stop_um
    )
