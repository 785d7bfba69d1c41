"""A Grbl 1.1 board that is not there.

Sources: gnea/grbl doc/markdown/interface.md (lines, states, alarms, settings), jogging.md, realtime_cmds.md;
grbl/main.c (what a reset keeps), limits.c (homing), motion_control.c (`mc_reset`), system.c (which command in which
state).
"""

from __future__ import annotations

import re

import msgspec

from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.stub.config import StubAxisConfig, StubConfig
from parfocal.board.stub.foreign.text_stub import TextStub

_WELCOME = "Grbl 1.1h ['$' for help]"
_UNLOCK = "[MSG:'$H'|'$X' to unlock]"
_PULL_OFF_UM = 1000.0
_MAX_SPINDLE = 1000.0
_LINE_CHARACTERS = 80  # grbl protocol.h LINE_BUFFER_SIZE
_WORDS = re.compile(r"([A-Z])(-?\d+\.?\d*)")
_NEVER_S = float("inf")


def grbl_stage(config: StubConfig) -> StubConfig:
    """The same stage with its lower switches where homing ends at true 0: pull-off and play below it."""

    def moved(axis: StubAxisConfig) -> StubAxisConfig:
        press_um = axis.play_um - _PULL_OFF_UM
        return msgspec.structs.replace(axis, lower_switch_um=press_um + axis.switch_hysteresis_um)

    return msgspec.structs.replace(config, x=moved(config.x), y=moved(config.y), z=moved(config.z))


def grbl_settings(config: StubConfig, board: BoardConfig) -> dict[int, float]:
    """Settings for the stage `config` and a host that is configured as `board`."""
    settings: dict[int, float] = {
        0: 10,
        1: 255,
        2: 0,
        3: 0,
        4: 0,
        5: 0,
        6: 0,
        10: 1,
        11: 0.01,
        12: 0.002,
        13: 0,
        20: 1,
        21: 1,
        22: 1,
        23: 7,
        24: 25,
        25: 600,
        26: 25,
        27: _PULL_OFF_UM / 1000.0,
        30: _MAX_SPINDLE,
        31: 0,
        32: 0,
    }
    for i, name in enumerate(AXIS_NAMES):
        axis: StubAxisConfig = getattr(config, name)
        settings[100 + i] = 1000.0 / axis.um_per_step
        settings[110 + i] = axis.max_speed_um_per_s * 60.0 / 1000.0
        settings[120 + i] = board.axis(name).accel_um_per_s2 / 1000.0
        settings[130 + i] = (axis.travel_um + _PULL_OFF_UM) / 1000.0
    return dict(sorted(settings.items()))


class GrblStub(TextStub):
    """Grbl 1.1h over the stub's mechanics. `settings` may be changed before it is opened."""

    realtime = b"?!~\x18\x85"

    def __init__(
        self, config: StubConfig, now_s: float, board: BoardConfig, clock_speed: float = 1.0
    ) -> None:
        """`board`: the accelerations that a host expects."""
        super().__init__(grbl_stage(config), now_s, clock_speed)
        self.settings = grbl_settings(config, board)
        self.moves_begun = 0
        self._state = "Alarm"
        self._is_critical = False
        self._end_s = _NEVER_S
        self._failed: int | None = None
        self.start_up()

    def start_up(self) -> None:
        """Greet after power-up or a hard reset: counters at 0, locked if homing is on."""
        self._zeros = [axis.end_count for axis in self.axes]
        self._state = "Alarm" if self.settings[22] else "Idle"
        self._greet()

    def due_s(self) -> float:
        """The end of the motion under way."""
        return self._end_s

    def end_motion(self) -> None:
        """End a jog or a homing."""
        self._end_s, self._is_stopping = _NEVER_S, False
        if self._failed is not None:
            self._alarm(self._failed)
        elif self._state == "Home":
            for i, axis in enumerate(self.axes):
                home = round((self.settings[27] - self.settings[130 + i]) * self.settings[100 + i])
                self._zeros[i] = axis.end_count - home
            self.say("ok")
            self._state = "Idle"
        else:
            self._state = "Idle"

    def hear_realtime(self, byte: int) -> None:
        """Act on a realtime character (realtime_cmds.md)."""
        if byte == 0x18:
            self._soft_reset()
        elif byte == ord("?"):
            if self._state != "Home" and not self._is_critical:  # interface.md: unanswered in both
                self.say(self._report())
        elif byte in b"!\x85" and self._state == "Jog":
            if self._is_stopping:
                return
            self._is_stopping = True
            for axis in self.axes:
                axis.stop(self.now_s)
            self._failed = None
            self._end_s = max(self.now_s, *(axis.end_s for axis in self.axes))
        elif byte == ord("!") and self._state == "Idle":
            self._state = "Hold"
        elif byte == ord("~") and self._state == "Hold":
            self._state = "Idle"

    def hear_line(self, line: str) -> None:
        """Act on a line and answer it."""
        if self._is_critical:
            return
        error = 11 if len(line) >= _LINE_CHARACTERS else self._obey(line.replace(" ", "").upper())
        if error is not None:
            self.say(f"error:{error}" if error else "ok")

    def _obey(self, line: str) -> int | None:
        """The number of the error, 0 for `ok`, None for an answer that comes later."""
        if line.startswith("$"):
            return self._obey_dollar(line[1:])
        if not line:
            return 0
        if self._state in ("Alarm", "Jog"):
            return 9
        words = _WORDS.findall(line)
        if "".join(letter + number for letter, number in words) != line:
            return 2
        for letter, number in words:
            if letter == "F":
                self._feed = float(number)
            elif letter == "S":
                self._speed = float(number)
            elif letter == "M" and float(number) in (3, 5):
                self._is_spinning = float(number) == 3
            else:
                return 20
        self.set_lamp(min(self._speed / self.settings[30], 1.0) if self._is_spinning else 0.0)
        return 0

    def _obey_dollar(self, line: str) -> int | None:
        if line.startswith("J="):
            return self._jog(line[2:]) if self._state in ("Idle", "Jog") else 8
        if line == "H":
            return self._home()
        if line == "X":
            self._state = "Idle"
            self.say("[MSG:Caution: Unlocked]")
        elif line == "I":
            self.say("[VER:1.1h.20190830:]")
            self.say("[OPT:V,15,128]")
        elif line == "G":
            spindle = "M3" if self._is_spinning else "M5"
            self.say(f"[GC:G0 G54 G17 G21 G90 G94 {spindle} M9 T0 F{self._feed:.0f} S{self._speed:.0f}]")
        elif line == "$":
            for number, value in self.settings.items():
                self.say(f"${number}={value:.3f}" if number >= 100 else f"${number}={value:.7g}")
        else:
            return 3
        return 0

    def _jog(self, line: str) -> int:
        words = _WORDS.findall(line)
        if "".join(letter + number for letter, number in words) != line:
            return 2
        modes = {float(number) for letter, number in words if letter == "G"}
        targets = {letter: float(number) for letter, number in words if letter in "XYZ"}
        feeds = [float(number) for letter, number in words if letter == "F"]
        if not targets or modes != {21, 90, 53}:
            return 16
        if not feeds:
            return 22
        for letter, mpos_mm in targets.items():
            travel_mm = self.settings[130 + "XYZ".index(letter)]
            if self.settings[20] and not -travel_mm <= mpos_mm <= 0.0:
                return 15
        for letter, mpos_mm in targets.items():
            self._drive("XYZ".index(letter), mpos_mm, feeds[0])
        return 0

    def _drive(self, i: int, mpos_mm: float, feed: float) -> None:
        per_mm, axis = self.settings[100 + i], self.axes[i]
        delta_steps = round(mpos_mm * per_mm) + self._zeros[i] - axis.end_count
        if delta_steps == 0:
            return
        speed = min(feed, self.settings[110 + i]) * per_mm / 60.0
        start_s = max(self.now_s, axis.end_s)
        if not axis.drive(start_s, delta_steps, speed, self.settings[120 + i] * per_mm) and self.settings[21]:
            self._failed = 1
        self.moves_begun += 1
        self._state, self._end_s = "Jog", axis.end_s

    def _home(self) -> int | None:
        if not int(self.settings[22]) & 1:
            return 5
        if self._state not in ("Idle", "Alarm"):
            return 8
        self._state = "Home"
        end_s = self.now_s
        for cycle in ((2,), (0, 1)):
            end_s = max(self._seek(i, end_s) for i in cycle)
            if self._failed is not None:
                break
        self._end_s = end_s
        return None

    def _seek(self, i: int, start_s: float) -> float:
        """Home one axis from `start_s`; return when it ends."""
        axis, settings = self.axes[i], self.settings
        per_mm, accel = settings[100 + i], settings[120 + i] * settings[100 + i]
        fast = min(settings[25], settings[110 + i]) * per_mm / 60.0
        slow = settings[24] * per_mm / 60.0
        pulloff, pause_s = round(settings[27] * per_mm), settings[26] / 1000.0
        for speed, reach in ((fast, round(1.5 * settings[130 + i] * per_mm)), (slow, 5 * pulloff)):
            if not axis.seek_down(start_s, reach, speed, accel):
                self._failed = 9
                return axis.end_s
            axis.drive(axis.end_s + pause_s, pulloff, fast, accel)
            start_s = axis.end_s + pause_s
        return axis.end_s

    def _soft_reset(self) -> None:
        """Reset (main.c, mc_reset): an idle machine keeps its position, a moving one loses steps."""
        self._partial = b""
        self.set_lamp(0.0)
        if self._state in ("Jog", "Home"):
            for i, axis in enumerate(self.axes):
                counted = axis.count_at(self.now_s)
                axis.stop(self.now_s)
                self._zeros[i] += axis.end_count - counted
            self.say(f"ALARM:{3 if self._state == 'Jog' else 6}")
            self._state = "Alarm"
        elif self._state == "Hold":
            self._state = "Idle"
        self._greet()

    def _greet(self) -> None:
        self._feed = self._speed = 0.0
        self._is_spinning = self._is_critical = self._is_stopping = False
        self._failed, self._end_s = None, _NEVER_S
        self._reports = 0
        self.say("")
        self.say(_WELCOME)
        if self._state == "Alarm":
            self.say(_UNLOCK)

    def _alarm(self, number: int) -> None:
        """Lock. A hit limit switch blocks everything until a reset; a failed homing resets by itself."""
        self.say(f"ALARM:{number}")
        self._state, self._failed = "Alarm", None
        self.set_lamp(0.0)
        if number == 1:
            self.say("[MSG:Reset to continue]")
            self._is_critical = True
        else:
            self._greet()

    def _report(self) -> str:
        counts = [axis.count_at(self.now_s) - zero for axis, zero in zip(self.axes, self._zeros, strict=True)]
        x, y, z = (count / self.settings[100 + i] for i, count in enumerate(counts))
        fields = [self._state + (":0" if self._state == "Hold" else ""), f"MPos:{x:.3f},{y:.3f},{z:.3f}"]
        fields.append(f"FS:0,{self._speed if self._is_spinning else 0.0:.0f}")
        if pressed := "".join(
            name.upper()
            for name, axis in zip(AXIS_NAMES, self.axes, strict=True)
            if axis.lower_closed(self.now_s)
        ):
            fields.append(f"Pn:{pressed}")
        if self._reports % 30 == 0:  # interface.md: an offset appears now and then
            fields.append("WCO:0.000,0.000,0.000")
        self._reports += 1
        return f"<{'|'.join(fields)}>"
