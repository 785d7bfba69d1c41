"""The board as the instrument uses it: three axes, a lamp, its state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import final

import msgspec

from parfocal.board.axis import Axis
from parfocal.board.clock import PacedClock
from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import BoardError
from parfocal.board.link.answers import Refusal
from parfocal.board.link.link import Link, LinkCounters
from parfocal.board.link.ports import port_path
from parfocal.board.link.serial_transport import SerialTransport
from parfocal.board.link.transport import Transport
from parfocal.board.motion import Motion
from parfocal.board.status import BoardState, BoardStatus, status_of
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Fault, Feature, MoveResult, Status, Switch

_LONGEST_S = 4294.0  # in us it still fits the wire
_FIRST_PINGS = 3  # enough for one with a short round trip, for the board's clock


class TriggeredFrame(msgspec.Struct, frozen=True):
    """One trigger of a strobe: its index, and when it was given on the host's clock."""

    index: int
    trigger_s: float


@final
class Board:
    """An open board. Every method may be called from any thread; `stop` goes ahead of all others."""

    def __init__(self, link: Link, config: BoardConfig) -> None:
        """Use `open` or `open_serial`; `link` has its session."""
        hello = link.hello
        if hello is None:
            raise ValueError("a board needs a link whose session is open")
        self.config = config
        self._hello = hello
        self._link = link
        self._strobing = threading.Lock()
        link.stop()  # a host that was killed may have left a motion under way, and light
        self._darken()
        motion = Motion(
            link,
            link.request(messages.StateRequest(), messages.State).last_move_id,
            link.request(messages.LimitsRequest(), messages.Limits),
            link.request(messages.PullOutRequest(), messages.PullOut),
        )
        self._motion = motion
        bounds = tuple(zip(hello.min_steps, hello.max_steps, strict=True))
        self.x = Axis("x", config.x, bounds[0], motion)
        self.y = Axis("y", config.y, bounds[1], motion)
        self.z = Axis("z", config.z, bounds[2], motion)
        self._closed = False
        self._end_heartbeat = link.heart.begin(config.watchdog_s, config.lamp_watchdog_s)

    @classmethod
    def open(
        cls,
        transport: Transport,
        clock: PacedClock,
        config: BoardConfig,
        reopen: Callable[[], Transport] | None = None,
    ) -> Board:
        """Open a session over `transport` and take it over; what an earlier host left under way ends.

        `reopen` opens the port again once it is back after it was gone; it raises BoardNotFound until then.
        Raises ProtocolMismatch, LinkTimeout, BoardNotFound; the transport is closed then.
        """
        link = Link(transport, clock, reopen, config.reconnect_s)
        try:
            link.open_session()
            motion_ms, idle_ms = round(config.watchdog_s * 1000), round(config.lamp_watchdog_s * 1000)
            link.keep(messages.Watchdog(motion_ms, idle_ms))
            for _ in range(_FIRST_PINGS):
                link.request(messages.Ping(), messages.Pong)
            return cls(link, config)
        except BoardError:
            link.close()
            raise

    @property
    def counters(self) -> LinkCounters:
        """Errors of the link so far."""
        return self._link.counters

    @property
    def hello(self) -> messages.HelloReply:
        """What the board said when the session was opened."""
        return self._hello

    def home(self, axes: Iterable[str] = ("z", "x", "y")) -> None:
        """Home `axes` in this order, z first so that nothing stands near the objective.

        Raises ValueError for a name that is no axis, MoveRefused, MoveStopped, LinkTimeout, PositionLost.
        """
        by_name = {"x": self.x, "y": self.y, "z": self.z}
        asked = _checked_names(axes, "home")
        with self._motion.turn():
            for name in asked:
                by_name[name].home()

    def stop(self) -> None:
        """Stop every axis now, from any thread; what was moving ends with MoveStopped."""
        self._link.stop()

    def estop(self) -> None:
        """Emergency stop now, from any thread: no more steps, motors and lamp off, homing forgotten.

        It latches: `clear_faults`, then `home`. Raises LinkTimeout, PositionLost, BoardNotFound.
        """
        self._motion.forget()
        self._link.forget(messages.Lamp)  # who lights it after this must ask for it
        self._link.estop()

    def clear_faults(self) -> None:
        """Clear what is sticky: a latched e-stop, a stuck or unexpected switch. Nothing is lit by it.

        Raises BoardError while the e-stop is pressed, LinkTimeout, PositionLost, BoardNotFound.
        """
        if self.state().faults & Fault.ESTOP:
            self._link.forget(messages.Lamp)
        sticky = Fault.ESTOP | Fault.STUCK_SWITCH | Fault.LIMIT_SWITCH
        self._link.request(messages.Clear(sticky), messages.Ack)
        self._motion.forget()  # an e-stop that nobody was moving at is noticed here

    def motors_on(self, axes: Iterable[str]) -> None:
        """Switch the motors of `axes` on, all others off; an axis that was off must be homed.

        Raises ValueError, LinkTimeout, BoardError when refused.
        """
        asked = _checked_names(axes, "motors on")
        mask = sum(1 << AXIS_NAMES.index(name) for name in set(asked))
        self._link.request(messages.Motors(mask), messages.Ack)
        self._motion.forget()

    def lamp(self, duty: float, on_time_s: float | None = None) -> None:
        """Set the lamp; `duty` is 0 (dark) .. 1. Raises ValueError, LinkTimeout, BoardError when refused.

        `on_time_s`: the board darkens it by itself after this time, at most 600 s.
        """
        if not 0.0 <= duty <= 1.0:
            raise ValueError(f"lamp duty {duty} asked: it must be 0..1")
        if on_time_s is None:
            self._link.keep(messages.Lamp(round(duty * 10000)))
            return
        if not 0.001 <= on_time_s <= 600.0:
            raise ValueError(f"lamp for {on_time_s} s asked: it must be 0.001..600 s")
        self._link.keep(messages.Lamp(0))
        self._link.request(messages.Lamp(round(duty * 10000), round(on_time_s * 1000)), messages.Ack)

    def strobe(self, count: int, period_s: float, delay_s: float, width_s: float, duty: float) -> None:
        """Have the board trigger the camera `count` times and flash; return when it has begun.

        The flash begins `delay_s` after each trigger. `count` 0 ends one that is under way.
        Raises ValueError, LinkTimeout, BoardError when refused.
        """
        times_s = (period_s, delay_s, width_s)
        if not (0.0 <= duty <= 1.0 and 0 <= count <= 0xFFFF and all(0.0 <= t <= _LONGEST_S for t in times_s)):
            raise ValueError(
                f"strobe of {count} x {width_s} s at duty {duty}, every {period_s} s, {delay_s} s after the trigger "
                f"asked: duty must be 0..1, count 0..65535, times up to {_LONGEST_S} s; nothing may be negative"
            )
        with self._strobing:
            sessions = self._link.sessions
            state = self._link.request(messages.StateRequest(), messages.State)
            period_us, delay_us, width_us = (round(time_s * 1e6) for time_s in times_s)
            request = messages.Strobe(
                state.last_strobe_id + 1, count, period_us, delay_us, width_us, round(duty * 10000)
            )
            self._link.take_frames()
            try:
                self._link.request(request, messages.Ack)
            except Refusal as refusal:
                # Accepted in the session before, and the answer was lost with it.
                if refusal.status != Status.DUPLICATE or self._link.sessions == sessions:
                    raise

    def triggered_frames(self) -> tuple[TriggeredFrame, ...]:
        """Frames triggered since asked last. An event may be lost: `state().frames_done` tells how many."""
        frames = []
        for frame in self._link.take_frames():
            trigger_s = self._link.board_clock.host_s(frame.board_time_us / 1e6)
            if trigger_s is not None:
                frames.append(TriggeredFrame(frame.index, trigger_s))
        return tuple(frames)

    def state(self) -> BoardState:
        """Ask the board for its state. Raises LinkTimeout, PositionLost, BoardNotFound."""
        state = self._link.request(messages.StateRequest(), messages.State)
        return BoardState(
            board_time_s=state.board_time_us / 1e6,
            pos_steps=state.pos_steps,
            homed=AxisBit(state.homed),
            moving=AxisBit(state.moving),
            switches=Switch(state.switches),
            faults=Fault(state.faults),
            last_move_id=state.last_move_id,
            last_result=MoveResult(state.last_result),
            lamp_duty=state.lamp_duty / 10000,
            motors=AxisBit(state.motors),
            frames_done=state.frames_done,
        )

    def status(self) -> BoardStatus:
        """The state in um and names. Raises as `state` does."""
        return status_of(self.state(), (self.x, self.y, self.z))

    def close(self) -> None:
        """Stop, darken the lamp, give the port back. Idempotent; a board that is gone is closed too."""
        if self._closed:
            return
        self._closed = True
        self._end_heartbeat()
        self._link.stay_closed()
        self._link.forget(messages.Lamp)  # one that has rebooted is dark, and stays so
        try:
            with contextlib.suppress(BoardError):
                self._link.stop()
                self._darken()
        finally:
            self._link.close()

    def _darken(self) -> None:
        """Lamp off, no strobe."""
        if self._hello.features & Feature.LAMP:
            self._link.request(messages.Lamp(0), messages.Ack)
        if self._hello.features & Feature.STROBE:
            self.strobe(0, 0.0, 0.0, 0.0, 0.0)

    def __enter__(self) -> Board:
        """The open board."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _checked_names(axes: Iterable[str], asked: str) -> tuple[str, ...]:
    names = tuple(axes)
    if unknown := [name for name in names if name not in AXIS_NAMES]:
        raise ValueError(f"{asked} {', '.join(unknown)} asked: the axes are x, y, z")
    return names


def open_serial(port: str, clock: PacedClock, config: BoardConfig) -> Board:
    """Open the board at a serial port, as `Board.open` does.

    Raises BadPort, BoardNotFound, ProtocolMismatch, LinkTimeout.

    `port` is a path, or `usb:VID:PID` or `usb:VID:PID:SERIAL` in hexadecimal, as `usb:2e8a:000a`.
    """

    def opened() -> SerialTransport:
        return SerialTransport(port_path(port), config.baud)

    return Board.open(opened(), clock, config, opened)
