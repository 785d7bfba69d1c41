"""What was measured on a microscope, put to use when its board is opened."""

from datetime import datetime

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.motor_board import MotorBoard
from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured, UsedCalibration
from parfocal.edge.config import Config


class PlayInUse(msgspec.Struct, frozen=True):
    """The play of an axis that a run works with. Uncertainty and date are None if the configuration gives it."""

    axis: str
    play_um: float
    uncertainty_um: float | None = None
    measured_at: datetime | None = None


class InUse(msgspec.Struct, frozen=True):
    """What an open board works with, and remarks for the user, a sentence each.

    `calibration` names the calibration in force; None if nothing was measured on this microscope.
    """

    plays: tuple[PlayInUse, ...]
    notes: tuple[str, ...]
    calibration: UsedCalibration | None = None


def store_for(board_serial: int, config: Config) -> Store:
    """The store of the board with the configured objective. Raises CalibError if the user has no folder for it."""
    return Store(default_folder(), Owner(board_serial, config.focus.objective))


def play_name(axis: str) -> str:
    """Under what name the play of an axis, "x", "y" or "z", is stored."""
    return f"{axis}_play_um"


def use_calibration(board: MotorBoard, config: Config) -> InUse:
    """Give each axis its measured play, unless the configuration decides it. Nothing moves.

    Returns what is used, with remarks for the user.
    Raises CalibRefused for a store that is invalid or of another microscope, CalibError as `store_for`.
    """
    store = store_for(board.unit_serial, config)
    try:
        calibration = store.load()
    except CalibMissing:
        told = "calibration: none of this microscope; play as configured. Run `parfocal calibrate backlash`."
        return InUse(tuple(_configured(axis) for axis in board.axes.values()), (told,))
    values = calibration.values()
    plays, notes = [], []
    for name, axis in board.axes.items():
        measured = values.get(play_name(name))
        if measured is None:
            plays.append(_configured(axis))
        elif name in config.calibration.keep_play:
            plays.append(_configured(axis))
            notes += _doubts(axis, measured)
        else:
            _use_play(axis, measured, store)
            plays.append(PlayInUse(name, measured.value, measured.uncertainty, measured.measured_at))
    used = [f"{play.axis} {shown(values[play_name(play.axis)])}" for play in plays if play.measured_at]
    if used:
        notes.insert(0, f"calibration {calibration.used}: play of {', '.join(used)}; {store.path}")
    return InUse(tuple(plays), tuple(notes), calibration.used)


def shown(measured: Measured) -> str:
    """A play in a few words: "19.9 +- 0.2 um of 2026-11-26"."""
    return f"{measured.value:.1f} +- {measured.uncertainty:.1f} um of {measured.measured_at:%Y-%m-%d}"


def is_too_small(play_um: float, measured: Measured) -> bool:
    """Whether the play of a configuration is less than what was measured."""
    return play_um < measured.interval[0]


def _configured(axis: Axis) -> PlayInUse:
    return PlayInUse(axis.name, axis.config.play_um)


def _doubts(axis: Axis, measured: Measured) -> list[str]:
    """A remark on play that the configuration decides, if it is too little."""
    configured_um = axis.config.play_um
    if not is_too_small(configured_um, measured):
        return []
    told = f"board.{axis.name}.play_um = {configured_um:g} is configured, but {shown(measured)} was measured"
    return [f"calibration: {told}. Remove that key."]


def _use_play(axis: Axis, measured: Measured, store: Store) -> None:
    try:
        axis.use_play(measured.value)
    except ValueError as error:
        raise CalibRefused(
            f"calibration {store.path} refused: {error} Remove [{play_name(axis.name)}] from that file."
        ) from error
