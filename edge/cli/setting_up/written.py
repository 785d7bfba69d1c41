"""The configuration that `parfocal init` writes: what differs from the defaults, with comments that say why."""

from __future__ import annotations

import msgspec

from parfocal.board.config import AXIS_NAMES, AxisConfig
from parfocal.edge.camera.v4l2 import Mode
from parfocal.edge.cli.setting_up.answers import DEFAULTS, Screw
from parfocal.edge.cli.setting_up.found import FoundBoard, FoundCamera, FoundCore, FoundGenicam
from parfocal.edge.config import CameraConfig, FocusConfig, ScanConfig

_AXIS_KEYS = ("um_per_step", "max_um", "speed_um_per_s", "accel_um_per_s2", "microsteps")
_HALF_SWEEP_UM = 100.0


class Instrument(msgspec.Struct, frozen=True):
    """Everything that was found and answered. `board`, `camera` and `mode` are None where nothing was found.

    `core`: the configuration of Micro-Manager that drives the stages, the camera, or both.
    """

    board: FoundBoard | None
    camera: FoundCamera | FoundGenicam | None
    mode: Mode | None
    objective: str
    um_per_px: float
    screws: dict[str, Screw]
    axes: dict[str, AxisConfig]
    core: FoundCore | None = None


def toml_of(instrument: Instrument) -> str:
    """The text of parfocal.toml."""
    lines = [
        "# The instrument, as `parfocal init` found it. Every key is explained in docs/configuration.md; a key that is",
        "# left out has its default. `parfocal doctor` checks the parts, `parfocal calibrate all` measures the rest.",
        "",
        *_board(instrument),
    ]
    for name in () if _drives_stages(instrument.core) else AXIS_NAMES:
        lines += _axis(name, instrument.screws[name], instrument.axes[name])
    lines += ["", *_camera(instrument), "", *_focus(instrument), *_scan(instrument.axes)]
    return "\n".join(lines) + "\n"


def _board(instrument: Instrument) -> list[str]:
    board, core = instrument.board, instrument.core
    if core is not None and _drives_stages(core):
        return [
            "[board]",
            f"# {core.told}",
            'kind = "micromanager"',
            f"micromanager = {_text(core.path)}",
            "# Set the limits of each axis to where the stage may go, counted from the position that you declare with",
            "# `parfocal home --here X,Y,Z`; and its grid and speed to those of the stage, see docs/board.md.",
            *(f"# [board.{name}]: um_per_step, max_um, speed_um_per_s, play_um" for name in AXIS_NAMES),
        ]
    if board is None:
        return [
            "[board]",
            "# No board was found. Plug it in, and name its port here, preferably as usb:VID:PID:SERIAL.",
            f"# port = {_text('usb:1209:0001')}",
        ]
    kind = [] if board.kind == "parfocal" else [f"kind = {_text(board.kind)}"]
    return ["[board]", f"# {board.told}", *kind, f"port = {_text(board.port)}"]


def _drives_stages(core: FoundCore | None) -> bool:
    return core is not None and not core.problems


def _axis(name: str, screw: Screw, axis: AxisConfig) -> list[str]:
    """The table of an axis; empty if everything in it is a default."""
    default = DEFAULTS[name]
    keys = [key for key in _AXIS_KEYS if getattr(axis, key) != getattr(default, key)]
    lines = ["", f"[board.{name}]"]
    turn = f"{screw.steps_per_turn} steps a turn, {screw.microsteps} microsteps"
    lines.append(f"# A screw of {screw.lead_mm:g} mm a turn, {turn}: {axis.um_per_step:g} um a step.")
    if "um_per_step" in keys:
        lines.append("# Given here, it holds even if `parfocal calibrate stage` measures another value.")
    lines += [f"{key} = {_number(getattr(axis, key))}" for key in keys]
    lines.append(f"# play_um = {default.play_um:g}   # until `parfocal calibrate backlash` has measured it")
    return lines


def _camera(instrument: Instrument) -> list[str]:
    camera, mode, core = instrument.camera, instrument.mode, instrument.core
    lines = ["[camera]"]
    if core is not None and core.size_px is not None:
        width_px, height_px = core.size_px
        lines += ['kind = "micromanager"', f"micromanager = {_text(core.path)}"]
        lines += [f"width_px = {width_px}", f"height_px = {height_px}"]
    elif camera is None:
        lines.append("# No camera was found. Plug it in, and name it here: by serial number, name or path.")
    elif isinstance(camera, FoundGenicam):
        lines += _genicam(camera)
    else:
        lines += [f"# {camera.device}", f"device = {_text(camera.device.lasting_name)}"]
    if mode is not None:
        if mode.is_compressed:
            lines.append(
                f"# {mode.pixel_format} is compressed, which raises the error of single shots by a third."
            )
        lines += [f"width_px = {mode.width_px}", f"height_px = {mode.height_px}"]
        others = (
            [str(other) for other in camera.modes if other != mode] if isinstance(camera, FoundCamera) else []
        )
        lines += [f"# other mode: {other}" for other in others[:8]]
        if mode.period_s is not None and mode.period_s > CameraConfig().frame_period_s * 1.05:
            lines.append(f"frame_period_s = {_number(round(mode.period_s, 5))}")
    lines.append(
        f"um_per_px = {_number(instrument.um_per_px)}   # `parfocal calibrate stage --pitch-um` measures it"
    )
    return lines


def _genicam(camera: FoundGenicam) -> list[str]:
    """The keys of a USB3 Vision or GigE Vision camera: a part of its sensor that is large enough, or all of it."""
    lines = [f"# {camera.told}", 'kind = "aravis"', f"device = {_text(camera.name)}"]
    default = CameraConfig()
    if camera.size_px is not None:
        width_px, height_px = camera.size_px
        lines.append(f"# The sensor has {width_px} x {height_px} px; the part in its middle is read.")
        if width_px < default.width_px or height_px < default.height_px:
            lines += [f"width_px = {min(width_px, default.width_px)}"]
            lines += [f"height_px = {min(height_px, default.height_px)}"]
    if camera.inputs:
        lines.append("# The trigger of the board may be wired to one of its inputs, for `scan --continuous`:")
        lines += [f"# trigger_line = {_text(line)}" for line in camera.inputs]
    return lines


def _focus(instrument: Instrument) -> list[str]:
    lines = ["[focus]", f"objective = {_text(instrument.objective)}"]
    start, stop = sweep_um(instrument.axes["z"])
    default = FocusConfig()
    if (start, stop) != (default.first_sweep_start_um, default.first_sweep_stop_um):
        lines += [
            "# Where the first field looks for the slide, um above the lower end of Z. Set it to where yours is.",
            f"first_sweep_start_um = {_number(start)}",
            f"first_sweep_stop_um = {_number(stop)}",
        ]
    else:
        lines.append(
            "# The first field looks for the slide from 2400 to 2600 um; `first_sweep_start_um`, `_stop_um`."
        )
    return lines


def _scan(axes: dict[str, AxisConfig]) -> list[str]:
    """Where the fields begin, if the default is not on this stage."""
    default = ScanConfig()
    x_um = min(default.origin_x_um, axes["x"].max_um / 2.0)
    y_um = min(default.origin_y_um, axes["y"].max_um / 2.0)
    if (x_um, y_um) == (default.origin_x_um, default.origin_y_um):
        return []
    return ["", "[scan]", f"origin_x_um = {_number(x_um)}", f"origin_y_um = {_number(y_um)}"]


def sweep_um(z: AxisConfig) -> tuple[float, float]:
    """From where to where the first field is swept: as by default if the stage reaches so far, else in the middle."""
    default = FocusConfig()
    if z.highest_um >= default.first_sweep_stop_um + default.recovery_reach_um:
        return default.first_sweep_start_um, default.first_sweep_stop_um
    middle_um = z.max_um / 2.0
    half_um = min(_HALF_SWEEP_UM, middle_um / 2.0)
    return middle_um - half_um, middle_um + half_um


def _text(value: str | int) -> str:
    """A TOML string or whole number."""
    return str(value) if isinstance(value, int) else msgspec.json.encode(value).decode()


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(float(value))
