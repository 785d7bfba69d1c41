"""Sweeps: the legs of Z by which it stands on a line at every moment, while X, or Y, goes on without a stop. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np

from parfocal.board.motion.profile import Trapezoid
from parfocal.board.motor import Leg, Rates
from parfocal.board.wire.messages import WayPoint

Along = Literal["x", "y"]  # the axis that a sweep goes along

# Where the axis speeds up or slows down, Z, whose legs are even, would be off its line: so these parts are divided, at
# these shares of the ramp. Equal times lie between them.
RAMP_SHARES = (1 / 16, 4 / 16, 9 / 16, 1.0)
# Speeds are whole steps/s on the wire: of slow legs the ramps would be long.
MOST_OFF_STEPS = 0.4


class SweepBegin(msgspec.Struct, frozen=True):
    """Where a sweep begins, um of the stage, and whether the axis `along` which it goes, and Z, will move downwards."""

    x_um: float
    y_um: float
    z_um: float
    is_down: bool
    z_down: bool
    along: Along = "x"


class Knot(msgspec.Struct, frozen=True):
    """Where Z stands when a sweep passes a place: between two knots it goes straight."""

    at_um: float
    z_um: float


class StepKnot(msgspec.Struct, frozen=True):
    """A knot by the counters of the axis along which a sweep goes, and of Z."""

    at_steps: int
    z_steps: int


class LegsOfZ(msgspec.Struct, frozen=True):
    """The legs of Z in a sweep, and how long the sweep lasts with them, s: one may end after the other axis."""

    points: tuple[WayPoint, ...]
    lasts_s: float


class _Leg(msgspec.Struct, frozen=True):
    """A leg of Z: from and to a distance along the way of the other axis, and a height, all in steps."""

    begin: int
    end: int
    from_steps: int
    to_steps: int

    @property
    def n_steps(self) -> int:
        return abs(self.to_steps - self.from_steps)

    def halves(self) -> tuple[_Leg, _Leg]:
        """Both halves of it, of whole steps."""
        steps = (self.from_steps + self.to_steps) // 2
        at = round(
            self.begin
            + (self.end - self.begin) * (steps - self.from_steps) / (self.to_steps - self.from_steps)
        )
        return _Leg(self.begin, at, self.from_steps, steps), _Leg(at, self.end, steps, self.to_steps)


def legs_of_z(lead: Leg, knots: Sequence[StepKnot], most: Rates) -> LegsOfZ:
    """The legs that bring Z along `knots`, the first of which is where it stands, while the axis goes along `lead`.

    `most`: the highest speed and acceleration of Z. Where it is too slow for its line, it comes late.
    """
    sign = 1 if lead.delta_steps >= 0 else -1
    start_steps = lead.target_steps - lead.delta_steps
    profile = Trapezoid(abs(lead.delta_steps), lead.rates.speed_steps_per_s, lead.rates.accel_steps_per_s2)
    way = [min(max(sign * (knot.at_steps - start_steps), 0), profile.n_steps) for knot in knots]
    heights = [knot.z_steps for knot in knots]
    legs = _divided(way, heights, _on_ramps(profile))
    if any(_rates(leg, profile, most) is None for leg in legs):
        legs = _divided(way, heights, [])  # with fewer stops of its own Z is faster
    points, ended_s = list[WayPoint](), 0.0
    for leg in _even(legs, profile, most):
        speed, accel = _rates(leg, profile, most) or _whole(most)
        points.append(WayPoint(len(points), start_steps + sign * leg.begin, leg.to_steps, speed, accel))
        ended_s = max(profile.time_s(leg.begin), ended_s) + Trapezoid(leg.n_steps, speed, accel).duration_s
    return LegsOfZ(tuple(points), max(profile.duration_s, ended_s))


def _divided(way: Sequence[int], heights: Sequence[int], at: Sequence[int]) -> list[_Leg]:
    """The legs between knots, divided `at` some places more; those without a step are left out."""
    places = sorted({*way, *(place for place in at if way[0] < place < way[-1])})
    steps = np.rint(np.interp(places, way, heights)).astype(int).tolist()
    legs = [_Leg(*ends, *z) for ends, z in zip(pairwise(places), pairwise(steps), strict=True)]
    if way[0] == way[-1]:  # the other axis does not go on there
        legs = [_Leg(way[0], way[0], heights[0], heights[-1])]
    return [leg for leg in legs if leg.n_steps]


def _even(legs: Sequence[_Leg], profile: Trapezoid, most: Rates) -> list[_Leg]:
    """Legs, each divided until Z goes so evenly that it is less than `MOST_OFF_STEPS` from its line."""
    found, left = list[_Leg](), list(legs)[::-1]
    while left:
        leg = left.pop()
        rates = _rates(leg, profile, most)
        lasts_s = profile.time_s(leg.end) - profile.time_s(leg.begin)
        ramp_s = 0.0 if rates is None else rates[0] / rates[1]
        # At the end of its ramp it has gone half as far as at full speed.
        off_steps = 0.0 if rates is None else ramp_s * (leg.n_steps / lasts_s - rates[0] / 2.0)
        if off_steps > MOST_OFF_STEPS and leg.n_steps > 1:
            left += leg.halves()[::-1]
        else:
            found.append(leg)
    return found


def _rates(leg: _Leg, profile: Trapezoid, most: Rates) -> tuple[int, int] | None:
    return rates_lasting(leg.n_steps, profile.time_s(leg.end) - profile.time_s(leg.begin), most)


def _whole(most: Rates) -> tuple[int, int]:
    return math.floor(most.speed_steps_per_s), math.floor(most.accel_steps_per_s2)


def _on_ramps(profile: Trapezoid) -> list[int]:
    """How far it has gone at some moments of its ramps, steps."""
    ramp_steps = profile.peak_steps_per_s**2 / (2.0 * profile.accel_steps_per_s2)
    up = [round(share * ramp_steps) for share in RAMP_SHARES]
    return up + [profile.n_steps - each for each in up]


def rates_lasting(n_steps: int, lasts_s: float, most: Rates) -> tuple[int, int] | None:
    """Speed and acceleration, whole steps, of a move that lasts so long; None where `most` takes longer.

    The wire takes whole numbers, which would make a slow move last longer. So the speed is rounded up, and the
    acceleration makes up for it.
    """
    most_speed, most_accel = _whole(most)
    # Of v in n / v + v / a = t.
    under_root = (most_accel * lasts_s) ** 2 - 4.0 * most_accel * n_steps
    speed = (most_accel * lasts_s - math.sqrt(under_root)) / 2.0 if under_root > 0.0 else math.inf
    whole = math.inf if speed == math.inf else max(1, math.ceil(speed - 1e-9))
    if whole > most_speed:
        return None
    accel = math.ceil(whole / max(lasts_s - n_steps / whole, 1e-3) - 1e-9)  # rather early than late
    return int(whole), min(max(1, accel), most_accel)
