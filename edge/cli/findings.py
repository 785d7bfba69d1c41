"""What `parfocal doctor` says about each part of the instrument: its state, and what to do if it is not ok.

Nothing is opened here: edge/cli/doctor.py looks, and passes in what it saw or the error it got.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import BoardError
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.gpio import GpioConfig, GpioFailed
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed
from parfocal.board.status import names_of
from parfocal.board.wire.messages import AxisBit, Fault
from parfocal.calib.errors import CalibError, CalibMissing
from parfocal.calib.store import Calibration
from parfocal.calib.value import Measured
from parfocal.edge.cli.ending.exit_codes import (
    EXIT_BOARD,
    EXIT_CALIBRATION,
    EXIT_ENGINE,
    EXIT_USAGE,
    exit_code,
)
from parfocal.edge.config import Config
from parfocal.edge.engine import check_frame_size, check_model
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.measured.calibration import exposure_s_of, is_too_small, play_name, shown
from parfocal.edge.measured.optics_in_use import Which, why_not_used
from parfocal.edge.measured.trigger_in_use import trigger_of
from parfocal.edge.scan.due import Note
from parfocal.edge.words import counted
from parfocal.engines.errors import EngineError, InputMismatch
from parfocal.engines.model.contract import Contract
from parfocal.engines.model.shipped import Model

_CAMERA_VALUES = (
    "camera_exposure_s",
    "camera_gain",
    "camera_white_balance",
    "camera_dark_level",
    "camera_gamma",
    "camera_flicker_share",
    "camera_falloff_share",
    "camera_fine_noise",
    "camera_mosaic",
    "camera_blocks",
    "camera_lag_share",
)
_STAGE_VALUES = (
    "um_per_step",
    "x_settle_s",
    "y_settle_s",
    "z_settle_s",
    "speed_um_per_s",
    "accel_um_per_s2",
    "camera_angle_deg",
    "home_um",
)
_LOOP_VALUES = ("focus_repeatability_um", "focus_above_sharpest_um", "focus_z0_below_um", "focus_z1_below_um")
_TRIGGER_VALUES = ("trigger_delay_s", "trigger_room_s", "trigger_read_out_s")
_LENS_VALUES = ("lens_error_um", "lens_play_um", "lens_um_per_ma", "lens_settle_s")

Verdict = Literal["ok", "missing", "wrong"]
Damaged = Mapping[Which, str]

# A watchdog that fired is not among them: it fires whenever a host exits, and the next host re-arms it.
_FAULTS_TO_CLEAR = Fault.ESTOP | Fault.STUCK_SWITCH | Fault.LIMIT_SWITCH


class Finding(msgspec.Struct, frozen=True):
    """One part of the instrument: what was found, and what to do if it is not ok.

    `exit_code`: the exit code of the command if this is the first finding that is not ok; 0 if it is ok.
    """

    subject: str
    verdict: Verdict
    told: str
    exit_code: int = 0


def first_exit_code(findings: list[Finding]) -> int:
    """The exit code of the command: 0 if nothing is missing or wrong."""
    return next((finding.exit_code for finding in findings if finding.verdict != "ok"), 0)


def of_software(version: str | None) -> Finding:
    """`version` of the installed package, None if it is not installed."""
    python = f"Python {platform.python_version()}"
    if version is None:
        told = f"{python}; parfocal runs without being installed. Install it with `pip install`."
        return Finding("software", "wrong", told, EXIT_USAGE)
    return Finding("software", "ok", f"parfocal {version}, {python}")


def of_configuration(path: Path | None, error: ConfigError | None) -> Finding:
    """`path` of the configuration file, None if there is none; `error` from reading it."""
    if error is not None:
        return Finding("configuration", "wrong", f"{error} The checks below use the defaults.", EXIT_USAGE)
    told = "the defaults: there is no parfocal.toml in this folder" if path is None else f"read from {path}"
    return Finding("configuration", "ok", told)


def of_port(config: BoardConfig, path: Path | ValueError | BoardError) -> Finding:
    """`path` of the configured port, or the error from looking it up."""
    if isinstance(path, ValueError):
        return Finding("board port", "wrong", f"board.{path}", EXIT_USAGE)
    if isinstance(path, BoardError):
        return Finding("board port", "missing", str(path), EXIT_BOARD)
    if not path.exists():
        what = "Plug in the board, or set board.port, preferably to a usb: name"
        if config.micromanager:
            what = "Set board.micromanager to the configuration file of Micro-Manager"
        told = f"{path} does not exist. {what}."
        return Finding("board port", "missing", told, EXIT_BOARD)
    named = "" if config.address == str(path) else f", found as {config.port}"
    return Finding("board port", "ok", f"{path} exists{named}")


def of_usb_ports(ports: list[UsbPort], port: Path | None) -> list[Finding]:
    """A finding for each of `ports`; `port` is the path of the configured one, None if it does not exist."""
    if not ports and port is None:
        told = "none found. Plug in the board; if it is plugged in, try another cable and look at `dmesg`."
        return [Finding("USB serial ports", "missing", told, EXIT_BOARD)]
    if not ports:
        return [Finding("USB serial ports", "ok", "none, and none is needed: board.port is not a USB port")]
    return [Finding("USB serial port", "ok", _text_of(found, port)) for found in ports]


def _text_of(found: UsbPort, port: Path | None) -> str:
    device = " ".join(text for text in (found.vendor, found.product) if text) or "unnamed device"
    told = f"{found.path}: {device}, {found.name}"
    if port is not None:
        return f"{told}; this is board.port" if Path(found.path).resolve() == port.resolve() else told
    # Boards with native USB are CDC devices; behind an adapter anything may be connected.
    looks = "looks like a motor board" if Path(found.path).name.startswith("ttyACM") else "a serial adapter"
    return f'{told}; {looks}: if this is the board, set board.port = "{found.name}"'


def of_board(answer: Probed | Recognised | BoardError | None) -> Finding:
    """Who answered, the error, or None if there is no port."""
    if answer is None:
        return Finding("motor board", "missing", "not checked: its port does not exist", EXIT_BOARD)
    if isinstance(answer, BoardError):
        return Finding("motor board", "wrong", str(answer), EXIT_BOARD)
    if isinstance(answer, Recognised):
        homed = "homed" if answer.is_homed else "not homed"
        told = f"{answer.firmware}, state {answer.state}, {homed}"
        if answer.problems:
            told = f"{told}; {'; '.join(answer.problems)}. Correct the board's settings or the configuration."
        return Finding(
            "motor board", "wrong" if answer.problems else "ok", told, EXIT_BOARD if answer.problems else 0
        )
    told = (
        f"protocol version {answer.protocol_version}, firmware {answer.firmware_version}, unit "
        f"{answer.unit_serial}; axes: {_names(answer.fitted)}; homed: {_names(answer.homed)}; "
        f"faults: {_names(answer.faults)}"
    )
    if answer.faults & _FAULTS_TO_CLEAR:
        told += ". Find the cause, release the emergency stop, then run `parfocal home --clear-faults`."
        return Finding("motor board", "wrong", told, EXIT_BOARD)
    return Finding("motor board", "ok", told)


def of_camera(
    config: Config, is_there: bool, error: CameraFailed | None, notes: tuple[str, ...] = ()
) -> Finding:
    """Whether the device exists, and the result of opening it: an error, or `notes` about its limits."""
    camera = config.camera
    if not is_there:
        told = f"camera {camera.device} does not exist. Plug it in, or set camera.device."
        return Finding("camera", "missing", told, EXIT_BOARD)
    if error is not None:
        return Finding("camera", "wrong", str(error), EXIT_BOARD)
    named = {"gstreamer": "camera.pipeline", "micromanager": "the camera of Micro-Manager"}.get(
        camera.kind, f"camera {camera.device}"
    )
    gives = f"{named} gives {camera.width_px} x {camera.height_px} px"
    if camera.trigger_line:
        gives = f"{gives} and has the trigger input {camera.trigger_line}"
    return _of_frame_size(config, "; ".join((gives, *notes)))


def of_simulated_camera(config: Config) -> Finding:
    """The simulated camera, whose frames may be too small, like those of a real one."""
    return _of_frame_size(config, "simulated (--sim)")


def _of_frame_size(config: Config, told: str) -> Finding:
    try:
        check_frame_size(config)
    except ConfigError as error:
        return Finding("camera", "wrong", str(error), EXIT_USAGE)
    return Finding("camera", "ok", told)


def of_models(installed: list[Model], used: Contract | EngineError, config: Config) -> Finding:
    """The installed models, and whether the configured one fits the instrument; it need not be one of them."""
    if isinstance(used, EngineError):
        return Finding("models", "wrong", str(used), EXIT_ENGINE)
    try:
        check_model(used, config)
    except InputMismatch as error:
        return Finding("models", "wrong", str(error), EXIT_ENGINE)
    names = ", ".join(sorted(model.contract.name for model in installed)) or "none"
    return Finding("models", "ok", f"{names} installed; focus.model = {config.focus.model!r} fits")


def of_engine(opened: str | EngineError | None) -> Finding:
    """The description of the opened engine, or the error; None if the configured model is unusable."""
    if opened is None:
        return Finding("engine", "missing", "none: the model is unusable", EXIT_ENGINE)
    if isinstance(opened, EngineError):
        return Finding("engine", "wrong", str(opened), EXIT_ENGINE)
    return Finding("engine", "ok", opened)


def of_gpio(config: GpioConfig, is_usable: bool, seen: bool | GpioFailed | None) -> Finding:
    """`is_usable`: the library; `seen`: whether the e-stop is pressed, or the error; None if no line is configured."""
    if config == GpioConfig():
        library = "available" if is_usable else "not available, and not needed"
        return Finding("GPIO lines", "ok", f"none configured; RPi.GPIO is {library}")
    if isinstance(seen, GpioFailed):
        verdict: Verdict = "wrong" if is_usable else "missing"
        return Finding("GPIO lines", verdict, str(seen), exit_code(seen))
    if seen:
        told = f"the emergency stop is pressed, or the wire to pin {config.estop_pin} is broken. Release it."
        return Finding("GPIO lines", "wrong", told, EXIT_BOARD)
    pins = [f"{name} {pin}" for name, pin in msgspec.structs.asdict(config).items() if pin is not None]
    released = "; the emergency stop is not pressed" if seen is False else ""
    return Finding("GPIO lines", "ok", ", ".join(pins) + released)


def of_calibration(
    found: Calibration | CalibError | None,
    config: Config,
    now: datetime,
    damaged: Damaged = MappingProxyType({}),
) -> list[Finding]:
    """The name of the calibration, and a finding for each axis, with the age of what was measured.

    `found` is None if no board answered. A microscope that was never calibrated works as it is configured. `damaged`
    says why runs refuse the optics of a model.
    """
    if found is None:
        return [Finding("calibration", "missing", "not checked: the board did not answer", EXIT_BOARD)]
    if isinstance(found, CalibMissing):
        told = "none of this microscope; everything as configured. Run `parfocal calibrate all`."
        return [Finding("calibration", "ok", told)]
    if isinstance(found, CalibError):
        return [Finding("calibration", "wrong", str(found), exit_code(found))]
    named = Finding("calibration", "ok", f"{found.used}" if found.used else "empty: nothing was measured yet")
    plays = [_of_play(name, found.values().get(play_name(name)), config, now) for name in AXIS_NAMES]
    return [
        named,
        _of_part("camera response", _CAMERA_VALUES, "exposure as configured", "camera", found, now),
        _of_part("stage", _STAGE_VALUES, "scale, angle and settle times as configured", "stage", found, now),
        _of_optics(found, config, now, damaged),
        *_of_single(found, config, now, damaged),
        _of_part("loop", _LOOP_VALUES, "repeatability not measured", "focus", found, now),
        *_of_lens(found, config, now),
        *_of_trigger(found, config, now),
        *plays,
    ]


def of_due(notes: Sequence[Note], now: datetime) -> list[Finding]:
    """A finding for each calibration that a run contradicted since it was made."""
    return [
        Finding(
            f"{note.due.part} is due",
            "wrong",
            f"{_ago(now - note.seen_at)} a run said: {note.due.told}",
            EXIT_CALIBRATION,
        )
        for note in notes
    ]


def _ago(age: timedelta) -> str:
    return "today" if age.days < 1 else f"{counted(age.days, 'day')} ago"


def _of_part(
    subject: str, ends: tuple[str, ...], without: str, verb: str, found: Calibration, now: datetime
) -> Finding:
    """The values whose names end so, and how old the oldest of them is; `without` them, what holds."""
    values = {name: value for name, value in found.values().items() if name.endswith(ends)}
    if not values:
        return Finding(subject, "ok", f"{without}. Run `parfocal calibrate {verb}`.")
    oldest = min(value.measured_at for value in values.values())
    age = counted(max(0, (now - oldest).days), "day")
    told = ", ".join(f"{name} {value.value:.4g} +- {value.uncertainty:.2g}" for name, value in values.items())
    return Finding(subject, "ok", f"{told}; {age} old")


def _of_lens(found: Calibration, config: Config, now: datetime) -> list[Finding]:
    """What was measured of a tunable lens, if one is configured."""
    if config.lens.kind == "none":
        return []
    if found.lens is None and config.lens.focuses:
        told = "lens.focuses = true, but it was not measured. Run `parfocal calibrate lens`."
        return [Finding("lens", "wrong", told, EXIT_CALIBRATION)]
    return [_of_part("lens", _LENS_VALUES, "not measured", "lens", found, now)]


def _of_trigger(found: Calibration, config: Config, now: datetime) -> list[Finding]:
    """When a triggered camera exposes, if one is configured or was measured."""
    if not config.camera.trigger_line and found.trigger is None:
        return []
    remark = trigger_of(found, config, exposure_s_of(found, config)).remark
    if remark is not None:
        return [Finding("trigger", "wrong", f"measured, but not used: {remark}", EXIT_CALIBRATION)]
    return [_of_part("trigger", _TRIGGER_VALUES, "flash as configured", "trigger", found, now)]


def _of_optics(found: Calibration, config: Config, now: datetime, damaged: Damaged) -> Finding:
    """How the model is corrected, how good it then is, and how old that is."""
    error = found.optics_error_um
    if found.optics is None or error is None:
        return Finding("optics", "ok", "the model as it ships. Run `parfocal calibrate optics`.")
    if (why := why_not_used(found, config)) is not None:
        return Finding("optics", "wrong", f"measured, but not used: {why}", EXIT_CALIBRATION)
    if "optics" in damaged:
        return Finding("optics", "wrong", damaged["optics"], EXIT_CALIBRATION)
    age = counted(max(0, (now - error.measured_at).days), "day")
    told = f"{error.method}; error {error.value:.2f} +- {error.uncertainty:.2f} um; {age} old"
    return Finding("optics", "ok", told)


def _of_single(found: Calibration, config: Config, now: datetime, damaged: Damaged) -> list[Finding]:
    """The same of the single-shot model, if one is configured and was measured."""
    single, error = found.single, found.single_error_um
    if single is None or error is None or not config.focus.single_model:
        return []
    if (why := why_not_used(found, config, "single")) is not None:
        return [Finding("single shots", "wrong", f"measured, but not used: {why}", EXIT_CALIBRATION)]
    if "single" in damaged:
        return [Finding("single shots", "wrong", damaged["single"], EXIT_CALIBRATION)]
    age = counted(max(0, (now - error.measured_at).days), "day")
    if single.refused is not None:
        return [Finding("single shots", "ok", f"not used on this microscope: {single.refused}; {age} old")]
    told = f"{error.method}; error {error.value:.2f} +- {error.uncertainty:.2f} um; {age} old"
    return [Finding("single shots", "ok", told)]


def _of_play(name: str, measured: Measured | None, config: Config, now: datetime) -> Finding:
    subject, configured_um = f"calibration of {name}", config.board.axis(name).play_um
    if measured is None:
        told = f"play of {configured_um:g} um as configured. Run `parfocal calibrate backlash --axis {name}`."
        return Finding(subject, "ok", told)
    age = counted(max(0, (now - measured.measured_at).days), "day")
    told = f"play of {shown(measured)}, {age} old, by {measured.method}"
    if name not in config.calibration.keep_play:
        return Finding(subject, "ok", told)
    told = f"{told}; not used, because board.{name}.play_um = {configured_um:g} is configured"
    if not is_too_small(configured_um, measured):
        return Finding(subject, "ok", told)
    return Finding(subject, "wrong", f"{told}, which is too small. Remove that key.", EXIT_CALIBRATION)


def simulated(subject: str, told: str) -> Finding:
    """Something that is simulated."""
    return Finding(subject, "ok", f"{told} (--sim)")


def _names(flags: AxisBit | Fault) -> str:
    return ", ".join(names_of(flags)) or "none"
