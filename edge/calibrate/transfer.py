"""The measured optics as one file: to keep, or to move to another computer of the same microscope."""

import hashlib
import io
import zipfile
import zlib

import msgspec

from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.store import OpticsModel, Owner, Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.optics import ModelName

HEADER, DATA, RAW = "optics.json", "optics.npz", "raw.json"
NAMES = ("optics_error_um", "optics_gain", "optics_offset_um", "optics_condenser")
MAX_BYTES = 200_000_000


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of the file: whose optics they are, and what was measured."""

    board_serial: int
    objective: str
    optics: OpticsModel
    values: dict[str, Measured]


def exported(store: Store) -> bytes:
    """The optics in force as a file. Raises CalibMissing without any, CalibRefused for a store that is damaged."""
    calibration = store.load()
    optics = calibration.optics
    if optics is None:
        raise CalibMissing(
            f"nothing to export: the optics of {store.owner} were not measured. Run `parfocal calibrate optics`."
        )
    values = {name: one for name, one in calibration.values().items() if name in NAMES}
    header = Exported(store.owner.board_serial, store.owner.objective, optics, values)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEADER, msgspec.json.format(msgspec.json.encode(header), indent=1))
        archive.writestr(DATA, store.read_file(optics))
        raw = store.path.with_name(values["optics_error_um"].raw)
        archive.writestr(RAW, raw.read_bytes() if raw.exists() else b"{}")
    return written.getvalue()


def import_optics(store: Store, data: bytes, name: str, model: ModelName) -> Exported:
    """Put exported optics in force. `name` is that of the file, for messages; `model` is the configured one.

    Raises CalibRefused for a file that is damaged, or of another microscope, objective or model; nothing changed.
    """
    header, arrays, raw = _read(data, name)
    owner = Owner(header.board_serial, header.objective)
    if owner != store.owner:
        raise CalibRefused(
            f"import of {name} refused: it was measured on {owner}, but this is {store.owner}. Run `parfocal calibrate "
            "optics` on this microscope."
        )
    if header.optics.model_sha256 != model.sha256:
        raise CalibRefused(
            f"import of {name} refused: it belongs to model {header.optics.model} "
            f"({header.optics.model_sha256[:12]}...), and focus.model is {model.name} ({model.sha256[:12]}...). Set "
            "focus.model to that model, or run `parfocal calibrate optics`."
        )
    if hashlib.sha256(arrays).hexdigest() != header.optics.file_sha256:
        raise CalibRefused(
            f"import of {name} refused: it is damaged. Export it again with `parfocal calibrate optics --export`."
        )
    stamp = f"{header.values['optics_error_um'].measured_at:%Y%m%dT%H%M%SZ}"
    raw_name = store.keep_file(f"optics-{stamp}.json", raw)
    file = store.keep_file(f"optics-{stamp}.npz", arrays)
    values = {
        one: msgspec.structs.replace(header.values[one], raw=raw_name) if one in header.values else None
        for one in NAMES
    }
    of_loop = {"focus_repeatability_um": None, "focus_above_sharpest_um": None}  # with another correction
    store.keep_all({**of_loop, "optics": msgspec.structs.replace(header.optics, file=file), **values})
    return header


def _read(data: bytes, name: str) -> tuple[Exported, bytes, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
            header = msgspec.json.decode(archive.read(HEADER), type=Exported)
            found = header, archive.read(DATA), archive.read(RAW)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, msgspec.MsgspecError) as error:
        raise CalibRefused(
            f"import of {name} refused: it is no exported calibration ({error}). Give a file of `parfocal calibrate "
            "optics --export`."
        ) from error
    if "optics_error_um" not in header.values or not set(header.values) <= set(NAMES):
        raise CalibRefused(
            f"import of {name} refused: it has the values {', '.join(header.values) or 'none'}. Export it again."
        )
    return found
