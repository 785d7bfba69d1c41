"""A board that speaks lines of text: mechanics, lamp, cable and time. Its dialects say what the lines mean."""

from __future__ import annotations

import abc
import random
from collections.abc import Callable

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stage.true_stage import HISTORY_S

Damage = Callable[[bytes], bytes]


class TextStub(abc.ABC):
    """A board without time of its own: every call passes the time, which never goes back.

    `to_board`, `to_host`: what the cable does to the bytes of one write and to one line of an answer.
    """

    def __init__(self, config: StubConfig, now_s: float, clock_speed: float = 1.0) -> None:
        """Power up with the stage where `config` says."""
        draw = random.Random(config.seed)  # noqa: S311  # a gear, not a secret
        self.config = config
        self.axes = tuple(
            AxisMechanics(axis, now_s, draw.random()) for axis in (config.x, config.y, config.z)
        )
        self.to_board: Damage = _whole
        self.to_host: Damage = _whole
        self.is_plugged, self.plugs = True, 0
        self.lines_heard: list[str] = []
        self.now_s = now_s
        self._history_s = HISTORY_S * clock_speed
        self._out: list[tuple[float, bytes]] = []
        self._partial = b""
        self._lamp: list[tuple[float, float]] = [(now_s, 0.0)]
        self._deaf_until_s = now_s

    @property
    @abc.abstractmethod
    def realtime(self) -> bytes:
        """Bytes that act at once and are part of no line."""

    @abc.abstractmethod
    def hear_realtime(self, byte: int) -> None:
        """Act on one of `realtime`."""

    @abc.abstractmethod
    def hear_line(self, line: str) -> None:
        """Act on a line, without its end."""

    @abc.abstractmethod
    def end_motion(self) -> None:
        """Do what is due now."""

    @abc.abstractmethod
    def due_s(self) -> float:
        """When the board next does something by itself; infinity when never."""

    @abc.abstractmethod
    def start_up(self) -> None:
        """Forget what a processor forgets, and greet."""

    def receive(self, data: bytes, time_s: float) -> None:
        """Take bytes that arrive at `time_s`."""
        self.advance(time_s)
        if self.now_s < self._deaf_until_s:
            return
        for byte in self.to_board(data):
            if byte in self.realtime:
                self.hear_realtime(byte)
            elif byte in b"\r\n":
                line, self._partial = self._partial, b""
                text = line.decode("ascii", "replace")
                self.lines_heard.append(text)
                self.hear_line(text)
            else:
                self._partial += bytes((byte,))

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        while (due_s := self.due_s()) <= time_s:
            self.now_s = max(self.now_s, due_s)
            self.end_motion()
        self.now_s = max(self.now_s, time_s)
        for axis in self.axes:
            axis.forget_before(self.now_s - self._history_s)

    def restart(self, boot_s: float = 0.0) -> None:
        """Restart the processor, as its reset button or a rising DTR does; it is deaf for `boot_s`."""
        for axis in self.axes:
            axis.stop(self.now_s)
        self.set_lamp(0.0)
        self._partial = b""
        self._deaf_until_s = self.now_s + boot_s
        self.start_up()

    def unplug(self) -> None:
        """Pull the cable. The board keeps its own supply."""
        self.is_plugged = False

    def plug_in(self) -> None:
        """Plug the cable in again."""
        self.is_plugged, self.plugs = True, self.plugs + 1
        self._out.clear()

    def say(self, line: str, time_s: float | None = None) -> None:
        """Send a line, now or at `time_s`, ahead."""
        sent = self.to_host(line.encode("ascii") + b"\r\n")
        if sent:
            self._out.append((max(self.now_s if time_s is None else time_s, self._deaf_until_s), sent))

    def take_output(self, until_s: float) -> list[bytes]:
        """Lines sent up to `until_s` since the last call."""
        ready = [data for time_s, data in self._out if time_s <= until_s]
        self._out = [(time_s, data) for time_s, data in self._out if time_s > until_s]
        return ready

    def next_output_s(self) -> float:
        """When the first line that was not yet taken was sent; infinity when there is none."""
        return min((time_s for time_s, _ in self._out), default=float("inf"))

    def next_due_s(self) -> float:
        """When something next happens by itself, a delayed line included."""
        ahead = [time_s for time_s, _ in self._out if time_s > self.now_s]
        return min([self.due_s(), *ahead])

    def take_host_stall_s(self) -> float:
        """0: this stub never stalls its host."""
        return 0.0

    def hold_up(self, stall_s: float) -> None:
        """Delay what the host sends. Raises ValueError for any delay: see `take_host_stall_s`."""
        if stall_s:
            raise ValueError(f"a stall of {stall_s} s is not modelled")

    def set_lamp(self, duty: float) -> None:
        """Light the lamp from now on."""
        self._lamp.append((self.now_s, duty))

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError for a time before the history or after now."""
        self._check_known(time_s)
        x, y, z = (axis.true_um(time_s) for axis in self.axes)
        return x, y, z

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError as `true_um` does."""
        self._check_known(time_s)
        return next(duty for since_s, duty in reversed(self._lamp) if since_s <= time_s)

    def _check_known(self, time_s: float) -> None:
        if not self.now_s - self._history_s <= time_s <= self.now_s:
            raise ValueError(f"true position at {time_s} s is not known: the stub stands at {self.now_s} s")


def _whole(data: bytes) -> bytes:
    return data
