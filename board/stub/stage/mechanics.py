"""One axis of the stub's mechanics: motor, gear, stage and switches, fed only by time-stamped step edges.

A leg is a run of edges in one direction. The rotor follows the edges except those it loses. The stage follows the
rotor as a play operator: driven up it stands at the rotor's position, driven down at the rotor's position plus the
play, and in between it stays where it is.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from parfocal.board.motion.profile import Trapezoid, stopping_edges_s
from parfocal.board.stub.config import StubAxisConfig
from parfocal.board.stub.stage.switches import Switches

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Leg:
    """Edges in one direction: their times, and the positions of rotor and stage after each, all of shape (n,)."""

    start_s: float
    profile: Trapezoid
    sign: int
    first_count: int
    first_rotor_um: float
    first_stage_um: float
    times_s: Floats
    rotor_um: Floats
    stage_um: Floats

    @functools.cached_property
    def end_s(self) -> float:
        """Time of the last edge."""
        return float(self.times_s[-1]) if len(self.times_s) else self.start_s

    @property
    def end_count(self) -> int:
        """Signed count of edges since power-up, after the last edge."""
        return self.first_count + self.sign * len(self.times_s)

    @property
    def end_rotor_um(self) -> float:
        """Rotor position after the last edge."""
        return float(self.rotor_um[-1]) if len(self.rotor_um) else self.first_rotor_um

    @property
    def end_stage_um(self) -> float:
        """Stage position after the last edge, without swing."""
        return float(self.stage_um[-1]) if len(self.stage_um) else self.first_stage_um

    def stage_after_um(self, n_done: int) -> float:
        """Stage position after the first `n_done` edges, without swing."""
        return float(self.stage_um[n_done - 1]) if n_done else self.first_stage_um

    def n_done(self, time_s: float) -> int:
        """Edges up to and including `time_s`."""
        if time_s >= self.end_s:  # at rest, the usual case
            return len(self.times_s)
        return int(np.searchsorted(self.times_s, time_s, side="right"))

    def first(self, n_edges: int) -> Leg:
        """The first `n_edges` of the leg."""
        return dataclasses.replace(
            self,
            times_s=self.times_s[:n_edges],
            rotor_um=self.rotor_um[:n_edges],
            stage_um=self.stage_um[:n_edges],
        )


class AxisMechanics:
    """One axis: the motion planned for it, and its true position at any time."""

    def __init__(self, config: StubAxisConfig, now_s: float, slack: float) -> None:
        """`slack`, 0..1: where in its play the stage stands at power-up."""
        self.config = config
        self.switches = Switches(config)
        self._start_s = now_s
        self._lose_next = 0
        count = round(config.start_um / config.um_per_step)
        rotor_um = count * config.um_per_step
        self._legs = [_rest(now_s, count, rotor_um, rotor_um + slack * config.play_um)]

    @property
    def end_s(self) -> float:
        """Time of the last planned edge."""
        return self._legs[-1].end_s

    @property
    def end_count(self) -> int:
        """Edges counted after the last planned edge."""
        return self._legs[-1].end_count

    @property
    def end_stage_um(self) -> float:
        """Stage position after the last planned edge."""
        return self._legs[-1].end_stage_um

    def drive(
        self, start_s: float, delta_steps: int, speed_steps_per_s: float, accel_steps_per_s2: float
    ) -> bool:
        """Plan a leg of `delta_steps`; return False when it runs onto a switch, or begins on one.

        A switch in the direction of the move ends it at once.
        """
        _, lower, upper = self.sensed_at(start_s)
        if upper if delta_steps > 0 else lower:
            return False
        leg = self._leg(
            start_s,
            Trapezoid(abs(delta_steps), speed_steps_per_s, accel_steps_per_s2),
            1 if delta_steps > 0 else -1,
        )
        pressed = self.switches.pressing(leg.stage_um, leg.sign)
        if pressed is not None:
            leg = leg.first(pressed + 1)
        self._append(leg)
        return pressed is None

    def seek_down(
        self, start_s: float, max_steps: int, speed_steps_per_s: float, accel_steps_per_s2: float
    ) -> bool:
        """Plan a leg down onto the lower switch, decelerating at its first contact; return False without contact."""
        leg = self._leg(start_s, Trapezoid(max_steps, speed_steps_per_s, accel_steps_per_s2), -1)
        pressed = self.switches.pressing(leg.stage_um, leg.sign)
        if pressed is not None:
            leg = self._stopping(leg, float(leg.times_s[pressed]))
        self._append(leg)
        return pressed is not None

    def seek_release(self, start_s: float, max_steps: int, speed_steps_per_s: float) -> int | None:
        """Plan a leg up off the lower switch; return the count at its first opening, None if it stays closed.

        The leg continues until the bounce is over. It has no ramp: at this speed the motor starts and stops within
        one step.
        """
        n_bounce = math.ceil(self.config.bounce_s * speed_steps_per_s)
        leg = self._leg(start_s, Trapezoid(max_steps + n_bounce, speed_steps_per_s, speed_steps_per_s**2), 1)
        released = self.switches.releasing(leg.stage_um[:max_steps])
        if released is None:
            self._append(leg.first(max_steps))
            return None
        self._append(leg.first(released + 1 + n_bounce))
        return leg.first_count + released + 1

    def stop(self, time_s: float) -> None:
        """Drop what is planned after `time_s`, except the steps of a deceleration."""
        leg = self._drop_later(time_s)
        if leg.end_s > time_s:
            self._legs.pop()
            self._append(self._stopping(leg, time_s))

    def switch_off(self, time_s: float) -> None:
        """End all edges and the current: the rotor falls to a full step and sags, the stage follows."""
        leg = self._drop_later(time_s)
        if leg.end_s > time_s:
            self._legs[-1] = leg.first(leg.n_done(time_s))
        leg, config = self._legs[-1], self.config
        full_step_um = config.um_per_step * config.microsteps
        rotor_um = round(leg.end_rotor_um / full_step_um) * full_step_um - config.sag_um
        stage_um = min(max(leg.end_stage_um, rotor_um), rotor_um + config.play_um)
        self._legs.append(_rest(max(time_s, leg.end_s), leg.end_count, rotor_um, stage_um))

    def lose_steps(self, n_steps: int) -> None:
        """Make the next leg lose its first `n_steps`."""
        self._lose_next += n_steps

    def count_at(self, time_s: float) -> int:
        """Edges counted at `time_s`."""
        leg = self._legs[self._index_at(time_s)]
        return leg.first_count + leg.sign * leg.n_done(time_s)

    def reaches_s(self, after_s: float, count: int, sign: int) -> float:
        """When a planned step in the direction of `sign` makes `count`, after `after_s`; infinity when none does."""
        for leg in self._legs:
            n_steps = (count - leg.first_count) * sign
            if leg.sign == sign and 0 < n_steps <= len(leg.times_s) and leg.times_s[n_steps - 1] > after_s:
                return float(leg.times_s[n_steps - 1])
        return float("inf")

    def true_um(self, time_s: float) -> float:
        """True position of the stage, um, with lead error, drift, and the swing after the last edges."""
        index, config = self._index_at(time_s), self.config
        leg = self._legs[index]
        stage_um = leg.stage_after_um(leg.n_done(time_s))
        lead_um = config.lead_error_um * math.sin(2.0 * math.pi * stage_um / config.lead_um)
        drift_um = config.drift_um * -math.expm1(-(time_s - self._start_s) / config.drift_tau_s)
        return stage_um + lead_um + drift_um + self._swing_um(index, time_s)

    def sensed_at(self, time_s: float) -> tuple[int, bool, bool]:
        """What a board senses: edges counted, whether the lower and the upper contact are closed."""
        leg = self._legs[self._index_at(time_s)]
        n_done = leg.n_done(time_s)
        at_um = leg.stage_after_um(n_done)
        lower = self.switches.lower_closed(
            leg.times_s, leg.stage_um, leg.first_stage_um, at_um, leg.sign, time_s
        )
        return leg.first_count + leg.sign * n_done, lower, self.switches.upper_closed(at_um)

    def lower_closed(self, time_s: float) -> bool:
        """Whether the contact of the lower switch is closed at `time_s`, bounce included."""
        return self.sensed_at(time_s)[1]

    def forget_before(self, time_s: float) -> None:
        """Drop legs that ended before `time_s`, except the last of them."""
        del self._legs[: self._index_at(time_s)]

    def _index_at(self, time_s: float) -> int:
        """Index of the last leg that has begun at `time_s`."""
        if time_s >= self._legs[-1].start_s:  # the last planned leg, the usual case
            return len(self._legs) - 1
        return max(bisect.bisect_right(self._legs, time_s, key=lambda leg: leg.start_s) - 1, 0)

    def _drop_later(self, time_s: float) -> Leg:
        """Drop the legs that begin after `time_s`; return the last one that is left."""
        while len(self._legs) > 1 and self._legs[-1].start_s > time_s:
            self._legs.pop()
        return self._legs[-1]

    def _append(self, leg: Leg) -> None:
        if len(leg.times_s):
            self._legs.append(leg)

    def _leg(self, start_s: float, profile: Trapezoid, sign: int) -> Leg:
        """A leg of the whole profile after the last planned leg."""
        held = self._held(profile)
        if self._lose_next:
            lost = min(self._lose_next, len(held))
            held[:lost] = False
            self._lose_next -= lost
        return self._followed(start_s, profile, sign, start_s + profile.edge_times_s(), held)

    def _held(self, profile: Trapezoid) -> NDArray[np.bool_]:
        """The edges for which the motor has the torque."""
        config = self.config
        peak_um_per_s = profile.peak_steps_per_s * config.um_per_step
        accel_um_per_s2 = profile.accel_steps_per_s2 * config.um_per_step
        no_torque_um_per_s = config.stall_speed_um_per_s * config.torque_share
        from_rest_um_per_s2 = config.stall_accel_um_per_s2 * config.torque_share
        if accel_um_per_s2 <= from_rest_um_per_s2 * (1.0 - peak_um_per_s / no_torque_um_per_s):
            return np.ones(profile.n_steps, bool)
        speed_um_per_s = profile.edge_speeds_steps_per_s() * config.um_per_step
        asked = np.where(speed_um_per_s < peak_um_per_s * (1.0 - 1e-9), accel_um_per_s2, 0.0)
        available = from_rest_um_per_s2 * (1.0 - speed_um_per_s / no_torque_um_per_s)
        held: NDArray[np.bool_] = (available > 0.0) & (asked <= available)
        return held

    def _followed(
        self, start_s: float, profile: Trapezoid, sign: int, times_s: Floats, held: NDArray[np.bool_]
    ) -> Leg:
        """The leg of these edges after the last planned leg, with lost steps, hard stops and play."""
        before, config = self._legs[-1], self.config
        rotor_um = before.end_rotor_um + sign * np.cumsum(held) * config.um_per_step
        low_um = config.lower_switch_um - config.room_um - config.play_um
        rotor_um = np.clip(rotor_um, low_um, config.upper_switch_um + config.room_um)
        if sign > 0:
            stage_um = np.maximum(before.end_stage_um, rotor_um)
        else:
            stage_um = np.minimum(before.end_stage_um, rotor_um + config.play_um)
        first = (before.end_count, before.end_rotor_um, before.end_stage_um)
        return Leg(start_s, profile, sign, *first, times_s, rotor_um, stage_um)

    def _stopping(self, leg: Leg, time_s: float) -> Leg:
        """A leg that is not yet appended, stopped at `time_s`."""
        n_done = leg.n_done(time_s)
        still_s = leg.start_s + stopping_edges_s(leg.profile, time_s - leg.start_s, n_done)
        times_s = np.concatenate((leg.times_s[:n_done], still_s))
        # Lost steps stay lost. The board's own deceleration is within the torque.
        moved = np.diff(leg.rotor_um[:n_done], prepend=leg.first_rotor_um) != 0.0
        held = np.concatenate((moved, np.ones(len(still_s), bool)))
        return self._followed(leg.start_s, leg.profile, leg.sign, times_s, held)

    def _swing_um(self, index: int, time_s: float) -> float:
        """Damped swing after the legs that have ended, um. It starts at 0 and overshoots in their direction."""
        config = self.config
        swing_um = 0.0
        for leg in (self._legs[i] for i in range(index, -1, -1)):
            since_s = time_s - leg.end_s
            if since_s < 0.0 or leg.end_stage_um == leg.first_stage_um:
                continue
            if since_s > 12.0 * config.settle_tau_s:
                break
            fraction = leg.profile.peak_steps_per_s * config.um_per_step / config.max_speed_um_per_s
            decayed_um = config.settle_amplitude_um * fraction * math.exp(-since_s / config.settle_tau_s)
            swing_um += leg.sign * decayed_um * math.sin(2.0 * math.pi * config.settle_hz * since_s)
        return swing_um


def _rest(start_s: float, count: int, rotor_um: float, stage_um: float) -> Leg:
    """A leg without edges: an axis at rest."""
    none = np.empty(0)
    return Leg(start_s, Trapezoid(0, 1.0, 1.0), 1, count, rotor_um, stage_um, none, none, none)
