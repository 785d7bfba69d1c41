"""Which calibrations earlier runs contradicted, noted beside the store for `parfocal doctor`."""

from collections.abc import Iterable
from datetime import datetime, timezone

import msgspec

from parfocal.calib.errors import CalibError
from parfocal.calib.store import Calibration, Store
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import store_for
from parfocal.edge.scan.watch import Due

STEM = "due"
# A later measurement of one of these settles a note.
_RENEWED_BY = {
    "stage": ("camera_angle_deg", "camera_um_per_px"),
    "camera": ("camera_exposure_s", "camera_falloff_share", "camera_flicker_share"),
    "trigger": ("trigger_delay_s",),
}


class Note(msgspec.Struct, frozen=True):
    """A calibration that a run contradicted, and when."""

    due: Due
    seen_at: datetime


def note_due(
    instrument: Instrument, config: Config, due: Iterable[Due], confirmed: frozenset[str] = frozenset()
) -> None:
    """Note what a run contradicts, and drop earlier notes on what it confirms.

    Where the note cannot be written, the run said it all the same.
    """
    due = tuple(due)
    try:
        store = store_for(instrument.board.unit_serial, config)
        before = _notes(store)
        settled = confirmed | {one.part for one in due}
        now = datetime.now(timezone.utc).replace(microsecond=0)
        notes = (*(one for one in before if one.due.part not in settled), *(Note(one, now) for one in due))
        if notes != before:
            store.keep_raw(STEM, notes)
    except CalibError:
        return


def noted(store: Store, calibration: Calibration) -> tuple[Note, ...]:
    """The notes that no later measurement has settled."""
    values = calibration.values()
    return tuple(
        note
        for note in _notes(store)
        if not any(
            name in values and values[name].measured_at > note.seen_at for name in _RENEWED_BY[note.due.part]
        )
    )


def _notes(store: Store) -> tuple[Note, ...]:
    try:
        return msgspec.json.decode(store.raw_path(STEM).read_bytes(), type=tuple[Note, ...])
    except (OSError, msgspec.MsgspecError):
        return ()
