"""An open board of our own protocol: its axes, its lamp, its state."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import final

import msgspec

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.board.capabilities import Capabilities
from parfocal.board.clock import PacedClock
from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import BoardError
from parfocal.board.lamp import Lamp
from parfocal.board.link.answers import Refusal
from parfocal.board.link.counters import LinkCounters
from parfocal.board.link.link import Link
from parfocal.board.link.transport import Transport
from parfocal.board.motion.walk import Walk, walk_together
from parfocal.board.motor import Leg
from parfocal.board.motor_board import MotorBoard, checked_names
from parfocal.board.own.link_lamp import LinkLamp
from parfocal.board.own.link_lens import LinkLens
from parfocal.board.own.link_motor import LinkMotor, Statements
from parfocal.board.own.motion import Motion
from parfocal.board.own.sweeping import Along, Knot, StepKnot, SweepBegin
from parfocal.board.own.triggers import Flash, TriggeredFrame, TriggerPositions
from parfocal.board.status import BoardState, BoardStatus, status_of
from parfocal.board.wire import messages
from parfocal.board.wire.messages import AxisBit, Fault, Feature, MoveResult, Status, Switch

_MOST_STEPS = 2**31 - 1
_LONGEST_S = 4294.0  # still fits the wire, in us
_SHORTEST_PERIOD_US = 1000  # of a strobe, by the protocol
_FIRST_PINGS = 3  # enough to have one with a short round trip, for the board's clock


@final
class Board(MotorBoard):
    """An open board at the end of a link."""

    def __init__(self, link: Link, config: BoardConfig) -> None:
        """Use `Board.open` or `open_board`. The session of `link` is open."""
        hello = link.hello
        if hello is None:
            raise ValueError("a board needs a link whose session is open")
        self.config = config
        self.capabilities = _capabilities_of(Feature(hello.features))
        self.unit_serial = hello.unit_serial
        self._link = link
        self._lamp = LinkLamp(link)
        self._lens = LinkLens(link, link.request(messages.LensRequest(), messages.Lens))
        self._strobing = threading.Lock()
        link.stop()  # a host that was killed may have left a motion and light
        self._darken()
        self._motion = Motion(link, link.request(messages.StateRequest(), messages.State).last_move_id)
        stated = Statements(
            hello,
            link.request(messages.LimitsRequest(), messages.Limits),
            link.request(messages.PullOutRequest(), messages.PullOut),
        )
        self._motors = {name: LinkMotor(name, config.axis(name), stated, self._motion) for name in AXIS_NAMES}
        self.axes = MappingProxyType(
            {name: Axis(name, config.axis(name), motor) for name, motor in self._motors.items()}
        )
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
        """Open a session over `transport` and take the board over. Whatever an earlier host left running ends.

        `reopen` opens the port again after it was gone, and raises BoardNotFound until it is back.
        Raises ProtocolMismatch, LinkTimeout, BoardNotFound; the transport is then closed.
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
    def lamp(self) -> Lamp:
        """Sets the lamp: `board.lamp(0.5)`."""
        return self._lamp

    def ready(self, begin: SweepBegin) -> float:
        """Bring all axes to the begin of a sweep; return the time at which the stage is settled, s.

        Z and the axis that the sweep goes along arrive engaged in the direction in which it will move them, downwards
        with their play added. The other one arrives as in `arrive` with `either_way`.
        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        with self.turn():
            to_along_um, to_across_um = begin.x_um, begin.y_um
            if begin.along == "y":
                to_along_um, to_across_um = to_across_um, to_along_um
            across = self.y if begin.along == "x" else self.x
            walks = {across.name: across.walk_either_way(to_across_um)}
            for axis, to_um, is_down in (
                (self.axes[begin.along], to_along_um, begin.is_down),
                (self.z, begin.z_um, begin.z_down),
            ):
                walks[axis.name] = axis.walk_down(to_um) if is_down else axis.walk_up(to_um)
            return self._walk_all(walks)

    def sweep(self, to_um: float, knots: Sequence[Knot], speed_um_per_s: float, along: Along = "x") -> float:
        """Move X, or Y, without a stop while Z goes along `knots`; return the time at which the stage is settled, s.

        Z stands at the first of them, which lie one after the other on the way, and goes on as it is engaged, like the
        other axis: call `ready` first, and again before Z turns round. It stays on its line but for a step, or comes
        late where that is steeper than its motor is fast.
        Raises ValueError against the engagement, or where Z would turn round; else as `ready`.
        """
        heights_um = [knot.z_um for knot in knots]
        if heights_um not in (sorted(heights_um), sorted(heights_um, reverse=True)):
            raise ValueError(
                f"Z would turn round in a sweep along {heights_um} um. Call `Board.ready` there."
            )
        with self.turn():
            axis, z = self.axes[along], self.z.config
            origin_um = axis.stage_um, self.z.stage_um
            walks = {
                along: axis.walk_on(to_um, speed_um_per_s, axis.config.accel_um_per_s2),
                "z": self.z.walk_on(heights_um[-1], z.speed_um_per_s, z.accel_um_per_s2),
            }
            return walk_together(walks, lambda legs: self._sweep(legs, along, knots, origin_um))

    def _sweep(
        self, legs: Mapping[str, Leg], along: Along, knots: Sequence[Knot], origin_um: tuple[float, float]
    ) -> float:
        """One motion of both axes, which stand at `origin_um`; of one alone where the other one stays."""
        if len(legs) < 2:
            return self._move(legs)
        lead, z = legs[along], legs["z"]
        scales = self.axes[along].config.um_per_step, self.z.config.um_per_step
        begins = lead.target_steps - lead.delta_steps, z.target_steps - z.delta_steps
        offset, z_offset = (
            begin - steps_from_um(um, scale)
            for begin, um, scale in zip(begins, origin_um, scales, strict=True)
        )
        at_steps = [
            StepKnot(
                offset + steps_from_um(knot.at_um, scales[0]), z_offset + steps_from_um(knot.z_um, scales[1])
            )
            for knot in knots
        ]
        return self._motors[along].sweep(lead, self._motors["z"], at_steps, z.rates)

    def rise(self, z_um: float, speed_um_per_s: float) -> float:
        """Move Z on upwards at a speed of its own; return the time at which the stage is settled, s.

        For triggers along Z: call `Axis.approach_up` first. Raises ValueError against the engagement; else as `ready`.
        """
        with self.turn():
            return self.z.walk_alone(self.z.walk_on(z_um, speed_um_per_s, self.z.config.accel_um_per_s2))

    def meanwhile(self, work: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call `work` again and again while a motion inside of the block goes on; it neither moves anything nor raises.

        Once it returns True, the motion is stopped and raises MoveBrokenOff. For pictures that come while the stage
        moves. The motors are held for the whole block.
        """
        return self._motion.meanwhile(work)

    def _walk_all(self, walks: Mapping[str, Walk]) -> float:
        """All axes move at once, one leg after the other."""
        return walk_together(walks, self._move)

    def _move(self, legs: Mapping[str, Leg]) -> float:
        first, *others = legs
        return self._motors[first].move_with(
            [(self._motors[name], legs[name]) for name in others], legs[first]
        )

    @property
    def lens(self) -> LinkLens:
        """Sets the current of the tunable lens: `board.lens(80.0)`, in mA."""
        return self._lens

    @property
    def counters(self) -> LinkCounters:
        """Errors of the link so far."""
        return self._link.counters

    def turn(self) -> AbstractContextManager[None]:
        """Hold the motors. A STOP sent after this call ends everything requested inside."""
        return self._motion.turn()

    def stop(self) -> None:
        """Stop every axis now, from any thread; what was moving ends with MoveStopped."""
        self._link.stop()

    def estop(self) -> None:
        """Emergency stop now, from any thread: no more steps; motors, lamp and lens off; homing forgotten.

        It latches: `clear_faults`, then `home`. Raises LinkTimeout, PositionLost, BoardNotFound.
        """
        self._motion.forget()
        self._lamp.forget()  # it stays dark until someone asks for light
        self._lens.forget()
        self._link.estop()

    def clear_faults(self) -> None:
        """Clear sticky faults: a latched e-stop, a stuck or unexpected switch. The lamp stays dark.

        Raises BoardError while the e-stop is pressed, LinkTimeout, PositionLost, BoardNotFound.
        """
        if self.state().faults & Fault.ESTOP:
            self._lamp.forget()
            self._lens.forget()
        sticky = Fault.ESTOP | Fault.STUCK_SWITCH | Fault.LIMIT_SWITCH
        self._link.request(messages.Clear(sticky), messages.Ack)
        self._motion.forget()  # an e-stop while nothing moved is noticed only here

    def motors_on(self, axes: Iterable[str]) -> None:
        """Switch the motors of `axes` on, all others off. An axis that was off must be homed.

        Raises ValueError, LinkTimeout, BoardError when refused.
        """
        asked = checked_names(axes, "motors on")
        mask = sum(1 << AXIS_NAMES.index(name) for name in set(asked))
        self._link.request(messages.Motors(mask), messages.Ack)
        self._motion.forget()

    def strobe(self, count: int, period_s: float, delay_s: float, width_s: float, duty: float) -> None:
        """Have the board trigger the camera `count` times and flash; return when it has begun.

        Each flash begins `delay_s` after its trigger. `count` 0 ends a strobe that is under way.
        Raises ValueError, LinkTimeout, BoardError when refused.
        """
        times_s = (period_s, delay_s, width_s)
        if not (0.0 <= duty <= 1.0 and 0 <= count <= 0xFFFF and all(0.0 <= t <= _LONGEST_S for t in times_s)):
            raise ValueError(
                f"strobe of {count} x {width_s} s at duty {duty}, every {period_s} s, {delay_s} s after the trigger "
                f"is invalid: duty must be 0..1, count 0..65535, times up to {_LONGEST_S} s; nothing may be negative"
            )
        period_us, delay_us, width_us = (round(time_s * 1e6) for time_s in times_s)
        self._begin_triggers(messages.Strobe(0, count, period_us, delay_us, width_us, round(duty * 10000)))

    def trigger_camera(self) -> None:
        """Trigger the camera once, now, in the light as it is. Raises LinkTimeout, BoardError when refused."""
        # A flash of no length, in the duty of the lamp, changes nothing.
        duty = round(self._lamp.duty * 10000)
        self._begin_triggers(messages.Strobe(0, 1, _SHORTEST_PERIOD_US, 0, 0, duty))

    def trigger_at(self, axis: str, positions: TriggerPositions, flash: Flash) -> tuple[float, ...]:
        """Have the board trigger the camera and flash where `axis` passes `positions`; return when it is armed.

        Returns the positions, um, rounded to steps of the motor. Arm it at rest, then move the axis through them, in
        the direction of `spacing_um`. A position that comes before the flash of the one before has ended, or within
        a millisecond of it, gives no trigger; `take_triggered_frames` then lacks its index.
        Raises ValueError, LinkTimeout, BoardError when refused: while an axis moves, before homing, outside the travel.
        """
        (name,) = checked_names((axis,), "trigger")
        scale = self.axes[name].config.um_per_step
        first = steps_from_um(positions.first_um, scale)
        spacing = steps_from_um(positions.spacing_um, scale)
        last = first + (positions.count - 1) * spacing
        if spacing == 0 or not 1 <= positions.count <= 0xFFFF or max(abs(first), abs(last)) > _MOST_STEPS:
            raise ValueError(
                f"triggers on {name} at {positions} are invalid: count must be 1..65535, spacing_um one step of "
                f"{scale} um or more"
            )
        if not (0.0 <= flash.duty <= 1.0 and 0.0 <= min(flash.delay_s, flash.width_s) <= _LONGEST_S):
            raise ValueError(f"{flash} is invalid: duty must be 0..1, times must not be negative")
        self._begin_triggers(
            messages.PositionTrigger(
                strobe_id=0,
                axes=1 << AXIS_NAMES.index(name),
                first_steps=first,
                spacing_steps=spacing,
                count=positions.count,
                delay_us=round(flash.delay_s * 1e6),
                width_us=round(flash.width_s * 1e6),
                duty=round(flash.duty * 10000),
            )
        )
        return tuple(um_from_steps(first + i * spacing, scale) for i in range(positions.count))

    def _begin_triggers(self, request: messages.Strobe | messages.PositionTrigger) -> None:
        """Send `request` under a new id."""
        with self._strobing:
            sessions = self._link.sessions
            state = self._link.request(messages.StateRequest(), messages.State)
            request = msgspec.structs.replace(request, strobe_id=state.last_strobe_id + 1)
            self._link.take_frames()
            try:
                self._link.request(request, messages.Ack)
            except Refusal as refusal:
                # Accepted in the previous session, whose answer was lost with it.
                if refusal.status != Status.DUPLICATE or self._link.sessions == sessions:
                    raise

    def take_triggered_frames(self) -> tuple[TriggeredFrame, ...]:
        """Frames triggered since the last call. An event may be lost: `state().frames_done` has the true count."""
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
            lens_ma=state.lens_ua / 1000.0,
        )

    def status(self) -> BoardStatus:
        """The state in um and names. Raises as `state`."""
        return status_of(self.state(), self.axes)

    def close(self) -> None:
        """Stop, turn the lamp off, release the port. Idempotent; a board that is gone is closed as well."""
        if self._closed:
            return
        self._closed = True
        self._end_heartbeat()
        self._link.stay_closed()
        self._lamp.forget()  # a board that has rebooted is dark, and stays dark
        self._lens.forget()
        try:
            with contextlib.suppress(BoardError):
                self._link.stop()
                self._darken()
        finally:
            self._link.close()

    def _darken(self) -> None:
        """Turn lamp and lens off and end a strobe."""
        if self.capabilities.has_lamp:
            self._link.request(messages.Lamp(0), messages.Ack)
        if self.capabilities.has_strobe:
            self.strobe(0, 0.0, 0.0, 0.0, 0.0)
        if self.capabilities.has_lens:
            self._link.request(messages.SetCurrent(0), messages.Ack)

    def __enter__(self) -> Board:
        """The open board."""
        return self


def _capabilities_of(features: Feature) -> Capabilities:
    """Capabilities of a board of our own protocol, which brings watchdog and idempotent moves."""
    return Capabilities(
        has_lamp=bool(features & Feature.LAMP),
        has_strobe=bool(features & Feature.STROBE),
        has_lens=bool(features & Feature.LENS),
        has_homing=bool(features & Feature.LIMIT_SWITCHES),
        has_watchdog=True,
        has_idempotent_moves=True,
        has_checksum=True,
    )
