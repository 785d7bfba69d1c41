"""Sangaboard, firmware v1: the board of the OpenFlexure microscope.

Its moves are relative, its lines have no checksum, and it has neither switches nor limits. So counters are read before
and after every move, and the user declares where the stage stands. Source: the firmware's main.cpp, modules/stage and
modules/help (Sangaboard Firmware v1.0), and the commands of the `sangaboard` client for the lamp.
"""

from __future__ import annotations

import re
import threading

from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import (
    BadSettings,
    BoardError,
    LinkTimeout,
    MoveRefused,
    MoveStopped,
    PositionLost,
    ProtocolMismatch,
)
from parfocal.board.foreign.dialect import Recognised, Report, Turns
from parfocal.board.foreign.lines import Lines
from parfocal.board.foreign.memory import Known, Memory
from parfocal.board.motor import MotorRatings, Rates

_ANSWER_WALL_S = 1.0
_QUIET_WALL_S = 0.1
_START_WALL_S = 5.0
_FIRST_WAITS_WALL_S = (0.3, 2.2, 0.5, 0.5, 0.5, 0.5, 0.5)  # silence while a boot loader may be listening
_TRIES = 4
_FAR_STEPS = 2**31 - 1
_GREETING = re.compile(r"(?:Sangaboard Firmware|OpenFlexure Motor Board) v(\d+)\.(\d+)\S*")
_COUNTS = re.compile(r"(-?\d+) (-?\d+) (-?\d+)")
_NOT_UNDERSTOOD = ("Type 'help' for a list of commands.", "Invalid command")


class Sangaboard:
    """An open Sangaboard: the `Dialect` of its three motors."""

    def __init__(self, lines: Lines, config: BoardConfig, memory: Memory) -> None:
        """Use `open` or `recognise`."""
        self.clock, self.turns = lines.clock, Turns()
        self.tolerance_steps = (0.0, 0.0, 0.0)
        self.firmware, self.has_lamp = "", False
        self._lines, self._config, self._memory = lines, config, memory
        self._held = threading.RLock()
        self._is_late = False
        self._offsets: tuple[int, int, int] | None = None
        self._duty = 0.0

    @classmethod
    def open(cls, lines: Lines, config: BoardConfig, memory: Memory) -> Sangaboard:
        """Take the board over: whatever an earlier host left running ends.

        Raises BadSettings, ProtocolMismatch, LinkTimeout, BoardNotFound; `lines` is then closed.
        """
        try:
            board = cls(lines, config, memory)
            if problems := board._meet():
                raise BadSettings(
                    f"{board.firmware} at {config.port} not used: {'; '.join(problems)}. "
                    "Correct the settings with a terminal program, or the configuration; nothing moved."
                )
            board._ask("stop", r"Move aborted")
            if board._ask("blocking_moves?", r"blocking_moves (true|false)")[1] == "true":
                board._ask("blocking_moves false", r"done\.?")
            board._offsets = board._remembered()
            memory.save(None)  # until it is closed well
        except BoardError:
            lines.close()
            raise
        return board

    @classmethod
    def recognise(cls, lines: Lines, config: BoardConfig, memory: Memory) -> Recognised:
        """Who answers, and its state; nothing moves or stops. Closes `lines`. Raises as `open`."""
        try:
            board = cls(lines, config, memory)
            problems = board._meet()
            moving = board._ask("moving?", r"(true|false)")[1] == "true"
            state = "moving" if moving else "resting"
            return Recognised("sangaboard", board.firmware, state, board._remembered() is not None, problems)
        finally:
            lines.close()

    def ratings(self, index: int) -> MotorRatings:  # noqa: ARG002  # the same for all
        """The board has no limits of its own."""
        return MotorRatings(-_FAR_STEPS, _FAR_STEPS, has_homing=False)

    def report(self) -> Report:
        """Ask the board for its state: two equal answers where nothing moves. Raises LinkTimeout, PositionLost."""
        with self._held:
            last: tuple[int, int, int] | None = None
            for _ in range(2 * _TRIES):
                is_moving = self._ask("moving?", r"(true|false)")[1] == "true"
                counts = self._counts()
                if is_moving or counts == last:
                    x, y, z = (c + o for c, o in zip(counts, self._offsets or (0, 0, 0), strict=True))
                    state = "moving" if is_moving else "resting"
                    is_known = self._offsets is not None
                    return Report(state, not is_moving, (x, y, z), is_known, lamp_duty=self._duty)
                last = counts
        raise LinkTimeout(f"{self._at} gives a different position each time. Check its cable.")

    def begin(self, index: int, from_steps: int, target_steps: int, rates: Rates) -> bool:  # noqa: ARG002  # its own
        """Move one axis; return whether the board has acknowledged it. It is sent once.

        Raises MoveRefused (nothing moved), MoveStopped, PositionLost, BoardNotFound.
        """
        name = AXIS_NAMES[index]
        with self._held:
            self._take_arrived()
            with self.turns.sending:
                if self.turns.is_stopped:
                    raise MoveStopped(f"move of {name} stopped before it began. Decide again.")
                self._lines.send(f"mr{name} {target_steps - from_steps}")
            deadline_s = self._lines.after_s(_ANSWER_WALL_S)
            while (line := self._lines.next(deadline_s)) is not None:
                if line in ("done.", "done"):
                    return True
                if line in _NOT_UNDERSTOOD:
                    raise MoveRefused(
                        f"move of {name} refused: its line was damaged on the way; nothing moved."
                    )
                self._note(line)
            self._is_late = True
        return False

    def halt(self) -> None:
        """End a move at once; the board has no ramp for it. Its count stays right."""
        self._is_late = True
        self._lines.urgent(b"stop\n")

    def stop(self, at_once: bool = False) -> None:
        """Stop every axis, from any thread. `at_once`: motors and lamp off too, position forgotten."""
        with self.turns.sending:
            self.turns.n_stops += 1
            self.halt()
            if at_once:
                self._lines.urgent(b"release\n")
                if self.has_lamp:
                    self._lines.urgent(b"led_cc 0.000\n")
                    self._duty = 0.0
                self._forget()

    def home(self, index: int) -> None:
        """Refuse: there is no switch to home to. Raises MoveRefused."""
        raise MoveRefused(
            f"homing of {AXIS_NAMES[index]} refused: this board has no switches; nothing moved."
        )

    def declare(self, pos_steps: tuple[int, int, int]) -> None:
        """Take it that the stage stands there now. Call inside a turn. Raises LinkTimeout, BoardNotFound.

        Counters that are all 0 look like those after a restart. X then makes one step, so that they do not.
        """
        with self._held:
            self._offsets = None
            counts = self.report().pos_steps
            if not any(counts):
                self.begin(0, 0, 1, Rates(1.0, 1.0))
                while not self.report().is_resting:
                    self.clock.sleep_s(_QUIET_WALL_S * self.clock.speed)
            x, y, z = (p - c for p, c in zip(pos_steps, counts, strict=True))
            self._offsets = (x, y, z)
            self.turns.n_forgotten += 1

    def clear_faults(self) -> None:
        """Nothing latches on this board."""

    def light(self, duty: float) -> None:
        """Set the constant-current lamp and read it back. Raises LinkTimeout, BoardError."""
        with self._held:
            self._ask(f"led_cc {duty:.3f}", r"CC LED:.*")
            lit = float(self._ask("led_cc?", r"CC LED:\s*(\d+(?:\.\d+)?)")[1])
        if abs(lit - duty) > 1.0 / 31.0:  # it has 32 steps (client, `cc_led`)
            raise BoardError(f"lamp at duty {duty}: the board reports {lit}. Check its cable.")
        self._duty = duty

    def close(self) -> None:
        """Remember where the stage stands, and release the port. Idempotent."""
        try:
            if self._offsets is not None:
                with self._held:
                    if self._ask("moving?", r"(true|false)")[1] == "false" and self._counts() == (
                        counts := self._counts()
                    ):
                        self._memory.save(Known(counts, self._offsets))
        except BoardError:
            pass  # it must be declared again
        finally:
            self._offsets = None
            self._lines.close()

    @property
    def _at(self) -> str:
        return f"board at {self._config.port}"

    def _meet(self) -> tuple[str, ...]:
        """Wake the board and learn who it is; return what keeps it from being used."""
        found = self._woken()
        self.firmware = found[0]
        if int(found[1]) != 1:
            raise ProtocolMismatch(
                f"{self._at} is {self.firmware}: it hears nothing while it moves, so nothing could stop it. "
                "Flash firmware v1; nothing moved."
            )
        with self._held:
            self._lines.send("list_modules")
            deadline_s = self._lines.after_s(_ANSWER_WALL_S)
            while (line := self._lines.next(deadline_s)) not in (None, "--END--"):
                self.has_lamp |= str(line).startswith("Illumination")
        delay_us = int(self._ask("dt?", r"minimum step delay (\d+)")[1])
        ramp_us = int(self._ask("ramp_time?", r"ramp[_ ]time (\d+)")[1])
        return self._problems(delay_us, ramp_us)

    def _woken(self) -> re.Match[str]:
        """The answer to `version`. A board that restarts as its port opens is waited for in silence."""
        end_s = self._lines.after_s(_START_WALL_S)
        for wall_s in _FIRST_WAITS_WALL_S:
            self._lines.send("version")
            until_s = min(self._lines.after_s(wall_s), end_s)
            while (line := self._lines.next(until_s)) is not None:
                if found := _GREETING.fullmatch(line):
                    while self._lines.next(self._lines.after_s(_QUIET_WALL_S)) is not None:
                        pass
                    return found
        raise LinkTimeout(
            f"{self._at} does not answer as a Sangaboard: heard {self._lines.heard(_START_WALL_S)}. "
            "Check its cable and supply, board.baud and board.kind."
        )

    def _problems(self, delay_us: int, ramp_us: int) -> tuple[str, ...]:
        """Speed and acceleration are the board's own, the same for all axes."""
        if delay_us <= 0:
            return (f"its minimum step delay is {delay_us} us",)
        wrong, speed = [], 1e6 / delay_us
        for name in AXIS_NAMES:
            axis = self._config.axis(name)
            for key, unit, asked, steps in (
                ("speed_um_per_s", "um/s", axis.speed_um_per_s, speed),
                (
                    "accel_um_per_s2",
                    "um/s2",
                    axis.accel_um_per_s2,
                    speed / ramp_us * 1e6 if ramp_us else None,
                ),
            ):
                if steps is not None and abs(steps * axis.um_per_step / asked - 1.0) > 0.01:
                    has = f"dt {delay_us} and ramp_time {ramp_us} mean {steps * axis.um_per_step:.7g} {unit}"
                    wrong.append(f"{has}, board.{name}.{key} is {asked}")
        return tuple(wrong)

    def _remembered(self) -> tuple[int, int, int] | None:
        """Offsets of the last close, if the counters are still the same; a restart sets them to 0 or an old value."""
        known, counts = self._memory.load(), self._counts()
        if known is None or known.counts != counts or not any(counts):
            return None
        return known.offsets

    def _counts(self) -> tuple[int, int, int]:
        found = self._ask("p?", _COUNTS.pattern)
        return int(found[1]), int(found[2]), int(found[3])

    def _ask(self, line: str, pattern: str) -> re.Match[str]:
        """The answer to a line that does no harm when it acts twice. Raises LinkTimeout, PositionLost."""
        with self._held:
            for _ in range(_TRIES):
                self._take_arrived()
                self._lines.send(line)
                deadline_s = self._lines.after_s(_ANSWER_WALL_S)
                while (answer := self._lines.next(deadline_s)) is not None:
                    if found := re.fullmatch(pattern, answer):
                        return found
                    self._note(answer)
                    if answer in _NOT_UNDERSTOOD:
                        break
                self._is_late = True
        raise LinkTimeout(f"{self._at} does not answer `{line}`. Check its cable and supply.")

    def _take_arrived(self) -> None:
        """Take what has arrived; after a late reply or a STOP, wait until nothing more does."""
        wait_s = _QUIET_WALL_S if self._is_late else 0.0
        while (line := self._lines.next(self._lines.after_s(wait_s))) is not None:
            self._note(line)
        self._is_late = False

    def _note(self, line: str) -> None:
        """Notice a restart. Raises PositionLost."""
        if _GREETING.fullmatch(line):
            self._forget()
            self._is_late = True
            raise PositionLost(
                f"{self._at} has restarted. Declare its position again: `parfocal home --here X,Y,Z`."
            )

    def _forget(self) -> None:
        self._offsets = None
        self.turns.n_forgotten += 1
