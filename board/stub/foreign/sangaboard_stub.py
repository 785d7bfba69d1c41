"""A Sangaboard that is not there. Source: firmware v1.0, main.cpp and modules/stage/stage.cpp.

Lamp, `board` and `ramp_time?` answer as the `sangaboard` client expects. A line without its number moves nothing here;
the real firmware then moves by whatever lies in its memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.foreign.text_stub import TextStub

_NEVER_S = float("inf")


class SangaboardStub(TextStub):
    """Firmware v1.0 over the stub's mechanics."""

    realtime = b""

    def __init__(
        self, config: StubConfig, now_s: float, board: BoardConfig, clock_speed: float = 1.0
    ) -> None:
        """`board`: speed and acceleration that a host expects; those of x, in steps, hold for all axes."""
        super().__init__(config, now_s, clock_speed)
        speed = board.z.speed_um_per_s / board.z.um_per_step
        self.step_delay_us = round(1e6 / speed)
        self.ramp_time_us = round(speed / (board.z.accel_um_per_s2 / board.z.um_per_step) * 1e6)
        self.greeting = "Sangaboard Firmware v1.0.1"
        self.has_lamp = True
        self.moves_begun = 0
        self._is_blocking = True
        self.start_up()

    def start_up(self) -> None:
        """Greet; the counters are 0 again."""
        self._zeros = [axis.end_count for axis in self.axes]
        self._end_s, self._cc = _NEVER_S, 0.0
        self.say(self.greeting)

    def due_s(self) -> float:
        """The end of the move under way."""
        return self._end_s

    def end_motion(self) -> None:
        """End a move; tell it where moves block."""
        self._end_s = _NEVER_S
        if self._is_blocking:
            self.say("stopped")

    def hear_realtime(self, byte: int) -> None:
        """Nothing: every command is a line."""

    def hear_line(self, line: str) -> None:
        """Act on a line and answer it. As in the firmware, the first command that it begins with is taken."""
        for i, name in enumerate(AXIS_NAMES):
            if line.startswith(f"mr{name}"):
                self._move([_number(line[3:]) if i == j else 0 for j in range(3)])
                return
        if line.startswith("mr"):
            self._move([_number(text) for text in [*line[2:].split(), "", "", ""][:3]])
            return
        commands: tuple[tuple[str, Callable[[str], str | None]], ...] = (
            ("version", lambda _: self.greeting),
            ("list_modules", self._modules),
            ("release", self._release),
            ("p", lambda _: self._counts()),
            ("ramp_time?", lambda _: f"ramp time {self.ramp_time_us}"),
            ("dt?", lambda _: f"minimum step delay {self.step_delay_us}"),
            ("stop", self._stop),
            ("moving", lambda _: "true" if self._end_s < _NEVER_S else "false"),
            ("blocking_moves", self._block),
            ("led_cc", self._light),
            ("led_channels?", lambda _: "CC:1 PWM:0"),
            ("board", lambda _: "Sangaboard v0.5"),
            ("", lambda _: "Type 'help' for a list of commands."),
        )
        for command, obey in commands:
            if line.startswith(command):
                if (answer := obey(line[len(command) :].strip())) is not None:
                    self.say(answer)
                return

    def _modules(self, _: str) -> str:
        if self.has_lamp:
            self.say("Illumination: default")
        return "--END--"

    def _release(self, _: str) -> str:
        for axis in self.axes:
            axis.switch_off(self.now_s)
        return "done"

    def _counts(self) -> str:
        counts = (axis.count_at(self.now_s) - zero for axis, zero in zip(self.axes, self._zeros, strict=True))
        return " ".join(map(str, counts))

    def _stop(self, _: str) -> str:
        if self._end_s < _NEVER_S:
            for axis in self.axes:
                axis.stop(self.now_s)
        self._end_s = _NEVER_S
        return "Move aborted"

    def _block(self, value: str) -> str:
        if value == "?":
            return f"blocking_moves {str(self._is_blocking).lower()}"
        self._is_blocking = value.startswith("t")
        return "done."

    def _light(self, duty: str) -> str:
        if duty not in ("", "?"):
            self._cc = float(duty)
            self.set_lamp(self._cc)
        return f"CC LED:{self._cc}"

    def _move(self, steps: list[int]) -> None:
        """Begin a move of all axes; it replaces one under way, which ends where it is."""
        speed = 1e6 / self.step_delay_us
        accel = speed / self.ramp_time_us * 1e6
        for axis, n_steps in zip(self.axes, steps, strict=True):
            axis.stop(self.now_s)
            if n_steps:
                axis.drive(max(self.now_s, axis.end_s), n_steps, speed, accel)
        if any(steps):
            self.moves_begun += 1
            self._end_s = max(axis.end_s for axis in self.axes)
        if not self._is_blocking:
            self.say("done.")


def _number(text: str) -> int:
    """As atol() of C reads it: 0 where there is none."""
    found = re.match(r" *(-?\d+)", text)
    return int(found[1]) if found else 0
