"""The store of what was measured on an instrument: one TOML file for each microscope, and raw data beside it.

A microscope is a board, by its serial number, with an objective. The name of the file holds both, and so does the
file: a copy under the name of another microscope is refused.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Annotated

import msgspec

from parfocal.calib.errors import CalibError, CalibMissing, CalibRefused
from parfocal.calib.lens.table import LensTable
from parfocal.calib.toml_text import toml_text
from parfocal.calib.value import LONGEST_TEXT, Level, Measured, Text, UsedCalibration

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]

FORMAT_VERSION = 1
MAX_FILE_BYTES = 1_000_000
ID_DIGITS = 12  # 48 bits: enough to tell the calibrations of one laboratory apart
# Lowest and highest value by the end of its name. The first four are the ranges of the same keys of an axis in the
# configuration.
RANGES = {
    "play_um": (0.0, 1e4),
    "um_per_step": (1e-4, 1e3),
    "settle_s": (0.0, 60.0),
    "home_um": (0.0, 1e3),
    "camera_angle_deg": (-180.0, 180.0),
    "camera_is_mirrored": (0.0, 1.0),
    "camera_um_per_px": (1e-3, 100.0),
    "camera_exposure_s": (1e-6, 60.0),
    "camera_gain": (-1e6, 1e6),
    "camera_white_balance": (0.0, 1e6),
    "camera_dark_level": (0.0, 255.0),
    "camera_gamma": (0.05, 20.0),
    "camera_flicker_share": (0.0, 1.0),
    "camera_falloff_share": (0.0, 1.0),
    "camera_fine_noise": (0.0, 100.0),
    "camera_mosaic": (0.0, 1.0),
    "camera_blocks": (0.0, 100.0),
    "camera_lag_share": (0.0, 1.0),
    "optics_error_um": (0.0, 10.0),
    "optics_gain": (0.1, 10.0),
    "optics_offset_um": (-10.0, 10.0),
    "optics_condenser": (0.0, 2.0),
    "optics_sharpest_above_um": (-10.0, 10.0),
    "single_error_um": (0.0, 10.0),
    "single_gain": (0.1, 10.0),
    "single_offset_um": (-10.0, 10.0),
    "single_condenser": (0.0, 2.0),
    "int8_deviation_um": (0.0, 10.0),
    "focus_repeatability_um": (0.0, 10.0),
    "focus_above_sharpest_um": (-10.0, 10.0),
    "focus_z0_below_um": (0.1, 1e4),
    "focus_z1_below_um": (0.1, 1e3),
    "lens_error_um": (0.0, 10.0),
    "lens_um_per_ma": (-100.0, 100.0),
    "trigger_delay_s": (0.0, 10.0),
    "trigger_room_s": (0.0, 60.0),
    "trigger_read_out_s": (0.0, 60.0),
    "speed_um_per_s": (1e-1, 1e6),
    "accel_um_per_s2": (1e-1, 1e8),
}
_OPTICS_AGAIN = (
    "Run `parfocal calibrate optics`, or remove [optics], [single] and the tables optics_... and single_... from that "
    "file."
)
_MEASURES = "Measure again with `parfocal calibrate all`"


class Owner(msgspec.Struct, frozen=True):
    """The microscope that a calibration belongs to. `objective` is magnification and NA: "20x/0.75"."""

    board_serial: int
    objective: str

    def __str__(self) -> str:
        """Both, as in messages."""
        return f"board {self.board_serial} with objective {self.objective}"


class OpticsModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that the optics were measured with, and what changes its head.

    `level` is that of `parfocal.calib.models.optics`. `file` is the name of a file beside this one, with the stacks as
    the model saw them, and the weights if the head was taught. `strangeness_limit` is that of the instrument's own
    stacks, for a head that tells strangeness; `sigma_scale` is what the uncertainty that the head tells is multiplied
    by. `refused` says why the model must not be used on this instrument.
    """

    level: Level
    model: Text
    model_sha256: Digest
    file: Text
    file_sha256: Digest
    strangeness_limit: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] | None = None
    sigma_scale: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)] | None = None
    refused: Text | None = None

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        if PurePath(self.file).name != self.file:
            raise ValueError(f"file = {self.file!r:.80}: it must be the name of a file beside this one")


class TriggeredInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The camera and its input that a trigger was measured with, as in the configuration, and its exposure, s."""

    kind: Text
    device: Text
    line: Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
    exposure_s: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)]


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured on one microscope. A value that was not measured is None.

    `x_home_um` and so on: how far a position may be off after homing. `camera_angle_deg` and `camera_is_mirrored` (0
    or 1): see `parfocal.calib.camera.view.View`. Of the camera: gain and white balance in its own units, levels of
    255, shares of the light; `camera_fine_noise`, `camera_mosaic` and `camera_blocks`: see
    `parfocal.calib.camera.processing.Processing`; `camera_lag_share`: see
    `parfocal.calib.camera.lag`. Of the optics: `optics_error_um` is the mean error of the corrected model on stacks
    that it was not fitted on; the others are what corrects it, see `parfocal.calib.models.optics`, and how far the
    sharpest plane lies above that of least wavefront variance, see `parfocal.calib.models.planes`; `single` and
    `single_...` are the same of the single-shot model. `int8_deviation_um`: how far the INT8 form
    deviates from FP32. Of the loop: standard deviation of its final heights, how far they lie above the sharpest
    plane, and where it takes its shots, see `parfocal.calib.models.loop`. Of a tunable lens: its curve, how far focal
    planes lie from it (root mean square; the uncertainty is that of the curve), its hysteresis, slope and settle time,
    see `parfocal.calib.lens.curve`. Of X and Y: the fastest safe speed and acceleration, a pair. Of a triggered camera:
    when its lines expose after a trigger, see `parfocal.calib.camera.exposure_window`, and which one it was.
    """

    version: int
    board_serial: Annotated[int, msgspec.Meta(ge=0)]
    objective: Text
    x_play_um: Measured | None = None
    y_play_um: Measured | None = None
    z_play_um: Measured | None = None
    x_um_per_step: Measured | None = None
    y_um_per_step: Measured | None = None
    camera_angle_deg: Measured | None = None
    camera_is_mirrored: Measured | None = None
    x_settle_s: Measured | None = None
    y_settle_s: Measured | None = None
    z_settle_s: Measured | None = None
    x_home_um: Measured | None = None
    y_home_um: Measured | None = None
    z_home_um: Measured | None = None
    camera_um_per_px: Measured | None = None
    camera_exposure_s: Measured | None = None
    camera_gain: Measured | None = None
    camera_white_balance: Measured | None = None
    camera_dark_level: Measured | None = None
    camera_gamma: Measured | None = None
    camera_flicker_share: Measured | None = None
    camera_falloff_share: Measured | None = None
    camera_fine_noise: Measured | None = None
    camera_mosaic: Measured | None = None
    camera_blocks: Measured | None = None
    camera_lag_share: Measured | None = None
    optics: OpticsModel | None = None
    optics_error_um: Measured | None = None
    optics_gain: Measured | None = None
    optics_offset_um: Measured | None = None
    optics_condenser: Measured | None = None
    optics_sharpest_above_um: Measured | None = None
    single: OpticsModel | None = None
    single_error_um: Measured | None = None
    single_gain: Measured | None = None
    single_offset_um: Measured | None = None
    single_condenser: Measured | None = None
    int8_deviation_um: Measured | None = None
    focus_repeatability_um: Measured | None = None
    focus_above_sharpest_um: Measured | None = None
    focus_z0_below_um: Measured | None = None
    focus_z1_below_um: Measured | None = None
    lens: LensTable | None = None
    lens_error_um: Measured | None = None
    lens_play_um: Measured | None = None
    lens_um_per_ma: Measured | None = None
    lens_settle_s: Measured | None = None
    x_speed_um_per_s: Measured | None = None
    x_accel_um_per_s2: Measured | None = None
    y_speed_um_per_s: Measured | None = None
    y_accel_um_per_s2: Measured | None = None
    trigger: TriggeredInput | None = None
    trigger_delay_s: Measured | None = None
    trigger_room_s: Measured | None = None
    trigger_read_out_s: Measured | None = None

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid key."""
        if self.version != FORMAT_VERSION:
            raise ValueError(f"version = {self.version}: this program reads version {FORMAT_VERSION}")
        for name, measured in self.values().items():
            low, high = next(limits for end, limits in RANGES.items() if name.endswith(end))
            if not low <= measured.value <= high:
                raise ValueError(f"{name}.value = {measured.value}: it must be {low:g}..{high:g}")
        for axis in ("x", "y"):
            speed, accel = f"{axis}_speed_um_per_s", f"{axis}_accel_um_per_s2"
            if (getattr(self, speed) is None) != (getattr(self, accel) is None):
                raise ValueError(f"{speed} and {accel}: it must have both or neither")
        for name in ("optics", "single", "lens"):
            if (getattr(self, name) is None) != (getattr(self, f"{name}_error_um") is None):
                raise ValueError(f"{name} and {name}_error_um: it must have both or neither")
        of_trigger = (self.trigger, self.trigger_delay_s, self.trigger_room_s)
        if None in of_trigger and of_trigger != (None, None, None):
            raise ValueError("trigger, trigger_delay_s and trigger_room_s: it must have all or none")

    @property
    def owner(self) -> Owner:
        """The microscope on which it was measured."""
        return Owner(self.board_serial, self.objective)

    @property
    def used(self) -> UsedCalibration | None:
        """Its name in what is made with it; None if nothing was measured. Any other value makes another name."""
        values = self.values()
        if not values:
            return None
        # Of the values alone, so that a later version of the file or of this program gives the same name.
        text = msgspec.json.encode((self.board_serial, self.objective, values))
        latest = max(value.measured_at for value in values.values())
        return UsedCalibration(hashlib.sha256(text).hexdigest()[:ID_DIGITS], latest)

    def values(self) -> dict[str, Measured]:
        """Every measured value by its name, which holds its unit."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in found.items() if isinstance(value, Measured)}


class Store:
    """The calibration of one microscope on the disk. A file is replaced whole or not at all."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        """Nothing is read or written yet."""
        self.owner, self._folder = owner, folder
        objective = re.sub(r"[^A-Za-z0-9.]+", "-", owner.objective)
        self.path = folder / f"board-{owner.board_serial}-{objective}.toml"

    def load(self) -> Calibration:
        """The calibration in force.

        Raises:
            CalibMissing: nothing was measured on this microscope.
            CalibRefused: the file is invalid, or belongs to another microscope.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise CalibMissing(
                f"no calibration of {self.owner}: there is no {self.path}. Run `parfocal calibrate all`."
            ) from error
        except OSError as error:
            raise CalibRefused(
                f"calibration {self.path} cannot be read: {error.strerror}. Check the path and its permissions."
            ) from error
        calibration = _decoded(data, self.path)
        if calibration.owner != self.owner:
            raise CalibRefused(
                f"calibration {self.path} refused: it was measured on {calibration.owner}, but this is {self.owner}. "
                f"Remove that file. {_MEASURES}."
            )
        return calibration

    def empty(self) -> Calibration:
        """The calibration of this microscope before anything was measured."""
        return Calibration(FORMAT_VERSION, self.owner.board_serial, self.owner.objective)

    def keep(self, name: str, value: Measured) -> Calibration:
        """Put a value in force under its name, such as `z_play_um`; the other values stay. Returns them all.

        Raises as `keep_all`.
        """
        return self.keep_all({name: value})

    def keep_all(
        self, values: Mapping[str, Measured | OpticsModel | LensTable | TriggeredInput | None]
    ) -> Calibration:
        """Put values in force together, and remove those that are None; the others stay. Returns them all.

        Raises CalibRefused as `load`, CalibError if the file cannot be written.
        """
        try:
            before = self.load()
        except CalibMissing:
            before = self.empty()
        after = msgspec.structs.replace(before, **values)
        # Read it back first: what this program cannot read must not replace what it can.
        text = toml_text(after).encode()
        if _decoded(text, self.path) != after:
            raise AssertionError(f"{self.path} would not read back as it was written")
        self._write(self.path, text)
        return after

    def keep_raw(self, stem: str, raw: object) -> str:
        """Write raw data as JSON beside the store; returns the name of the file, which begins with the store's.

        `stem` tells it from others: "z_play_um-20261126T224000". Raises CalibError if it cannot be written.
        """
        path = self.raw_path(stem)
        self._write(path, msgspec.json.format(msgspec.json.encode(raw), indent=1) + b"\n")
        return path.name

    def keep_file(self, name: str, data: bytes) -> str:
        """Write a file beside the store; returns its name, which begins with the store's. Raises CalibError."""
        path = self._folder / f"{self.path.stem}-{name}"
        self._write(path, data)
        return path.name

    def read_file(self, optics: OpticsModel) -> bytes:
        """What `keep_file` wrote for the optics. Raises CalibRefused if it is gone or was changed."""
        path = self._folder / optics.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CalibRefused(
                f"calibration {self.path} refused: {path.name} of model {optics.model} cannot be read: "
                f"{error.strerror}. {_OPTICS_AGAIN}"
            ) from error
        if hashlib.sha256(data).hexdigest() != optics.file_sha256:
            raise CalibRefused(
                f"calibration {self.path} refused: {path.name} is not the file that it names for model "
                f"{optics.model}. {_OPTICS_AGAIN}"
            )
        return data

    def raw_path(self, stem: str) -> Path:
        """Where `keep_raw` writes what has this `stem`."""
        return self._folder / f"{self.path.stem}-{stem}.json"

    def check_writable(self) -> None:
        """Raises CalibError where a result could not be kept: before it is measured in vain."""
        with self._part_of(self.path) as part:
            part.touch()

    def _write(self, path: Path, data: bytes) -> None:
        with self._part_of(path) as part:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)

    @contextlib.contextmanager
    def _part_of(self, path: Path) -> Iterator[Path]:
        """Where to write what becomes `path`; it is gone after the block. Raises CalibError."""
        part = path.with_name(f"{path.name}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                yield part
            finally:
                with contextlib.suppress(OSError):
                    part.unlink()
        except OSError as error:
            raise CalibError(
                f"calibration cannot be written to {path}: {error.strerror or error}; the earlier one is unchanged. "
                "Free some disk space or grant access, or set XDG_DATA_HOME to another folder."
            ) from error


def default_folder() -> Path:
    """The folder for calibrations in the user's data folder: XDG_DATA_HOME, else ~/.local/share. Raises CalibError."""
    base = os.environ.get("XDG_DATA_HOME", "")
    if Path(base).is_absolute():
        return Path(base) / "parfocal" / "calibration"
    try:
        return Path.home() / ".local" / "share" / "parfocal" / "calibration"
    except RuntimeError as error:
        raise CalibError(
            "no place for calibrations: this user has no home folder and XDG_DATA_HOME is not set. "
            "Set HOME or XDG_DATA_HOME to a folder of this user."
        ) from error


def _decoded(data: bytes, path: Path) -> Calibration:
    try:
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
        return msgspec.toml.decode(data, type=Calibration)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        why = re.sub(r"`\$\.?([^`]*)`", r"`\1`", str(error)).replace("Object contains", "it contains")
        raise CalibRefused(
            f"invalid calibration {path}: {why}. Correct that key, or remove the file. {_MEASURES}."
        ) from error
