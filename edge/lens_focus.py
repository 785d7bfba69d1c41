"""Focusing with a tunable lens in place of the Z motor."""

import msgspec

from parfocal.board.lens import Lens, LensCurve
from parfocal.board.tunable.lens_board import LensBoard
from parfocal.board.tunable.lens_motor import LensMount
from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.value import Measured
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import PlayInUse, store_for

_MEASURE = "Run `parfocal calibrate lens`"


def check_lens(instrument: Instrument, config: Config) -> None:
    """Refuse a lens that was not measured. Nothing moves. Raises CalibMissing, CalibRefused for another lens."""
    _measured(instrument, config)


def through_lens(instrument: Instrument, config: Config, park_um: float) -> tuple[Instrument, Config]:
    """Instrument and configuration that focus with the lens while the Z motor stands at `park_um`. Nothing moves.

    The hysteresis of the lens is approached from below as the play of a gear is. The first sweep is cut to its reach.
    Raises CalibMissing, CalibRefused for another lens, ConfigError where the first sweep is out of its reach.
    """
    lens, curve, play = _measured(instrument, config)
    mount = LensMount(park_um, play.interval[1], config.lens.settle_s)
    board = LensBoard(instrument.board, lens, curve, mount, instrument.clock)
    plays = (
        *(one for one in instrument.plays if one.axis != "z"),
        PlayInUse("z", play.interval[1], play.uncertainty, play.measured_at),
    )
    low_um, high_um = board.z.limits_um
    told = (
        f"lens: focuses in place of the Z motor, from {low_um:.0f} to {high_um:.0f} um; hysteresis "
        f"{play.value:.1f} +- {play.uncertainty:.1f} um of {play.measured_at:%Y-%m-%d}"
    )
    focus = _within(instrument, config.focus, low_um, high_um, board.z.overshoot_um)
    seen = msgspec.structs.replace(
        instrument, board=board, plays=plays, notes=(*instrument.notes, told), spacing=None
    )
    return seen, msgspec.structs.replace(config, focus=focus)


def _measured(instrument: Instrument, config: Config) -> tuple[Lens, LensCurve, Measured]:
    """The lens, its curve and its hysteresis."""
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
    return lens, LensCurve(table.currents_ma, table.heights_um), play


def _within(
    instrument: Instrument, config: FocusConfig, low_um: float, high_um: float, overshoot_um: float
) -> FocusConfig:
    """The focus rule within the reach of the lens. An approach starts as far below as its hysteresis needs."""
    config = config if instrument.spacing is None else instrument.spacing.of(config)
    z0_below_um = config.z1_below_um + overshoot_um
    start_um = max(config.first_sweep_start_um, low_um + z0_below_um + overshoot_um)
    stop_um = min(config.first_sweep_stop_um, high_um)
    if start_um >= stop_um:
        raise ConfigError(
            f"the first sweep, from {config.first_sweep_start_um:g} to {config.first_sweep_stop_um:g} um, lies out of "
            f"the reach of the lens, {low_um:.0f} to {high_um:.0f} um: set lens.park_um to about the focus of the "
            "slide, or remove it"
        )
    return msgspec.structs.replace(
        config, z0_below_um=z0_below_um, first_sweep_start_um=start_um, first_sweep_stop_um=stop_um
    )
