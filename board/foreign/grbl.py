"""Grbl 1.1 and grblHAL: the dialect of most self-built CNC boards.

Its lines have no checksum and no number. `ok` means that a line was taken, not that a motion has ended. So every move
is an absolute jog in machine coordinates, sent once; the position is read afterwards. See `grbl_text` for sources.
"""

from __future__ import annotations

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
from parfocal.board.foreign import grbl_text
from parfocal.board.foreign.dialect import Recognised, Report, Turns
from parfocal.board.foreign.grbl_talk import RESET, GrblTalk, Refused
from parfocal.board.foreign.grbl_text import StatusLine
from parfocal.board.foreign.lines import Lines
from parfocal.board.motor import MotorRatings, Rates

JOG_CANCEL, FEED_HOLD = b"\x85", b"!"  # realtime commands of gnea/grbl doc/markdown/realtime_cmds.md
_SLACK_WALL_S = 1.0
_SETTLES_WALL_S = 5.0  # what an earlier host left running is given to come to rest


class Grbl:
    """An open Grbl board: the `Dialect` of its three motors."""

    def __init__(self, lines: Lines, config: BoardConfig) -> None:
        """Use `open` or `recognise`."""
        self.clock, self.turns = lines.clock, Turns()
        self.firmware = ""
        self.tolerance_steps = (0.0, 0.0, 0.0)
        self._config = config
        self._talk = GrblTalk(lines, config.port, self._forget)
        self._urgent = lines.urgent
        self._is_homing = self._has_mark = False
        self._counts: list[int | None] = [None, None, None]  # where we have sent each axis
        self._homed_together: set[int] = set()
        self._problems: tuple[str, ...] = ()

    @classmethod
    def open(cls, lines: Lines, config: BoardConfig) -> Grbl:
        """Take the board over: whatever an earlier host left running ends.

        Raises BadSettings, ProtocolMismatch, LinkTimeout, BoardNotFound; `lines` is then closed.
        """
        try:
            grbl = cls(lines, config)
            grbl._meet(may_reset=True)
            if grbl._problems:
                raise BadSettings(
                    f"{grbl.firmware} at {config.port} not used: {'; '.join(grbl._problems)}. "
                    "Correct the settings with a terminal program, or the configuration; nothing moved."
                )
            grbl._end_what_runs()
        except BoardError:
            lines.close()
            raise
        return grbl

    @classmethod
    def recognise(cls, lines: Lines, config: BoardConfig) -> Recognised:
        """Who answers, and its state; nothing moves or stops. Closes `lines`. Raises as `open`."""
        try:
            grbl = cls(lines, config)
            status = grbl._meet(may_reset=False)
            is_homed = grbl._has_mark and status.state != "Alarm" and status.is_homed is not False
            return Recognised("grbl", grbl.firmware, status.state, is_homed, grbl._problems)
        finally:
            lines.close()

    def ratings(self, index: int) -> MotorRatings:
        """What the motor of one axis can do, from the board's settings."""
        return MotorRatings(min_steps=0, max_steps=self._machine.top_steps[index])

    def report(self) -> Report:
        """Ask the board for its state. Raises LinkTimeout, PositionLost, BoardNotFound."""
        return self._report_from(self._talk.steady_status())

    def begin(self, index: int, from_steps: int, target_steps: int, rates: Rates) -> bool:  # noqa: ARG002  # absolute
        """Jog one axis to `target_steps`; return whether the board has acknowledged it. It is sent once.

        Raises MoveRefused (nothing moved), MoveStopped, PositionLost, BoardNotFound.
        """
        machine, name = self._machine, AXIS_NAMES[index]
        speed = rates.speed_steps_per_s / machine.steps_per_mm[index] * 60.0
        if speed > machine.max_mm_per_min[index] * 1.0001:
            raise MoveRefused(
                f"move of {name} refused: {speed:.7g} mm/min requested, and ${110 + index} allows "
                f"{machine.max_mm_per_min[index]:.7g}; nothing moved. Lower board.{name}.speed_um_per_s."
            )
        mpos_mm = (target_steps + machine.zero_steps[index]) / machine.steps_per_mm[index]
        with self._talk.held:
            self._talk.take_arrived()
            with self.turns.sending:
                self._raise_if_stopped(f"move of {name}")
                self._homed_together.clear()
                self._counts[index] = target_steps
                self._talk.lines.send(grbl_text.jog_line(name, mpos_mm, speed))
            try:
                self._talk.answer()
            except Refused as refused:
                self._counts[index] = None
                raise MoveRefused(
                    f"move of {name} refused by the board: {refused}; nothing moved."
                ) from refused
            except LinkTimeout:
                return False
        return True

    def halt(self) -> None:
        """Cancel a jog with the board's own ramp; its position stays known. It does nothing to an idle board."""
        self._urgent(JOG_CANCEL)

    def stop(self, at_once: bool = False) -> None:
        """Stop every axis, from any thread. `at_once`, or while it homes: a reset, which loses the position."""
        with self.turns.sending:
            self.turns.n_stops += 1
            self._urgent(RESET if at_once or self._is_homing else JOG_CANCEL)
            if at_once:
                self._forget()

    def home(self, index: int) -> None:
        """Home. Grbl homes all axes together, Z first; the others of one call are then done already.

        Raises MoveRefused (nothing moved), MoveStopped, PositionLost, LinkTimeout.
        """
        if index in self._homed_together:
            self._homed_together.discard(index)
            return
        with self._talk.held:
            self._talk.settle()
            self._forget()
            with self.turns.sending:
                self._raise_if_stopped("homing")
                self._is_homing = True
                self._talk.lines.send("$H")
            try:
                self._talk.answer(self._machine.homing_s * 1.5 / self.clock.speed + _SLACK_WALL_S)
            except Refused as refused:
                raise MoveRefused(f"homing refused by the board: {refused}; nothing moved.") from refused
            except LinkTimeout as late:
                self._urgent(RESET)
                raise LinkTimeout(f"homing did not end in time, and the board was reset. {late}") from late
            finally:
                self._is_homing = False
            self._mark_homed()
        self._homed_together = {0, 1, 2} - {index}

    def declare(self, pos_steps: tuple[int, int, int]) -> None:
        """Refuse: this board homes. Raises MoveRefused."""
        raise MoveRefused(f"position {pos_steps} steps not declared: this board homes. Run `parfocal home`.")

    def clear_faults(self) -> None:
        """Reset a board that an alarm has locked. The axes must be homed afterwards. Raises LinkTimeout."""
        self._forget()
        self._talk.reset()

    def light(self, duty: float) -> None:
        """Set the spindle's PWM to `duty` and read it back. Raises LinkTimeout, BoardError when refused."""
        speed = round(duty * self._machine.max_spindle, 3)
        with self.turns.turn():
            if duty == 0.0 and self._talk.steady_status().spindle == 0.0:
                return  # a locked board is dark, and refuses every line but `$`
            try:
                self._talk.asked_again(f"M3S{speed:.3f}" if duty > 0.0 else "M5")
            except Refused as refused:
                raise BoardError(f"lamp at duty {duty} refused by the board: {refused}.") from refused
            lit = self._talk.steady_status().spindle
        if lit is None or abs(lit - speed) > 1.0:  # reports are in whole revolutions
            raise BoardError(
                f"lamp at duty {duty}: the board reports speed {lit} for {speed}. Check $30 and $31."
            )

    def close(self) -> None:
        """Release the port. Idempotent."""
        self._talk.lines.close()

    def _meet(self, may_reset: bool) -> StatusLine:
        """Wake the board, learn who it is and its settings; return its state."""
        talk, config = self._talk, self._config
        status = talk.woken(may_reset)
        build = talk.asked_again("$I")
        version = next((line[5:].split(":")[0] for line in build if line.startswith("[VER:")), "")
        kind = "grblHAL" if any("grblHAL" in line for line in build) else "Grbl"
        self.firmware = f"{kind} {version or 'of unknown version'}"
        if not version.lstrip("v").startswith("1.1"):
            raise ProtocolMismatch(
                f"board at {config.port} is {self.firmware}, and Grbl 1.1 is needed. Flash it; nothing moved."
            )
        options = next((line[5:-1].split(",")[0] for line in build if line.startswith("[OPT:")), "")
        settings = self._read_settings()
        axes = tuple(config.axis(name) for name in AXIS_NAMES)
        self._problems = grbl_text.problems_of(settings, axes, config.spindle_lamp)
        if not self._problems:
            has_fixed_origin = "Z" in options or bool(int(settings[22]) & 8)  # grblHAL: $22 bit 3
            self._machine = grbl_text.machine_from(settings, has_fixed_origin)
            # A status report is rounded to 0.001 mm, and the count to whole steps.
            x, y, z = (0.0005 * per_mm + 0.5 for per_mm in self._machine.steps_per_mm)
            self.tolerance_steps = (x, y, z)
        self._has_mark = self._read_mark()
        return status

    def _read_settings(self) -> dict[int, float]:
        """The numbers of `$$`, read until two answers agree. Raises LinkTimeout."""
        last: dict[int, float] = {}
        for _ in range(4):
            found = grbl_text.settings_from_lines(self._talk.asked_again("$$"))
            if found and found == last:
                return found
            last = found
        raise LinkTimeout(
            f"board at {self._config.port} gives different settings each time. Check its cable."
        )

    def _read_mark(self) -> bool:
        """Whether the board was homed by us and has not restarted since. Raises LinkTimeout."""
        for _ in range(3):
            found = grbl_text.has_homed_mark(self._talk.asked_again("$G"))
            if found is not None:
                return found
        raise LinkTimeout(f"board at {self._config.port} does not tell its parser state. Check its cable.")

    def _mark_homed(self) -> None:
        """Check where homing has ended, and mark the board as homed. Raises PositionLost."""
        self._counts = [0, 0, 0]
        self._talk.asked_again(grbl_text.homed_mark())
        self._has_mark = self._read_mark()
        report = self.report()
        off = [name for i, name in enumerate(AXIS_NAMES) if report.pos_steps[i]]
        if off or not report.is_homed:
            self._forget()
            raise PositionLost(
                f"homing has ended elsewhere than $27, $130, $131 and $132 say ({', '.join(off) or report.state}). "
                "Check these settings, then home again."
            )

    def _end_what_runs(self) -> None:
        """End a motion of an earlier host. A jog is cancelled, a program held and then reset."""
        state = self._talk.status().state
        if state == "Jog":
            self.halt()
        elif state in ("Run", "Hold", "Door", "Check", "Sleep"):
            if state == "Run":
                self._urgent(FEED_HOLD)
                self._wait_until(("Hold", "Idle", "Alarm"))
            self.clear_faults()
        self._wait_until(("Idle", "Alarm"))

    def _wait_until(self, states: tuple[str, ...]) -> None:
        end_s = self._talk.lines.after_s(_SETTLES_WALL_S)
        while (status := self._talk.status()).state not in states:
            if self.clock.now_s() > end_s:
                raise LinkTimeout(f"board at {self._config.port} stays in state {status.state}. Reset it.")
            self.clock.sleep_s(0.05 * self.clock.speed)

    def _raise_if_stopped(self, asked: str) -> None:
        if self.turns.is_stopped:
            raise MoveStopped(f"{asked} stopped before it began. Read the position, then decide again.")

    def _forget(self) -> None:
        self._has_mark = False
        self._homed_together.clear()
        self._counts = [None, None, None]
        self.turns.n_forgotten += 1

    def _report_from(self, status: StatusLine) -> Report:
        x, y, z = (self._steps(i, status.mpos_mm[i]) for i in range(3))
        fault = ""
        if self._talk.alarm is not None:
            fault = grbl_text.alarm_text(self._talk.alarm)
        elif not status.is_busy and status.state not in ("Idle", "Alarm"):
            fault = f"its state is {status.state}"
        is_locked = status.state == "Alarm"  # after power-up, until it is homed
        return Report(
            state=status.state,
            is_resting=not status.is_busy,
            pos_steps=(x, y, z),
            is_homed=self._has_mark and not fault and not is_locked and status.is_homed is not False,
            fault=fault,
            lamp_duty=(status.spindle or 0.0) / self._machine.max_spindle
            if self._config.spindle_lamp
            else 0.0,
            switches=tuple(f"{name}_limit" for name in status.limits),
        )

    def _steps(self, i: int, mpos_mm: float) -> int:
        """Count of one axis. Where a report agrees with the target of the last move, the target is exact."""
        read = round(mpos_mm * self._machine.steps_per_mm[i]) - self._machine.zero_steps[i]
        count = self._counts[i]
        return count if count is not None and abs(read - count) <= self.tolerance_steps[i] else read
