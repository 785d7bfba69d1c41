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
    used, notes = [], []
    for name, axis in board.axes.items():
        measured, configured_um = values.get(play_name(name)), axis.config.play_um
        if measured is None:
            continue
        if name not in config.calibration.keep_play:
            _use_play(axis, measured, store)
            used.append(f"{name} {shown(measured)}")
        elif is_too_small(configured_um, measured):
            notes.append(
                f"calibration: board.{name}.play_um = {configured_um:g} is configured, but {shown(measured)} was "
                "measured. Remove that key."
            )
    if used:
        notes.insert(0, f"calibration: play of {', '.join(used)}; {store.path}")
    return tuple(notes)


def shown(measured: Measured) -> str:
    """A play in a few words: "19.9 +- 0.2 um of 2026-11-26"."""
    return f"{measured.value:.1f} +- {measured.uncertainty:.1f} um of {measured.measured_at:%Y-%m-%d}"


def is_too_small(play_um: float, measured: Measured) -> bool:
    """Whether the play of a configuration is less than what was measured."""
    return play_um < measured.interval[0]


def _use_play(axis: Axis, measured: Measured, store: Store) -> None:
    try:
        axis.use_play(measured.value)
    except ValueError as error:
        raise CalibRefused(
            f"calibration {store.path} refused: {error} Remove [{play_name(axis.name)}] from that file."
        ) from error
