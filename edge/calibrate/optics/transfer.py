"""The measured optics as one file: to keep, or to move to another computer of the same microscope."""

import hashlib
import io
import zipfile
import zlib
from typing import NamedTuple

import msgspec

from parfocal.calib.errors import CalibMissing, CalibRefused
from parfocal.calib.store import OpticsModel, Owner, Store
from parfocal.calib.value import Measured
from parfocal.edge.calibrate.optics.one_model import ModelName
from parfocal.edge.measured.optics_in_use import Which

HEADER = "optics.json"
# What the file has of each model: its arrays and its raw data.
FILES: dict[Which, tuple[str, str]] = {
    "optics": ("optics.npz", "raw.json"),
    "single": ("single.npz", "single-raw.json"),
}
NAMES: dict[Which, tuple[str, ...]] = {
    which: tuple(f"{which}_{end}" for end in ("error_um", "gain", "offset_um", "condenser"))
    for which in FILES
}
NAMES["optics"] += ("optics_sharpest_above_um",)
MAX_BYTES = 200_000_000


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header of the file: whose optics they are, and what was measured. `single`: of the single-shot model."""

    board_serial: int
    objective: str
    optics: OpticsModel
    values: dict[str, Measured]
    single: OpticsModel | None = None

    @property
    def models(self) -> dict[Which, OpticsModel]:
        """The models that were measured."""
        found: dict[Which, OpticsModel] = {"optics": self.optics}
        return found if self.single is None else {**found, "single": self.single}


class Content(NamedTuple):
    """What the file holds of one model."""

    arrays: bytes
    raw: bytes


def exported(store: Store) -> bytes:
    """The optics in force as a file. Raises CalibMissing without any, CalibRefused for a store that is damaged."""
    calibration = store.load()
    optics = calibration.optics
    if optics is None:
        raise CalibMissing(
            f"nothing to export: the optics of {store.owner} were not measured. Run `parfocal calibrate optics`."
        )
    names = {name for of_model in NAMES.values() for name in of_model}
    values = {name: one for name, one in calibration.values().items() if name in names}
    header = Exported(store.owner.board_serial, store.owner.objective, optics, values, calibration.single)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEADER, msgspec.json.format(msgspec.json.encode(header), indent=1))
        for which, model in header.models.items():
            arrays, of_raw = FILES[which]
            archive.writestr(arrays, store.read_file(model))
            raw = store.path.with_name(values[f"{which}_error_um"].raw)
            archive.writestr(of_raw, raw.read_bytes() if raw.exists() else b"{}")
    return written.getvalue()


def import_optics(store: Store, data: bytes, name: str, model: ModelName) -> Exported:
    """Put exported optics in force. `name` is that of the file, for messages; `model` is the configured one.

    Raises CalibRefused for a file that is damaged, or of another microscope, objective or model; nothing changed.
    """
    header, contents = _read(data, name)
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
    for which, content in contents.items():
        if hashlib.sha256(content.arrays).hexdigest() != header.models[which].file_sha256:
            raise CalibRefused(
                f"import of {name} refused: it is damaged. Export it again with `parfocal calibrate optics --export`."
            )
    of_loop = {"focus_repeatability_um": None, "focus_above_sharpest_um": None}  # with another correction
    kept: dict[str, Measured | OpticsModel | None] = {**of_loop, "single": None}
    for which in FILES:
        is_there = which in contents
        kept |= _kept(store, header, which, contents[which]) if is_there else dict.fromkeys(NAMES[which])
    store.keep_all(kept)
    return header


def _kept(
    store: Store, header: Exported, which: Which, content: Content
) -> dict[str, Measured | OpticsModel | None]:
    """Write what the file holds of one model beside the store; returns what puts it in force."""
    stamp = f"{header.values[f'{which}_error_um'].measured_at:%Y%m%dT%H%M%SZ}"
    raw = store.keep_file(f"{which}-{stamp}.json", content.raw)
    file = store.keep_file(f"{which}-{stamp}.npz", content.arrays)
    values = {
        name: msgspec.structs.replace(header.values[name], raw=raw) if name in header.values else None
        for name in NAMES[which]
    }
    return {which: msgspec.structs.replace(header.models[which], file=file), **values}


def _read(data: bytes, name: str) -> tuple[Exported, dict[Which, Content]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"it holds more than {MAX_BYTES:,} bytes")
            header = msgspec.json.decode(archive.read(HEADER), type=Exported)
            contents = {
                which: Content(*(archive.read(file) for file in FILES[which])) for which in header.models
            }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, msgspec.MsgspecError) as error:
        raise CalibRefused(
            f"import of {name} refused: it is no exported calibration ({error}). Give a file of `parfocal calibrate "
            "optics --export`."
        ) from error
    needed = {f"{which}_error_um" for which in header.models}
    if not needed <= set(header.values) <= {one for which in header.models for one in NAMES[which]}:
        raise CalibRefused(
            f"import of {name} refused: it has the values {', '.join(header.values) or 'none'}. Export it again."
        )
    return header, contents
