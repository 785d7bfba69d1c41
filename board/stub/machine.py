"""The stub's machine: three axes, lamp, homing, limits, watchdog and e-stop, in terms of the message table.

It knows messages, not bytes; `stub_board` speaks the protocol. Time comes in only through `advance`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.optics.lights import SINGLE_AXES, Lights
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stage.ratings import LENS, Ratings
from parfocal.board.stub.stage.true_stage import HISTORY_S
from parfocal.board.wire.messages import (
    AxisBit,
    Clear,
    Fault,
    Frame,
    Home,
    Motors,
    MoveAbs,
    MoveDone,
    MoveResult,
    PositionTrigger,
    State,
    Status,
    Triple,
    Watchdog,
)

_ALL = AxisBit.X | AxisBit.Y | AxisBit.Z
_ENDED_EARLY = (MoveResult.STOPPED, MoveResult.WATCHDOG)


@dataclass
class _Motion:
    """The motion under way. It is computed to its end when it begins, unless it is stopped."""

    move_id: int
    axes: AxisBit
    result: MoveResult
    homing_axis: int | None = None
    spread_steps: int = 0
    switch_s: float = float("inf")  # when an axis runs onto a switch


class Machine:
    """Does what a board's firmware does with motors, switches, lamp and time."""

    def __init__(self, config: StubConfig, now_s: float, clock_speed: float) -> None:
        """`clock_speed`: the watchdog counts wall time, so its delays scale with the clock."""
        draw = random.Random(config.seed)  # noqa: S311  # a gear, not a secret
        self.ratings = Ratings((config.x, config.y, config.z))
        self.axes = tuple(AxisMechanics(axis, now_s, draw.random()) for axis in self.ratings.configs)
        self._clock_speed = clock_speed
        self.history_s = HISTORY_S * clock_speed
        self._now_s = now_s
        self.motions_begun = 0  # since the stub was made, through all reboots; faults refer to it
        self.estop_pressed = False
        self.lights = Lights(now_s, LENS)
        self._start_up()

    def _start_up(self) -> None:
        """Set what a processor knows after a reset. Motors and stage stay where they are."""
        self._zero_counts = [axis.end_count for axis in self.axes]  # at power-up the counters read 0
        self._start_s = self._fed_s = self._motion_end_s = self._now_s
        self._homed = AxisBit(0)
        self._motors = _ALL
        self._motion: _Motion | None = None
        self._last_move_id = 0
        self._last_result = MoveResult.NONE
        self._faults = Fault(0)
        self._motion_limit_s = self._idle_limit_s = 1.0 * self._clock_speed
        self._events: list[tuple[float, MoveDone | Frame]] = []
        if self.estop_pressed:
            self.estop()

    @property
    def now_s(self) -> float:
        """Time advanced to."""
        return self._now_s

    def advance(self, time_s: float) -> None:
        """Let time pass: motions end, the lamp changes, the watchdog fires. Time never goes back."""
        while (due_s := self.next_due_s()) <= time_s:
            is_at_position = self._position_s() <= due_s
            self._now_s = max(self._now_s, due_s)
            if is_at_position:
                self._note_trigger(self.lights.lamp.pass_position(self._now_s))
            elif self._motion is not None and self._motion_end_s <= due_s:
                self._end_motion(self._motion)
            elif self.lights.lamp.next_due_s() <= due_s:
                self.lights.lamp.forget_before(self._now_s - self.history_s)
                self._note_trigger(self.lights.lamp.run_due(due_s))
            else:
                self._fire_watchdog()
        self._now_s = max(self._now_s, time_s)

    def next_due_s(self) -> float:
        """When something next happens by itself, s; infinity when nothing will."""
        due_s, limit_s = self.lights.lamp.next_due_s(), self._idle_limit_s
        if self._motion is not None:
            due_s = min(due_s, self._motion_end_s, self._position_s())
            limit_s = self._motion_limit_s
        elif not self.lights.is_used:
            return due_s  # nothing for the watchdog to guard
        if self._faults and self._faults & Fault.WATCHDOG:  # `&` of two flags costs more than all the rest
            return due_s
        return min(due_s, self._fed_s + limit_s)

    def feed(self) -> None:
        """Feed the watchdog: the host is alive."""
        self._fed_s = self._now_s

    def take_events(self) -> list[tuple[float, MoveDone | Frame]]:
        """Events since the last call, with their times."""
        events, self._events = self._events, []
        return events

    def move(self, request: MoveAbs) -> Status:
        """Carry out MOVE_ABS. Every limit is checked before the first step."""
        refusal = self._refusal(request.move_id)
        if refusal is not Status.OK:
            return refusal
        if not 0 < request.axes <= _ALL:
            return Status.BAD_VALUE
        axes = [i for i in range(3) if request.axes >> i & 1]
        for i in axes:
            refusal = self._axis_refusal(i, request)
            if refusal is not Status.OK:
                return refusal
        motion = _Motion(request.move_id, AxisBit(request.axes), MoveResult.DONE)
        for i in axes:
            delta_steps = request.target_steps[i] + self._zero_counts[i] - self.axes[i].end_count
            profile = (request.speed_steps_per_s[i], request.accel_steps_per_s2[i])
            if delta_steps and not self.axes[i].drive(self._now_s, delta_steps, *profile):
                motion.result = MoveResult.LIMIT_SWITCH
                motion.switch_s = min(motion.switch_s, max(self.axes[i].end_s, self._now_s))
        self._begin(motion)
        self.motions_begun += 1
        return Status.OK

    def home(self, request: Home) -> Status:
        """Carry out HOME: off a pressed switch, fast onto it, slowly off, both once more slowly, then up to 0."""
        refusal = self._refusal(request.move_id)
        if refusal is not Status.OK:
            return refusal
        if request.axes not in SINGLE_AXES:
            return Status.BAD_VALUE
        i = SINGLE_AXES.index(AxisBit(request.axes))
        if not 0 < request.slow_steps_per_s <= request.fast_steps_per_s:
            return Status.BAD_VALUE
        refusal = self.ratings.refusal(i, request.fast_steps_per_s, request.accel_steps_per_s2)
        if refusal is not Status.OK:
            return refusal
        self._motors |= AxisBit(request.axes)
        self._forget_homing(AxisBit(request.axes))
        spread_steps = self._seek(i, request)
        motion = _Motion(request.move_id, AxisBit(request.axes), MoveResult.HOME_FAILED)
        if spread_steps is not None:
            motion = _Motion(request.move_id, AxisBit(request.axes), MoveResult.DONE, i, spread_steps)
        self._begin(motion)
        self.motions_begun += 1
        return Status.OK

    def stop(self) -> None:
        """Carry out STOP: decelerate every axis."""
        self._break_off(MoveResult.STOPPED)

    def estop(self) -> None:
        """Carry out ESTOP: no more steps, motors and light off, homing forgotten, latched."""
        self.lights.switch_off(self._now_s)
        self._switch_off(_ALL)
        if self._motion is not None:
            self._motion.result, self._motion_end_s = MoveResult.ESTOP, self._now_s
            self._motion.homing_axis = None
        self._faults |= Fault.ESTOP

    def press_estop(self, pressed: bool) -> None:
        """Press or release the button. Only CLEAR releases what it has latched."""
        self.estop_pressed = pressed
        if pressed:
            self.estop()

    def reboot(self) -> None:
        """Restart the processor: motors lose their current, and everything it knew is lost."""
        for axis in self.axes:
            axis.switch_off(self._now_s)
        self.lights.restart(self._now_s)
        self._start_up()

    def clear(self, request: Clear) -> Status:
        """Carry out CLEAR."""
        if request.faults & Fault.ESTOP and self.estop_pressed:
            return Status.ESTOP
        self._faults &= ~(Fault(request.faults) & ~Fault.WATCHDOG)
        return Status.OK

    def set_motors(self, request: Motors) -> Status:
        """Carry out MOTORS."""
        if self._faults & Fault.ESTOP:
            return Status.ESTOP
        if request.axes > _ALL:
            return Status.BAD_VALUE
        if self._motion is not None:
            return Status.BUSY
        self._switch_off(_ALL & ~AxisBit(request.axes))
        self._motors = AxisBit(request.axes)
        return Status.OK

    def trigger_at_positions(self, request: PositionTrigger) -> Status:
        """Carry out POSITION_TRIGGER."""
        ready = None if self._motion else self._homed
        return self.lights.trigger_at(request, self._faults, self._now_s, ready, self.ratings.max_steps)

    @property
    def faults(self) -> Fault:
        """The sticky faults."""
        return self._faults

    @property
    def lens_ua(self) -> int:
        """Current through the lens, uA."""
        return self.lights.lens.current_ua

    def watch_lens(self, changed: Callable[[float, int], None]) -> None:
        """Call `changed` with the time, s, and the current, uA, whenever the current of the lens changes."""
        self.lights.lens.changed = lambda current_ua: changed(self._now_s, current_ua)

    def set_watchdog(self, request: Watchdog) -> Status:
        """Carry out WATCHDOG: set and arm it, clear its fault."""
        if not 100 <= request.motion_ms <= request.idle_ms <= 60000:
            return Status.BAD_VALUE
        self._motion_limit_s = request.motion_ms * self._clock_speed / 1000.0
        self._idle_limit_s = request.idle_ms * self._clock_speed / 1000.0
        self._faults &= ~Fault.WATCHDOG
        return Status.OK

    def state(self) -> State:
        """The answer to STATE."""
        closed = [contact for axis in self.axes for contact in axis.sensed_at(self._now_s)[1:]]
        return State(
            board_time_us=self.time_us(self._now_s),
            pos_steps=self._counters(),
            last_move_id=self._last_move_id,
            lamp_duty=self.lights.lamp.duty,
            faults=self._faults,
            last_strobe_id=self.lights.lamp.last_strobe_id,
            frames_done=self.lights.lamp.frames_done,
            last_result=self._last_result,
            moving=self._motion.axes if self._motion is not None else 0,
            homed=self._homed,
            motors=self._motors,
            switches=sum(contact << i for i, contact in enumerate(closed)),
            lens_ua=self.lights.lens.current_ua,
        )

    def time_us(self, time_s: float) -> int:
        """The board's own clock, us since it started."""
        return round((time_s - self._start_s) * 1e6)

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. The caller has checked `time_s` against the history."""
        x, y, z = (axis.true_um(time_s) for axis in self.axes)
        return x, y, z

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        return self.lights.lamp.light(begin_s, end_s)

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        return self.lights.triggers_s(after_s)

    def _refusal(self, move_id: int) -> Status:
        """Why no motion may begin now, or OK."""
        if self._faults & Fault.ESTOP:
            return Status.ESTOP
        if self._faults & Fault.WATCHDOG:
            return Status.WATCHDOG
        if move_id <= self._last_move_id:
            return Status.DUPLICATE
        return Status.OK if self._motion is None else Status.BUSY

    def _axis_refusal(self, i: int, request: MoveAbs) -> Status:
        """Why an axis may not move as asked, or OK."""
        target_steps, speed_steps_per_s = request.target_steps[i], request.speed_steps_per_s[i]
        if not self._motors & 1 << i:
            return Status.MOTOR_OFF
        refusal = self.ratings.refusal(i, speed_steps_per_s, request.accel_steps_per_s2[i])
        if refusal is not Status.OK:
            return refusal
        if self._homed & 1 << i:
            return Status.OK if 0 <= target_steps <= self.ratings.max_steps[i] else Status.LIMIT
        is_jog = self.ratings.is_jog(i, target_steps - self._counters()[i], speed_steps_per_s)
        return Status.OK if is_jog else Status.NOT_HOMED

    def _seek(self, i: int, request: Home) -> int | None:
        """Plan the legs of a homing; return the spread of the two edges found, steps, or None if there is none."""
        axis, seek = self.axes[i], self.ratings.seek_steps(i)
        fast_steps_per_s, slow_steps_per_s = request.fast_steps_per_s, request.slow_steps_per_s
        accel_steps_per_s2 = request.accel_steps_per_s2
        now_s = self._now_s
        if axis.lower_closed(now_s) and axis.seek_release(now_s, seek.off, slow_steps_per_s) is None:
            self._faults |= Fault.STUCK_SWITCH
            return None
        edges: list[int] = []
        for max_steps, steps_per_s in ((seek.whole, fast_steps_per_s), (2 * seek.edge, slow_steps_per_s)):
            if not axis.seek_down(max(axis.end_s, now_s), max_steps, steps_per_s, accel_steps_per_s2):
                return None
            edge = axis.seek_release(axis.end_s, seek.off, slow_steps_per_s)
            if edge is None:
                self._faults |= Fault.STUCK_SWITCH
                return None
            edges.append(edge)
        # The board knows the position of its switch: from there up to 0.
        zero_count = edges[1] - seek.switch
        axis.drive(axis.end_s, zero_count - axis.end_count, fast_steps_per_s, accel_steps_per_s2)
        return abs(edges[1] - edges[0])

    def _break_off(self, result: MoveResult) -> None:
        """Decelerate what moves. Doing it twice changes nothing."""
        motion = self._motion
        if motion is None or motion.result in _ENDED_EARLY:
            return
        is_on_switch = motion.switch_s <= self._now_s
        for i, axis in enumerate(self.axes):
            if motion.axes & 1 << i and axis.end_s > self._now_s:
                axis.stop(self._now_s)
        motion = _Motion(motion.move_id, motion.axes, result)
        self._begin(motion)
        if is_on_switch:  # the counter of one axis was wrong, whatever ends the others
            motion.result, motion.switch_s = MoveResult.LIMIT_SWITCH, float("-inf")

    def _begin(self, motion: _Motion) -> None:
        """Make `motion` the one under way, with the end that is planned now."""
        ends_s = [axis.end_s for i, axis in enumerate(self.axes) if motion.axes & 1 << i]
        self._motion, self._motion_end_s = motion, max(self._now_s, *ends_s)
        self._last_move_id = motion.move_id
        self._last_result = MoveResult.RUNNING
        for axis in self.axes:
            axis.forget_before(self._now_s - self.history_s)

    def _end_motion(self, motion: _Motion) -> None:
        self._motion = None
        self._last_result = motion.result
        if motion.homing_axis is not None:
            i = motion.homing_axis
            self._zero_counts[i] = self.axes[i].end_count  # a homing ends at 0
            self._homed |= motion.axes
        if motion.result is MoveResult.LIMIT_SWITCH:
            # There is no switch inside the travel: the counter was wrong. A jog may reach one.
            self._forget_homing(motion.axes)
            self._faults |= Fault.LIMIT_SWITCH
        ended = (
            self.time_us(self._now_s),
            motion.move_id,
            self._counters(),
            motion.spread_steps,
            motion.result,
        )
        self._events.append((self._now_s, MoveDone(*ended)))

    def _position_s(self) -> float:
        """When the next position trigger is reached, s; infinity when the motion under way does not reach it."""
        position = self.lights.lamp.next_position
        if position is None or self._motion is None:
            return float("inf")
        axis, at_steps, sign = position
        i = SINGLE_AXES.index(axis)
        return self.axes[i].reaches_s(self._now_s, at_steps + self._zero_counts[i], sign)

    def _note_trigger(self, index: int | None) -> None:
        if index is not None:
            frame = Frame(self.time_us(self._now_s), self.lights.lamp.last_strobe_id, index)
            self.lights.note_trigger(self._now_s)
            self._events.append((self._now_s, frame))

    def _forget_homing(self, axes: AxisBit) -> None:
        self._homed &= ~axes
        self.lights.lamp.disarm(axes, self._now_s)

    def _fire_watchdog(self) -> None:
        self._break_off(MoveResult.WATCHDOG)
        self.lights.switch_off(self._now_s)
        self._faults |= Fault.WATCHDOG

    def _switch_off(self, axes: AxisBit) -> None:
        """Switch off the current of `axes`. Nothing holds them, so their counters lose their meaning."""
        for i, axis in enumerate(self.axes):
            if axes & self._motors & 1 << i:
                axis.switch_off(self._now_s)
        self._motors &= ~axes
        self._forget_homing(axes)

    def _counters(self) -> Triple:
        x, y, z = (axis.count_at(self._now_s) for axis in self.axes)
        zero_x, zero_y, zero_z = self._zero_counts
        return x - zero_x, y - zero_y, z - zero_z
