"""The motors of our own board, at the end of a link."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import msgspec

from parfocal.board.config import AXIS_NAMES, AxisConfig
from parfocal.board.errors import MoveRefused
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.motion.pull_out import is_followed
from parfocal.board.motor import Leg, MotorRatings, Rates, Standstill
from parfocal.board.own.motion import Job, Motion
from parfocal.board.own.sweeping import StepKnot, legs_of_z
from parfocal.board.wire import messages

_HOME_SPEED_FRACTION = 0.5
_EDGE_SPEED_FRACTION = 0.05
_EDGE_SEARCH_UM = 50.0  # switch hysteresis and more, for the deadline of the slow legs


class Statements(msgspec.Struct, frozen=True):
    """What the board states about its axes."""

    hello: messages.HelloReply
    limits: messages.Limits
    pull_out: messages.PullOut


class LinkMotor:
    """The `Motor` of one axis of a board at the end of a link."""

    def __init__(self, name: str, config: AxisConfig, stated: Statements, motion: Motion) -> None:
        """`name`: x, y or z. `config` gives errors in um and the deadline of a homing."""
        self.name = name
        self.config = config
        self._stated = stated
        self._motion = motion
        self.index = i = AXIS_NAMES.index(name)
        self.ratings = MotorRatings(
            min_steps=stated.hello.min_steps[i],
            max_steps=stated.hello.max_steps[i],
            jog_steps=stated.limits.jog_steps[i],
            jog_steps_per_s=stated.limits.jog_steps_per_s[i],
            has_homing=bool(stated.hello.features & messages.Feature.LIMIT_SWITCHES),
        )

    @property
    def epoch(self) -> int:
        """A number that changes when known positions stop being true: after a reboot, an emergency stop."""
        return self._motion.epoch

    def turn(self) -> AbstractContextManager[None]:
        """Hold the board's motors. A STOP sent after this call ends everything requested inside."""
        return self._motion.turn()

    def move(self, target_steps: int, delta_steps: int, rates: Rates) -> float:
        """Move to `target_steps`, which is `delta_steps` away; return the host time of the end, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        return self.move_with((), Leg(target_steps, delta_steps, rates))

    def move_with(self, others: Sequence[tuple[LinkMotor, Leg]], own: Leg) -> float:
        """Move this motor and others of the same board at once; return the host time of the last end, s.

        Raises as `move`.
        """
        parts = [(self, own), *others]
        targets, speeds, accels = [0, 0, 0], [0, 0, 0], [0, 0, 0]
        names, expected_s, stops_in_s = [], 0.0, 0.0
        for motor, leg in parts:
            i, (speed, accel) = motor.index, _whole(leg.rates)
            targets[i], speeds[i], accels[i] = leg.target_steps, speed, accel
            names.append(f"{motor.name}={round(leg.target_steps * motor.config.um_per_step, 3)}")
            expected_s = max(expected_s, Trapezoid(abs(leg.delta_steps), speed, accel).duration_s)
            stops_in_s = max(stops_in_s, speed / accel)
        asked = f"move to {' '.join(names)} um"
        message = messages.MoveAbs(
            self._motion.next_move_id(),
            sum(1 << motor.index for motor, _ in parts),
            _triple(targets),
            _triple(speeds),
            _triple(accels),
        )
        for motor, leg in parts:
            motor.require_followed(leg.rates, asked)
        return self._motion.run(Job(message, asked, expected_s, stops_in_s))

    def sweep(self, own: Leg, z: LinkMotor, knots: Sequence[StepKnot], most: Rates) -> float:
        """Move this motor while Z goes along `knots`, at no more than `most`; return the host time of the end, s.

        Raises as `move`.
        """
        speed, accel = _whole(own.rates)
        legs = legs_of_z(Leg(own.target_steps, own.delta_steps, Rates(speed, accel)), knots, most)
        if not legs.points:
            return self.move(own.target_steps, own.delta_steps, own.rates)
        to_um, z_um = (
            round(steps * motor.config.um_per_step, 3)
            for motor, steps in ((self, own.target_steps), (z, knots[-1].z_steps))
        )
        asked = f"sweep to {self.name}={to_um} {z.name}={z_um} um"
        message = messages.Sweep(
            self._motion.next_move_id(), 1 << self.index, own.target_steps, speed, accel, len(legs.points)
        )
        self.require_followed(own.rates, asked)
        z.require_followed(most, asked)
        return self._motion.run(Job(message, asked, legs.lasts_s, speed / accel, legs.points))

    def home(self, rates: Rates) -> float:
        """Find the lower switch, go to 0 upwards; return the host time of the end, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        asked, config = f"homing of {self.name}", self.config
        self.require_followed(rates, asked)
        speed, accel = _whole(rates)
        fast = max(1, round(speed * _HOME_SPEED_FRACTION))
        slow = max(1, round(speed * _EDGE_SPEED_FRACTION))
        self._motion.wait_for_rest()  # a command that was given up may still be decelerating
        message = messages.Home(self._motion.next_move_id(), 1 << self.index, fast, slow, accel)
        # All of the board's travel, since nobody knows where in it the stage stands.
        travel_steps = self.ratings.max_steps - self.ratings.min_steps
        slow_steps = fast * fast / accel + (config.play_um + _EDGE_SEARCH_UM) / config.um_per_step
        expected_s = 1.2 * travel_steps / fast + 4.0 * slow_steps / slow
        return self._motion.run(Job(message, asked, expected_s, fast / accel))

    def standstill(self) -> Standstill:
        """Wait until every motor is at rest; return where this one stands.

        Raises MoveRefused when one keeps moving, LinkTimeout, PositionLost.
        """
        state = self._motion.wait_for_rest()
        return Standstill(
            pos_steps=state.pos_steps[self.index],
            is_homed=bool(state.homed >> self.index & 1),
            time_s=self._motion.now_s(),
        )

    def require_followed(self, rates: Rates, asked: str) -> None:
        """Raises MoveRefused for a speed and acceleration that the motor cannot follow.

        It would lose steps without any notice.
        """
        i, scale, stated = self.index, self.config.um_per_step, self._stated
        max_speed = stated.limits.max_speed_steps_per_s[i]
        max_accel = stated.limits.max_accel_steps_per_s2[i]
        speed, accel = _whole(rates)
        no_torque = stated.pull_out.no_torque_steps_per_s[i]
        from_rest = stated.pull_out.from_rest_steps_per_s2[i]
        if speed > max_speed or accel > max_accel:
            most = f"{max_speed * scale:.7g} um/s and {max_accel * scale:.7g} um/s2"
        elif not is_followed(speed, accel, no_torque, from_rest):
            most = f"{max(0.0, from_rest * (1.0 - speed / no_torque)) * scale:.7g} um/s2 at that speed"
        else:
            return
        raise MoveRefused(
            f"{asked} refused: {rates.speed_steps_per_s * scale:.7g} um/s with "
            f"{rates.accel_steps_per_s2 * scale:.7g} um/s2 requested, but its motor follows at most {most}; "
            f"nothing moved. Lower board.{self.name}.speed_um_per_s or board.{self.name}.accel_um_per_s2."
        )


def _triple(values: Sequence[int]) -> messages.Triple:
    x, y, z = values
    return x, y, z


def _whole(rates: Rates) -> tuple[int, int]:
    """Speed and acceleration in whole steps/s and steps/s2, as they go on the wire."""
    return round(rates.speed_steps_per_s), round(rates.accel_steps_per_s2)
