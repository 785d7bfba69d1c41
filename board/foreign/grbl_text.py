"""What the lines of Grbl 1.1 and grblHAL mean. Pure: text in, values out.

Sources: gnea/grbl doc/markdown/interface.md ("Grbl Interface Basics"), settings.md and jogging.md; grblHAL/core
report.c for the fields that it adds.
"""

from __future__ import annotations

import re

import msgspec

from parfocal.board.config import AXIS_NAMES, AxisConfig

_WELCOME = re.compile(r"(Grbl|GrblHAL|grblHAL) \d+\.\d+\w? ?\[.*", re.IGNORECASE)
# Three decimals, always (grbl print.c, N_DECIMAL_COORDVALUE_MM): a number that has lost a digit shows.
_POSITION = re.compile(r"-?\d+\.\d{3}")
_SETTING = re.compile(r"\$(\d+)=(-?\d+(?:\.\d+)?)")
_STATES = ("Idle", "Run", "Hold", "Jog", "Alarm", "Door", "Check", "Home", "Sleep", "Tool")
_BUSY = ("Run", "Hold", "Jog", "Home", "Tool")
_HOMED_FEED = 4217.0  # mm/min; see `homed_mark`

_ALARMS = {  # grbl doc/csv/alarm_codes_en_US.csv, in our words
    1: "a limit switch was hit during a move",
    2: "a target lies beyond the board's soft limits",
    3: "it was reset during a move",
    6: "it was reset while homing",
    7: "its door opened while homing",
    8: "a switch did not open after homing; raise $27 or check the switch",
    9: "no switch was found while homing; check the switch, or raise $130, $131, $132",
}
_ERRORS = {  # grbl doc/csv/error_codes_en_US.csv, in our words
    5: "homing is off ($22)",
    8: "it is busy",
    9: "it is locked by an alarm, or busy",
    11: "the line is too long",
    15: "the target lies beyond its soft limits ($130, $131, $132)",
    22: "the line has no speed",
}


class StatusLine(msgspec.Struct, frozen=True):
    """One status report. `mpos_mm`: machine position. `spindle`: programmed speed, None where it is not reported.

    `is_homed`: what grblHAL says in its H field, None where there is none. `limits`: axes whose limit switch is
    pressed.
    """

    state: str
    mpos_mm: tuple[float, float, float]
    spindle: float | None = None
    is_homed: bool | None = None
    limits: tuple[str, ...] = ()

    @property
    def is_busy(self) -> bool:
        """Whether something moves, or waits to go on."""
        return self.state in _BUSY


def status_from_line(line: str) -> StatusLine | None:
    """The status report in `line`; None for any other line, a damaged report, or one without machine position."""
    if not (line.startswith("<") and line.endswith(">")):
        return None
    state, *fields = line[1:-1].split("|")
    named = dict(field.split(":", 1) for field in fields if ":" in field)
    state = state.split(":")[0]
    numbers = named.get("MPos", "").split(",")
    if state not in _STATES or len(numbers) < 3 or not all(_POSITION.fullmatch(text) for text in numbers):
        return None
    x, y, z = (float(text) for text in numbers[:3])
    spindle = re.fullmatch(r"\d+(?:\.\d+)?,(\d+(?:\.\d+)?)", named.get("FS", ""))
    homed = named.get("H")
    return StatusLine(
        state,
        (x, y, z),
        None if spindle is None else float(spindle[1]),
        None if homed is None else homed.startswith("1"),
        tuple(name for name in AXIS_NAMES if name.upper() in named.get("Pn", "")),
    )


def is_welcome(line: str) -> bool:
    """Whether `line` is what a board says once it has restarted."""
    return _WELCOME.fullmatch(line) is not None


def settings_from_lines(lines: list[str]) -> dict[int, float]:
    """The numbers of `$$`, by setting. Lines that are no such setting are left out."""
    found = (_SETTING.fullmatch(line) for line in lines)
    return {int(match[1]): float(match[2]) for match in found if match}


def alarm_text(number: int) -> str:
    """What has happened, and the code."""
    return f"{_ALARMS.get(number, 'it is in an alarm state')} (ALARM:{number})"


def error_text(number: int) -> str:
    """Why a line was refused, and the code."""
    return f"{_ERRORS.get(number, 'it refused the line')} (error:{number})"


def homed_mark() -> str:
    """A line without effect that marks a board as homed, until it restarts.

    Neither Grbl nor its state says whether it was homed or only unlocked with `$X`. A modal feed rate is lost in
    every reset (gnea/grbl gcode.c, `gc_init`; grblHAL/core gcode.c), and every alarm that loses the position needs a
    reset. Jogs, the only moves that we request, leave it alone (jogging.md).
    """
    return f"F{_HOMED_FEED:.0f}"


def has_homed_mark(lines: list[str]) -> bool | None:
    """Whether the answer to `$G` holds the mark; None where it is not a whole answer."""
    for line in lines:
        if line.startswith("[GC:") and line.endswith("]"):
            feed = re.search(r" F(\d+(?:\.\d*)?)(?= |\])", line)
            return feed is not None and float(feed[1]) == _HOMED_FEED
    return None


def jog_line(axis: str, mpos_mm: float, speed_mm_per_min: float) -> str:
    """One axis to an absolute machine position.

    A jog, not `G53 G0`: a target beyond the soft limits is then refused instead of raising an alarm, the speed is ours,
    and a stop leaves the board idle with its position (jogging.md).
    """
    return f"$J=G21G90G53{axis.upper()}{mpos_mm:.5f}F{speed_mm_per_min:.3f}"


class Machine(msgspec.Struct, frozen=True):
    """What the settings say of the three axes. Positions count from where an axis stands after homing.

    `zero_steps`: machine position there, in steps. `top_steps`: highest position within the soft limits.
    """

    steps_per_mm: tuple[float, float, float]
    max_mm_per_min: tuple[float, float, float]
    zero_steps: tuple[int, int, int]
    top_steps: tuple[int, int, int]
    max_spindle: float
    homing_s: float


def machine_from(settings: dict[int, float], has_fixed_origin: bool) -> Machine:
    """The machine that `$$` describes. `has_fixed_origin`: homing sets the position to 0 instead of -travel + $27.

    Raises KeyError for a setting that is missing.
    """
    pulloff_mm, seek, feed = settings[27], settings[25], settings[24]
    per_mm = (settings[100], settings[101], settings[102])
    travel = (settings[130], settings[131], settings[132])
    zero_mm = [0.0 if has_fixed_origin else pulloff_mm - mm for mm in travel]
    zero_x, zero_y, zero_z = (round(mm * steps) for mm, steps in zip(zero_mm, per_mm, strict=True))
    top_x, top_y, top_z = (
        int((mm - pulloff_mm) * steps + 1e-6) for mm, steps in zip(travel, per_mm, strict=True)
    )
    # gnea/grbl limits.c: 1.5 travels fast, 5 pull-offs slowly, 2 pull-offs fast, Z first, then X and Y together.
    each_s = 60.0 * 5.0 * pulloff_mm / feed + 60.0 * 2.0 * pulloff_mm / seek + 4.0 * settings[26] / 1000.0
    homing_s = 60.0 * 1.5 * (travel[2] + max(travel[:2])) / seek + 2.0 * each_s
    return Machine(
        per_mm,
        (settings[110], settings[111], settings[112]),
        (zero_x, zero_y, zero_z),
        (top_x, top_y, top_z),
        settings[30],
        homing_s,
    )


def problems_of(settings: dict[int, float], axes: tuple[AxisConfig, ...], has_lamp: bool) -> tuple[str, ...]:
    """What keeps a board with these settings from being used with this configuration, a sentence each."""
    wrong = [
        f"${number}={settings.get(number, 0):.7g}: {why}; send ${number}={wanted}"
        for number, is_right, wanted, why in (
            (1, settings.get(1) == 255, "255", "the motors lose their current after each move"),
            (10, int(settings.get(10, 0)) & 1, "1", "status reports lack the machine position"),
            (13, settings.get(13, 0) == 0, "0", "status reports are in inches"),
            (
                20,
                settings.get(20) == 1,
                "1",
                "soft limits are off, so a damaged line could send the stage anywhere",
            ),
            (22, int(settings.get(22, 0)) & 1, "1", "homing is off, so no position can be known"),
            (
                23,
                int(settings.get(23, 0)) & 7 == 7,
                "7",
                "an axis homes upwards; Z would home into the objective",
            ),
            (44, settings.get(44, 4) == 4, "4", "Z does not home first"),
        )
        if not is_right
    ]
    if has_lamp:
        wrong += [
            f"${number}={settings.get(number, 0):.7g}: {why}; send ${number}=0"
            for number, why in (
                (31, "the lamp could not be dimmed"),
                (32, "the lamp would go out between moves"),
            )
            if settings.get(number, 0) != 0
        ]
    for i, (name, axis) in enumerate(zip(AXIS_NAMES, axes, strict=True)):
        wrong += _axis_problems(i, name, axis, settings)
    return tuple(wrong)


def _axis_problems(i: int, name: str, axis: AxisConfig, settings: dict[int, float]) -> list[str]:
    missing = [number for number in (100 + i, 110 + i, 120 + i, 130 + i) if settings.get(number, 0.0) <= 0.0]
    if missing or settings.get(27, 0.0) <= 0.0:
        return [f"${missing[0] if missing else 27} is missing or not positive"]
    um_per_step = 1000.0 / settings[100 + i]
    accel = settings[120 + i] * 1000.0
    wrong = []
    if abs(um_per_step / axis.um_per_step - 1.0) > 1e-5:
        wrong.append(
            f"${100 + i} means {um_per_step:.7g} um per step, board.{name}.um_per_step {axis.um_per_step}"
        )
    if abs(accel / axis.accel_um_per_s2 - 1.0) > 0.01:
        wrong.append(
            f"${120 + i} means {accel:.7g} um/s2, board.{name}.accel_um_per_s2 {axis.accel_um_per_s2}"
        )
    if settings[27] * 1000.0 <= axis.play_um:
        wrong.append(f"$27={settings[27]:.7g}: the pull-off must be longer than board.{name}.play_um")
    return wrong
