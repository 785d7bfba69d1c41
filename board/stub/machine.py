"""The stub's machine: three axes, lamp, homing, limits, watchdog and e-stop, in terms of the message table.

It knows messages, not bytes; `stub_board` speaks the protocol. Time comes in only through `advance`.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.motion import MotionUnderWay
from parfocal.board.stub.optics.lights import SINGLE_AXES, Lights, refusal_of
from parfocal.board.stub.stage.counted import CountedStage, Z
from parfocal.board.stub.stage.homing import StuckSwitch, seek
from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.stub.stage.ratings import LENS, Ratings
from parfocal.board.stub.stage.true_stage import HISTORY_S
from parfocal.board.stub.watchdog import WatchdogTimer
from parfocal.board.stub.way_points import WayPoints
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
    Sweep,
    Watchdog,
    WayPoint,
)

_ALL = AxisBit.X | AxisBit.Y | AxisBit.Z
_ENDED_EARLY = (MoveResult.STOPPED, MoveResult.WATCHDOG)


class Machine:
    """Does what a board's firmware does with motors, switches, lamp and time."""

    def __init__(self, config: StubConfig, now_s: float, clock_speed: float) -> None:
        """`clock_speed`: the watchdog counts wall time, so its delays scale with the clock."""
        draw = random.Random(config.seed)  # noqa: S311  # a gear, not a secret
        self.ratings = Ratings((config.x, config.y, config.z))
        self._stage = CountedStage(
            [AxisMechanics(axis, now_s, draw.random()) for axis in self.ratings.configs]
        )
        self.axes = self._stage.axes
        self._clock_speed = clock_speed
        self.history_s = HISTORY_S * clock_speed
        self._now_s = now_s
        self.motions_begun = 0  # since the stub was made, through all reboots; faults refer to it
        self.estop_pressed = False
        self.lights = Lights(now_s, LENS)
        self._start_up()

    def _start_up(self) -> None:
        """Set what a processor knows after a reset. Motors and stage stay where they are."""
        self._stage.read_zero()
        self._start_s = self._motion_end_s = self._now_s
        self._homed = AxisBit(0)
        self._motors = _ALL
        self._motion: MotionUnderWay | None = None
        self._last_move_id = 0
        self._last_result = MoveResult.NONE
        self._faults = Fault(0)
        self.way_points = WayPoints()
        self.watchdog = WatchdogTimer(self._now_s, self._clock_speed)
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
        due_s = self.lights.lamp.next_due_s()
        if self._motion is not None:
            due_s = min(due_s, self._motion_end_s, self._position_s())
        elif not self.lights.is_used:
            return due_s  # nothing for the watchdog to guard
        has_fired = self._faults and self._faults & Fault.WATCHDOG  # `&` of flags is slow
        return due_s if has_fired else min(due_s, self.watchdog.due_s(self._motion is not None))

    def feed(self) -> None:
        """Feed the watchdog: the host is alive."""
        self.watchdog.fed_s = self._now_s

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
        fields = zip(
            range(3), request.target_steps, request.speed_steps_per_s, request.accel_steps_per_s2, strict=True
        )
        legs = [leg for leg in fields if request.axes >> leg[0] & 1]
        for leg in legs:
            refusal = self._axis_refusal(*leg, may_jog=True)
            if refusal is not Status.OK:
                return refusal
        motion = MotionUnderWay(request.move_id, AxisBit(request.axes), MoveResult.DONE)
        for leg in legs:
            motion.note_switch(self._stage.drive(self._now_s, *leg))
        return self._accept(motion)

    def keep(self, request: WayPoint) -> Status:
        """Carry out WAY_POINT."""
        refusal = refusal_of(self._faults)
        if refusal is not Status.OK:
            return refusal
        if self._motion is not None:
            return Status.BUSY
        if not self.way_points.may_be_next(request):
            return Status.BAD_VALUE
        rates = request.z_speed_steps_per_s, request.z_accel_steps_per_s2
        refusal = self._axis_refusal(Z, request.z_steps, *rates, may_jog=False)
        if refusal is Status.OK:
            self.way_points.keep(request)
        return refusal

    def sweep(self, request: Sweep) -> Status:
        """Carry out SWEEP: X or Y goes on, and each leg of Z begins where it has reached its position."""
        refusal = self._refusal(request.move_id)
        if refusal is not Status.OK:
            return refusal
        if request.axes not in (AxisBit.X, AxisBit.Y):
            return Status.BAD_VALUE
        lead = SINGLE_AXES.index(AxisBit(request.axes))
        rates = request.speed_steps_per_s, request.accel_steps_per_s2
        refusal = self._axis_refusal(lead, request.target_steps, *rates, may_jog=False)
        if refusal is Status.OK:
            refusal = self.way_points.refusal(request, self._stage.counters(self._now_s)[lead])
        if refusal is not Status.OK:
            return refusal
        switch_s = self._stage.sweep(lead, request, self.way_points.take(), self._now_s)
        motion = MotionUnderWay(request.move_id, AxisBit(request.axes) | AxisBit.Z, MoveResult.DONE)
        motion.note_switch(switch_s)
        return self._accept(motion)

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
        self._motors |= (axis := AxisBit(request.axes))
        self._forget_homing(axis)
        motion = MotionUnderWay(request.move_id, axis, MoveResult.HOME_FAILED)
        try:
            spread_steps = seek(self.axes[i], self.ratings.seek_steps(i), request, self._now_s)
        except StuckSwitch:
            spread_steps = None
            self._faults |= Fault.STUCK_SWITCH
        if spread_steps is not None:
            motion = MotionUnderWay(request.move_id, axis, MoveResult.DONE, i, spread_steps)
        return self._accept(motion)

    def stop(self) -> None:
        """Carry out STOP: decelerate every axis."""
        self._break_off(MoveResult.STOPPED)

    def estop(self) -> None:
        """Carry out ESTOP: no more steps, motors and light off, homing forgotten, latched."""
        self.lights.switch_off(self._now_s)
        self._switch_off(_ALL)
        if self._motion is not None:
            self._motion = MotionUnderWay(self._motion.move_id, self._motion.axes, MoveResult.ESTOP)
            self._motion_end_s = self._now_s
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
        if not self.watchdog.set(request):
            return Status.BAD_VALUE
        self._faults &= ~Fault.WATCHDOG
        return Status.OK

    def state(self) -> State:
        """The answer to STATE."""
        return State(
            board_time_us=self.time_us(self._now_s),
            pos_steps=self._stage.counters(self._now_s),
            last_move_id=self._last_move_id,
            lamp_duty=self.lights.lamp.duty,
            faults=self._faults,
            last_strobe_id=self.lights.lamp.last_strobe_id,
            frames_done=self.lights.lamp.frames_done,
            last_result=self._last_result,
            moving=self._motion.axes if self._motion is not None else 0,
            homed=self._homed,
            motors=self._motors,
            switches=self._stage.closed(self._now_s),
            lens_ua=self.lights.lens.current_ua,
        )

    def time_us(self, time_s: float) -> int:
        """The board's own clock, us since it started."""
        return round((time_s - self._start_s) * 1e6)

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. The caller has checked `time_s` against the history."""
        return self._stage.true_um(time_s)

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        return self.lights.lamp.light(begin_s, end_s)

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        return self.lights.triggers_s(after_s)

    def _refusal(self, move_id: int) -> Status:
        """Why no motion may begin now, or OK."""
        refusal = refusal_of(self._faults)
        if refusal is not Status.OK:
            return refusal
        if move_id <= self._last_move_id:
            return Status.DUPLICATE
        return Status.OK if self._motion is None else Status.BUSY

    def _axis_refusal(
        self, i: int, target_steps: int, speed_steps_per_s: int, accel_steps_per_s2: int, *, may_jog: bool
    ) -> Status:
        """Why an axis may not go to a target, or OK. `may_jog`: a short and slow move is allowed before homing."""
        if not self._motors & 1 << i:
            return Status.MOTOR_OFF
        at_steps = self._stage.counters(self._now_s)[i] if may_jog else None
        rates = speed_steps_per_s, accel_steps_per_s2
        return self.ratings.target_refusal(i, target_steps, rates, bool(self._homed & 1 << i), at_steps)

    def _break_off(self, result: MoveResult) -> None:
        """Decelerate what moves. Doing it twice changes nothing."""
        self.way_points.drop()
        motion = self._motion
        if motion is None or motion.result in _ENDED_EARLY:
            return
        is_on_switch = motion.switch_s <= self._now_s
        for i, axis in enumerate(self.axes):
            if motion.axes & 1 << i and axis.end_s > self._now_s:
                axis.stop(self._now_s)
        self._begin(motion := MotionUnderWay(motion.move_id, motion.axes, result))
        if is_on_switch:  # the counter of one axis was wrong, whatever ends the others
            motion.result, motion.switch_s = MoveResult.LIMIT_SWITCH, float("-inf")

    def _accept(self, motion: MotionUnderWay) -> Status:
        """Begin what a request has asked for."""
        self._begin(motion)
        self.motions_begun += 1
        return Status.OK

    def _begin(self, motion: MotionUnderWay) -> None:
        """Make `motion` the one under way, with the end that is planned now."""
        ends_s = [axis.end_s for i, axis in enumerate(self.axes) if motion.axes & 1 << i]
        self._motion, self._motion_end_s = motion, max(self._now_s, *ends_s)
        self._last_move_id = motion.move_id
        self._last_result = MoveResult.RUNNING
        self.way_points.drop()
        for axis in self.axes:
            axis.forget_before(self._now_s - self.history_s)

    def _end_motion(self, motion: MotionUnderWay) -> None:
        self._motion = None
        self._last_result = motion.result
        if motion.homing_axis is not None:
            self._stage.end_at_zero(motion.homing_axis)
            self._homed |= motion.axes
        if motion.result is MoveResult.LIMIT_SWITCH:
            # There is no switch inside the travel: the counter was wrong. A jog may reach one.
            self._forget_homing(motion.axes)
            self._faults |= Fault.LIMIT_SWITCH
        ended = (
            self.time_us(self._now_s),
            motion.move_id,
            self._stage.counters(self._now_s),
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
        return self._stage.reaches_s(SINGLE_AXES.index(axis), self._now_s, at_steps, sign)

    def _note_trigger(self, index: int | None) -> None:
        if index is not None:
            frame = Frame(self.time_us(self._now_s), self.lights.lamp.last_strobe_id, index)
            self.lights.note_trigger(self._now_s)
            self._events.append((self._now_s, frame))

    def _forget_homing(self, axes: AxisBit) -> None:
        self._homed &= ~axes
        self.way_points.drop()
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
