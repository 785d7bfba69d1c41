"""The seam under `Axis`: what a board must do to move one axis, in whole steps.

`Axis` turns um into steps and keeps limits, play and approaches. It needs nothing from a board but a `Motor` for
each axis, so every board gets the same limits and the same approaches.

An actuator without play or homing, such as a liquid lens, is a motor too. Its `MotorRatings` say `has_play=False`
and `has_homing=False`, and its `Standstill` is always homed. Its axis then moves straight to every target.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

# What a board with switches is told, and one without, which refuses to home.
HOME, DECLARE = "`parfocal home`", "`parfocal home --here X,Y,Z`"


class MotorRatings(msgspec.Struct, frozen=True):
    """What one motor can do. Positions are counts of its step counter.

    `min_steps`, `max_steps`: the board's own travel limits.
    `jog_steps`, `jog_steps_per_s`: longest and fastest move before homing; 0 when the board allows none.
    `has_homing`: the board can tie the counter to the stage. An actuator that always knows its position has none.
    `has_play`: the stage lags behind the motor when it reverses.
    """

    min_steps: int
    max_steps: int
    jog_steps: int = 0
    jog_steps_per_s: int = 0
    has_homing: bool = True
    has_play: bool = True

    @property
    def how_to_home(self) -> str:
        """The command that ties the counter to the stage, as errors name it."""
        return HOME if self.has_homing else DECLARE


class Rates(msgspec.Struct, frozen=True):
    """Top speed and acceleration of a motion, not yet rounded to what a board takes."""

    speed_steps_per_s: float
    accel_steps_per_s2: float


class Leg(msgspec.Struct, frozen=True):
    """One straight part of a path: to `target_steps`, which is `delta_steps` away."""

    target_steps: int
    delta_steps: int
    rates: Rates


class Standstill(msgspec.Struct, frozen=True):
    """A motor at rest.

    `is_homed`: the counter is tied to the stage; always true for an actuator without homing.
    `time_s`: host time at which the motor was known to be at rest.
    """

    pos_steps: int
    is_homed: bool
    time_s: float


class Motor(Protocol):
    """One motor of an open board. Call every method but `turn` inside `turn`."""

    @property
    def ratings(self) -> MotorRatings:
        """What the motor can do."""
        ...

    @property
    def epoch(self) -> int:
        """A number that changes when a known position stops being true, for example after a reboot. No I/O."""
        ...

    def turn(self) -> AbstractContextManager[None]:
        """Hold the board's motors. A STOP sent after this call ends every motion requested inside."""
        ...

    def move(self, target_steps: int, delta_steps: int, rates: Rates) -> float:
        """Move to `target_steps`, which is `delta_steps` away; return the host time of the end, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        ...

    def home(self, rates: Rates) -> float:
        """Tie the counter to the stage, end at 0 moving upwards; return the host time of the end, s.

        `rates`: those of a move; the board homes more slowly. Raises as `move`.
        """
        ...

    def standstill(self) -> Standstill:
        """Wait until the board's motors are at rest; return where this one stands.

        Raises MoveRefused when one keeps moving, LinkTimeout, PositionLost.
        """
        ...
