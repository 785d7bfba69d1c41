"""One axis: um to whole steps, limits, and the play of the gear. The only place for all three.

The position is that of the gear engaged upwards: after `approach_up(target)` the true position equals the target
within half a step, whatever the play (dastidar2020 4.3.2). A move that ends downwards leaves the true position
above the reported one, by up to the play.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

import msgspec

from parfocal.board.config import AxisConfig
from parfocal.board.errors import MoveBrokenOff, MoveRefused, MoveStopped, PositionLost
from parfocal.board.motion.gear import (
    Engagement,
    engagement_after,
    overshoot_steps_from_play,
    plan_approach_up,
)
from parfocal.board.motion.limits import beyond_limits
from parfocal.board.motion.walk import Walk, walk_together
from parfocal.board.motor import Leg, Motor, Rates


def steps_from_um(position_um: float, um_per_step: float) -> int:
    """Nearest whole step; the only rounding between a position and the wire.

    Raises ValueError for a position that is not finite.
    """
    if not math.isfinite(position_um):
        raise ValueError(f"position {position_um} um is invalid: it must be a finite number")
    return round(position_um / um_per_step)


def um_from_steps(pos_steps: int, um_per_step: float) -> float:
    """Position of a step count, um."""
    return pos_steps * um_per_step


class Axis:
    """One axis of an open board. Moves block; they may be requested from several threads.

    An actuator without play (`MotorRatings.has_play`) moves straight to every target and arrives exact from
    either side.
    """

    def __init__(self, name: str, config: AxisConfig, motor: Motor) -> None:
        """The stricter of the configured limits and the motor's own limits holds.

        The upper limit of `config` is reduced by its margin, so that it holds for the true position.
        Raises ValueError for play that the motor does not have, and as `Motor.standstill` does.
        """
        ratings, scale = motor.ratings, config.um_per_step
        if config.play_um and not ratings.has_play:
            raise ValueError(f"{name}: play_um = {config.play_um}: this actuator has no play. Set it to 0.")
        self.name = name
        self._motor = motor
        self._take(config)
        self._rates = Rates(config.speed_um_per_s / scale, config.accel_um_per_s2 / scale)
        self._pos_steps = 0
        self._known = False
        self._engagement = Engagement.UNKNOWN
        self._homed = False
        self._settled_s = 0.0
        self._epoch = motor.epoch
        with motor.turn():
            self._adopt_board_position()

    @property
    def position_um(self) -> float:
        """Commanded, engaged position, um. It never shows the way points of an approach."""
        return um_from_steps(self._pos_steps, self.config.um_per_step)

    @property
    def stage_um(self) -> float:
        """Where the stage stands, um: with the gear engaged downwards, above `position_um` by the play."""
        return self.position_um + (self.config.play_um if self.engagement is Engagement.DOWN else 0.0)

    @property
    def engagement(self) -> Engagement:
        """Flank of the gear after the last move; without play always UP."""
        return self._engagement if self._overshoot_steps else Engagement.UP

    @property
    def is_homed(self) -> bool:
        """Whether the step counter is known to be tied to the stage."""
        return self._homed and self._known and self._epoch == self._motor.epoch

    @property
    def epoch(self) -> int:
        """A number that changes when a known position stops being true, for example after a reboot. No I/O."""
        return self._motor.epoch

    def turn(self) -> AbstractContextManager[None]:
        """Hold the board's motors. A STOP sent after this call ends every motion requested inside."""
        return self._motor.turn()

    @property
    def overshoot_um(self) -> float:
        """How far below a target an approach starts to engage the gear: play and margin, um."""
        return um_from_steps(self._overshoot_steps, self.config.um_per_step)

    def move_to(self, target_um: float) -> float:
        """Move straight to `target_um`, in either direction; return the time at which the stage is settled, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        with self._motor.turn():
            self._require_position(target_um)
            target_steps = self._checked_steps(target_um, target_um)
            return self._follow((target_steps,))

    def approach_up(self, target_um: float, from_below_um: float | None = None) -> float:
        """Arrive at `target_um` upwards with the gear engaged; return the time at which the stage is settled, s.

        `from_below_um`: the approach starts at or below this position. The returned time is on the host's
        clock and may lie ahead: wait for the first frame whose exposure began at or after it.
        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        with self._motor.turn():
            self._require_position(target_um)
            return self._follow(self._approach_points(target_um, from_below_um))

    def walk_up(self, target_um: float) -> Walk:
        """The legs of `approach_up`, for a board that moves several axes at once. Call it inside the board's turn.

        Nothing has moved yet. Raises as `approach_up` does before it moves.
        """
        self._require_position(target_um)
        return self._walk(self._approach_points(target_um, None))

    def walk_either_way(self, target_um: float) -> Walk:
        """The legs of the shortest way to `target_um`, with the gear engaged upwards or downwards on arrival.

        Downwards the play is added, so the true position is as exact as the play is known: only for X and Y, once it is
        measured. `stage_um` says where the stage stands afterwards. Raises as `walk_up`.
        """
        self._require_position(target_um)
        is_there = steps_from_um(target_um - self.stage_um, self.config.um_per_step) == 0
        if is_there and self.engagement is not Engagement.UNKNOWN:
            return self._walk(())
        down_um = target_um - self.config.play_um
        is_long = self.position_um - down_um >= self.overshoot_um
        if target_um < self.stage_um and is_long:
            return self._walk((self._checked_steps(down_um, target_um),))
        return self.walk_up(target_um)

    def walk_down(self, target_um: float) -> Walk:
        """The legs that bring the stage to `target_um` downwards, with the gear engaged downwards on arrival.

        The play is added, as in `walk_either_way`. A stage below the target first goes above it by the margin of an
        approach. For a sweep that goes on downwards. Raises as `walk_up`.
        """
        self._require_position(target_um)
        down_um = target_um - self.config.play_um if self._overshoot_steps else target_um
        point_steps = self._checked_steps(down_um, target_um)
        is_on_its_way = self.engagement is Engagement.DOWN and point_steps <= self._pos_steps
        above_steps = point_steps + self._overshoot_steps
        if is_on_its_way or above_steps <= self._pos_steps:
            return self._walk((point_steps,))
        above_um = um_from_steps(above_steps, self.config.um_per_step)
        return self._walk((self._checked_steps(above_um, target_um), point_steps))

    def walk_on(self, target_um: float, speed_um_per_s: float, accel_um_per_s2: float) -> Walk:
        """One leg to `target_um` at this speed, in the direction in which the gear is engaged. Nothing has moved yet.

        Raises ValueError against that direction; then as `walk_up`.
        """
        self._require_position(target_um)
        scale = self.config.um_per_step
        delta_steps = steps_from_um(target_um, scale) - steps_from_um(self.stage_um, scale)
        way = Engagement.UP if delta_steps > 0 else Engagement.DOWN
        if self._overshoot_steps and delta_steps and self._engagement is not way:
            raise ValueError(
                f"{self.name} cannot sweep to {target_um:.2f} um: its gear is engaged {self._engagement.value}. "
                "Call `Board.ready` first."
            )
        point_steps = self._pos_steps + delta_steps
        self._checked_steps(um_from_steps(point_steps, scale), target_um)
        # The wire takes whole numbers, and none below 1.
        rates = Rates(max(1.0, speed_um_per_s / scale), max(1.0, accel_um_per_s2 / scale))
        return self._walk((point_steps,), rates)

    def check_approach(self, target_um: float) -> None:
        """Refuse what `approach_up` would refuse. Nothing moves. Raises MoveRefused, LinkTimeout, PositionLost."""
        with self._motor.turn():
            self._require_position(target_um)
            self._approach_points(target_um, None)

    def home(self) -> float:
        """Tie the step counter to the stage, end at 0 upwards; return the time at which the stage is settled, s.

        Raises MoveRefused (nothing moved), also for a motor without homing; MoveStopped, LinkTimeout, PositionLost.
        """
        if not self._motor.ratings.has_homing:
            raise MoveRefused(
                f"homing of {self.name} refused: this axis cannot be homed; nothing moved. Leave it out."
            )
        with self._motor.turn():
            self._known = self._homed = False
            completed_s = self._motor.home(self._rates)
            self._pos_steps, self._engagement = 0, Engagement.UP
            self._epoch = self._motor.epoch
            self._known = self._homed = True
            self._settled_s = completed_s + self.config.settle_s
            return self._settled_s

    def use_play(self, play_um: float) -> None:
        """Take `play_um` for the play from now on, as a calibration measured it. Nothing moves.

        Raises ValueError for a value outside the range of `AxisConfig`, or for play that the motor does not have.
        """
        config = msgspec.structs.replace(self.config, play_um=play_um)
        if play_um and not self._motor.ratings.has_play:
            raise ValueError(f"{self.name}: play of {play_um} um given, but this actuator has no play.")
        with self._motor.turn():
            self._take(config)
            self._engagement = Engagement.UNKNOWN

    def use_scale(self, um_per_step: float) -> None:
        """Take `um_per_step` for the scale from now on, as a calibration measured it. Nothing moves.

        The same count of steps is another position then, and limits in um are other counts. Speed and acceleration
        stay as they are in steps, which is what the motor was rated for.
        Raises ValueError for a value that `AxisConfig` refuses.
        """
        config = msgspec.structs.replace(self.config, um_per_step=um_per_step)
        with self._motor.turn():
            self._take(config)
            self._engagement = Engagement.UNKNOWN

    def use_settle(self, settle_s: float) -> None:
        """Take `settle_s` for the time to rest from now on, as a calibration measured it. Nothing moves.

        Raises ValueError for a value outside the range of `AxisConfig`.
        """
        config = msgspec.structs.replace(self.config, settle_s=settle_s)
        with self._motor.turn():
            self._take(config)

    def use_rates(self, speed_um_per_s: float, accel_um_per_s2: float) -> None:
        """Take this speed and acceleration from now on, as a calibration measured them. Nothing moves.

        The board refuses a pair beyond its limits at the next move. Raises ValueError for what `AxisConfig` refuses.
        """
        config = msgspec.structs.replace(
            self.config, speed_um_per_s=speed_um_per_s, accel_um_per_s2=accel_um_per_s2
        )
        with self._motor.turn():
            self._take(config)
            self._rates = Rates(speed_um_per_s / config.um_per_step, accel_um_per_s2 / config.um_per_step)

    def rests_from(self, settled_s: float) -> float:
        """Count as settled no earlier than `settled_s`; returns when it does, s. No I/O.

        Another axis comes to rest then, or the light changes.
        """
        self._settled_s = max(self._settled_s, settled_s)
        return self._settled_s

    def jog(self, delta_um: float) -> float:
        """Move by `delta_um`, short and slowly, homed or not; return the time at which the stage is settled, s.

        It moves an axis off a switch or out of the way before homing. The board caps length and speed. Before
        homing only the switches limit it.
        Raises ValueError when `delta_um` is too long (nothing moved), otherwise as `move_to`.
        """
        with self._motor.turn():
            scale, ratings = self.config.um_per_step, self._motor.ratings
            delta_steps = steps_from_um(delta_um, scale)
            self._ensure_position()
            if self.is_homed:
                self._checked_steps(self.position_um + delta_um, self.position_um + delta_um)
            self._known = False
            if abs(delta_steps) > ratings.jog_steps:
                longest_um = round(um_from_steps(ratings.jog_steps, scale), 3)
                asked_um = round(um_from_steps(delta_steps, scale), 3)
                raise ValueError(
                    f"jog of {self.name} by {asked_um} um refused: the board allows {longest_um} um; nothing moved"
                )
            at_steps = self._motor.standstill().pos_steps
            speed_steps_per_s = min(self._rates.speed_steps_per_s, ratings.jog_steps_per_s)
            rates = Rates(speed_steps_per_s, self._rates.accel_steps_per_s2)
            completed_s = self._motor.move(at_steps + delta_steps, delta_steps, rates)
            self._adopt_board_position()
            self._settled_s = completed_s + self.config.settle_s
            return self._settled_s

    def read_position(self) -> None:
        """Read the position from the board again. Raises MoveRefused while it moves, LinkTimeout, PositionLost."""
        with self._motor.turn():
            self._adopt_board_position()

    def _take(self, config: AxisConfig) -> None:
        """Work with `config`: its limits or the motor's own, whichever are stricter, in um and in steps."""
        ratings, scale = self._motor.ratings, config.um_per_step
        self.config = config
        self.limits_um = (
            max(config.min_um, um_from_steps(ratings.min_steps, scale)),
            min(config.highest_um, um_from_steps(ratings.max_steps, scale)),
        )
        self._min_steps = math.ceil(self.limits_um[0] / scale - 1e-9)
        self._max_steps = math.floor(self.limits_um[1] / scale + 1e-9)
        self._overshoot_steps = overshoot_steps_from_play(config.play_um, scale) if ratings.has_play else 0

    def walk_alone(self, walk: Walk) -> float:
        """Go along a walk of this axis; return the time at which the stage is settled, s. Raises as `approach_up`."""
        return walk_together({self.name: walk}, self._move_alone)

    def _follow(self, way_points: tuple[int, ...]) -> float:
        """Move along `way_points`. After an error the position is read from the board again."""
        return self.walk_alone(self._walk(way_points))

    def _move_alone(self, legs: Mapping[str, Leg]) -> float:
        leg = legs[self.name]
        return self._motor.move(leg.target_steps, leg.delta_steps, leg.rates)

    def _walk(self, way_points: tuple[int, ...], rates: Rates | None = None) -> Walk:
        """The legs along `way_points`. After an error the position is read from the board again."""
        pos_steps, engagement = self._pos_steps, self._engagement
        self._known = False
        for point_steps in way_points:
            delta_steps = point_steps - pos_steps
            if delta_steps == 0:
                continue
            try:
                completed_s = yield Leg(point_steps, delta_steps, rates or self._rates)
            except (MoveRefused, MoveStopped) as early:
                if isinstance(early, MoveRefused) and point_steps == way_points[0]:
                    raise
                self._adopt_board_position()
                if isinstance(early, MoveBrokenOff):
                    # On a ramp, so the way that it went has engaged the gear like any other.
                    gone_steps = self._pos_steps - pos_steps
                    self._engagement = engagement_after(engagement, gone_steps, self._overshoot_steps)
                raise self._early_end(early) from early
            self.rests_from(completed_s + self.config.settle_s)
            engagement = engagement_after(engagement, delta_steps, self._overshoot_steps)
            pos_steps = point_steps
        self._pos_steps, self._engagement = pos_steps, engagement
        self._known = True
        return self._settled_s

    def _early_end(self, early: MoveRefused | MoveStopped) -> MoveStopped | PositionLost:
        """The error of a path that ended before its last point, after something has moved."""
        if not self._homed:
            return PositionLost(f"{self.name} ended on its way: {early}")
        if isinstance(early, MoveStopped):
            return early
        return MoveStopped(f"{self.name} ended on its way at {round(self.position_um, 3)} um: {early}")

    def _approach_points(self, target_um: float, from_below_um: float | None) -> tuple[int, ...]:
        """Way points of an approach from below. Raises MoveRefused where one lies outside the limits."""
        target_steps = self._checked_steps(target_um, target_um)
        below_steps = None if from_below_um is None else self._checked_steps(from_below_um, target_um)
        way_points = plan_approach_up(
            self._pos_steps, self.engagement, target_steps, self._overshoot_steps, below_steps
        )
        for point_steps in way_points[:-1]:
            if point_steps < self._min_steps:
                raise self._refusal(um_from_steps(point_steps, self.config.um_per_step), target_um)
        return way_points

    def _require_position(self, target_um: float) -> None:
        """Raises MoveRefused before homing."""
        self._ensure_position()
        if not self._homed:
            raise MoveRefused(
                f"move to {self.name}={float(round(target_um, 3))} um refused: the axis is not homed; "
                f"nothing moved. Run {self._motor.ratings.how_to_home}."
            )

    def _ensure_position(self) -> None:
        """Read the position again after a move that failed, and after the board has lost it."""
        if not self._known or self._epoch != self._motor.epoch:
            self._adopt_board_position()

    def _adopt_board_position(self) -> None:
        self._epoch = self._motor.epoch
        at = self._motor.standstill()
        self._pos_steps, self._homed = at.pos_steps, at.is_homed
        self._engagement = Engagement.UNKNOWN
        self._settled_s = at.time_s + self.config.settle_s
        self._known = True

    def _checked_steps(self, point_um: float, target_um: float) -> int:
        """Steps of a way point. Raises MoveRefused outside the limits."""
        steps = steps_from_um(point_um, self.config.um_per_step)
        if not self.limits_um[0] <= point_um <= self.limits_um[1]:
            raise self._refusal(point_um, target_um)
        return min(max(steps, self._min_steps), self._max_steps)

    def _refusal(self, point_um: float, target_um: float) -> MoveRefused:
        """The error of a way point outside the limits, on the way to `target_um`."""
        configured_um = self.config.min_um, self.config.highest_um
        return beyond_limits(self.name, point_um, target_um, self.limits_um, configured_um)
