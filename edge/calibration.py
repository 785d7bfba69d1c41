"""What was measured on a microscope, put to use when its board is opened."""

from parfocal.board.axis import Axis
from parfocal.board.board import Board
from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.store import Owner, Store, default_folder
from parfocal.calib.value import Measured
from parfocal.edge.config import Config


def store_for(board_serial: int, config: Config) -> Store:
    """The store of the board with the configured objective. Raises CalibError if the user has no folder for it."""
    return Store(default_folder(), Owner(board_serial, config.focus.objective))


def play_name(axis: str) -> str:
    """Under what name the play of an axis, "x", "y" or "z", is stored."""
    return f"{axis}_play_um"


def use_calibration(board: Board, config: Config) -> tuple[str, ...]:
    """Give each axis its measured play, unless the configuration decides it. Nothing moves.

    Returns remarks for the user: which play is used, and where it comes from.
    Raises CalibRefused for a store that is invalid or of another microscope, CalibError as `store_for`.
    """
    store = store_for(board.unit_serial, config)
    try:
        values = store.load().values()
    except CalibMissing:
        return (
            "calibration: none of this microscope; play as configured. Run `parfocal calibrate backlash`.",
        )
    notes, told = [], []
    for name, axis in board.axes.items():
        measured = values.get(play_name(name))
        if measured is None:
            continue
        if name in config.calibration.keep_play:
            notes += _of_kept(axis, measured)
            continue
        try:
            axis.use_play(measured.value)
        except ValueError as error:
            raise CalibRefused(
                f"calibration {store.path} refused: {error} Remove [{play_name(name)}] from that file."
            ) from error
        told.append(f"{name} {shown(measured)}")
    if told:
        notes.insert(0, f"calibration: play of {', '.join(told)}; {store.path}")
    return tuple(notes)


def shown(measured: Measured) -> str:
    """A play in a few words: "19.9 +- 0.2 um of 2026-11-26"."""
    return f"{measured.value:.1f} +- {measured.uncertainty:.1f} um of {measured.measured_at:%Y-%m-%d}"


def _of_kept(axis: Axis, measured: Measured) -> list[str]:
    """A remark on play that the configuration decides, if it is too little."""
    kept_um = axis.config.play_um
    if kept_um >= measured.interval[0]:
        return []
    key = f"board.{axis.name}.play_um"
    return [f"calibration: {key} = {kept_um:g} is less than the measured {shown(measured)}: remove that key"]
