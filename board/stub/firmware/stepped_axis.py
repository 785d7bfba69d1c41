"""One axis of the stub's mechanics, fed step by step: it knows edges and their times, and no plan.

Play, hard stops, switches with hysteresis and bounce, swing, screw error and drift are those of `mechanics.py`. Steps
are lost above the speed without torque and where a test says so; whether the ramps of a firmware stay below the
pull-out line is a matter of its step times, which tests compare with `profile.py`.
"""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

from parfocal.board.stub.config import StubAxisConfig
from parfocal.board.stub.stage.switches import Contact, Switches

WAS_CLOSED, WAS_OPEN = 1, 2  # as in hal.h
_UPPER = 1
_NEW_RUN_S = 0.02  # a pause after which a swing has begun
_TOGGLES_PER_BOUNCE = 6
_QUIET_AT_MOST = 1_000_000

Floats = NDArray[np.float64]


class _Run:
    """Steps in one direction without a pause: what swings after them."""

    def __init__(self, sign: int, stage_um: float, time_s: float) -> None:
        self.sign = sign
        self.first_stage_um = self.last_stage_um = stage_um
        self.last_s = time_s
        self.peak_steps_per_s = 0.0


class SteppedAxis:
    """Rotor, gear, stage and switches of one axis, and its true position at any time of the history."""

    def __init__(self, config: StubAxisConfig, now_s: float, slack: float) -> None:
        """`slack`, 0..1: where in its play the stage stands at power-up."""
        self.config = config
        self.switches = Switches(config)
        self._start_s = self._last_s = now_s
        self._rotor_um = round(config.start_um / config.um_per_step) * config.um_per_step
        self._stage_um = self._rotor_um + slack * config.play_um
        self._lose_next = 0
        self._is_lower_closed = self._stage_um < self.switches.release_um
        self._crossed_s = -math.inf
        self._asked_s = now_s
        self._starts_s = [now_s]  # of the blocks of the history
        self._blocks: list[tuple[Floats, Floats]] = [(np.array([now_s]), np.array([self._stage_um]))]
        self._runs: list[_Run] = []

    @property
    def end_s(self) -> float:
        """Time of the last step."""
        return self._last_s

    @property
    def end_stage_um(self) -> float:
        """Stage position after the last step."""
        return self._stage_um

    def lose_steps(self, n_steps: int) -> None:
        """Lose the next `n_steps`."""
        self._lose_next += n_steps

    def step(self, sign: int, times_s: Floats) -> int:
        """Take steps in one direction; return for how many more of them no switch can change."""
        config, scale = self.config, self.config.um_per_step
        before_um = self._stage_um
        rotor_um = self._rotor_um + sign * np.cumsum(self._held(times_s)) * scale
        low_um = config.lower_switch_um - config.room_um - config.play_um
        rotor_um = np.clip(rotor_um, low_um, config.upper_switch_um + config.room_um)
        up_um, down_um = np.maximum(before_um, rotor_um), np.minimum(before_um, rotor_um + config.play_um)
        stage_um = up_um if sign > 0 else down_um
        self._note_run(sign, times_s, before_um, float(stage_um[-1]))
        self._rotor_um, self._stage_um = float(rotor_um[-1]), float(stage_um[-1])
        self._last_s = float(times_s[-1])
        self._starts_s.append(float(times_s[0]))
        self._blocks.append((times_s, stage_um))
        self._cross(times_s, stage_um)
        return self._n_quiet(sign)

    def switch_off(self, time_s: float) -> None:
        """Take the current away: the rotor falls to a full step and sags, the stage follows."""
        config = self.config
        full_step_um = config.um_per_step * config.microsteps
        self._rotor_um = round(self._rotor_um / full_step_um) * full_step_um - config.sag_um
        self._stage_um = min(max(self._stage_um, self._rotor_um), self._rotor_um + config.play_um)
        self._starts_s.append(time_s)
        self._blocks.append((np.array([time_s]), np.array([self._stage_um])))
        self._cross(np.array([time_s]), np.array([self._stage_um]))

    def is_pressed(self, end: int, time_s: float) -> bool:
        """Whether the contact of the lower (0) or upper (1) switch is closed at `time_s`, bounce included."""
        if end == _UPPER:
            return self.switches.upper_closed(self._stage_um)
        if self.switches.lower is not Contact.WORKS:
            return self.switches.lower is Contact.STUCK_CLOSED
        since_s, bounce_s = time_s - self._crossed_s, self.config.bounce_s
        toggled = since_s < bounce_s and int(since_s / bounce_s * _TOGGLES_PER_BOUNCE) % 2 == 1
        return self._is_lower_closed ^ toggled

    def contact(self, end: int, time_s: float) -> int:
        """What a switch was since the last call: `WAS_CLOSED`, `WAS_OPEN` or both."""
        found = WAS_CLOSED if self.is_pressed(end, time_s) else WAS_OPEN
        if end == _UPPER or self.switches.lower is not Contact.WORKS:
            return found
        asked_s, self._asked_s = self._asked_s, time_s
        has_crossed = asked_s < self._crossed_s
        is_bouncing = asked_s < self._crossed_s + self.config.bounce_s
        first_toggle_s = self._crossed_s + self.config.bounce_s / _TOGGLES_PER_BOUNCE
        if has_crossed or (is_bouncing and time_s >= first_toggle_s):
            return WAS_CLOSED | WAS_OPEN
        return found

    def lower_closed(self, time_s: float) -> bool:
        """Whether the contact of the lower switch is closed at `time_s`, bounce included."""
        return self.is_pressed(0, time_s)

    def true_um(self, time_s: float) -> float:
        """True position of the stage, um, with lead error, drift, and the swing after the last steps."""
        config = self.config
        times_s, path_um = self._blocks[max(bisect.bisect_right(self._starts_s, time_s) - 1, 0)]
        stage_um = float(path_um[max(int(np.searchsorted(times_s, time_s, side="right")) - 1, 0)])
        lead_um = config.lead_error_um * math.sin(2.0 * math.pi * stage_um / config.lead_um)
        drift_um = config.drift_um * -math.expm1(-(time_s - self._start_s) / config.drift_tau_s)
        return stage_um + lead_um + drift_um + self._swing_um(time_s)

    def forget_before(self, time_s: float) -> None:
        """Drop the history before `time_s`, except the last of it."""
        n_old = max(bisect.bisect_right(self._starts_s, time_s) - 1, 0)
        del self._starts_s[:n_old], self._blocks[:n_old]
        n_runs = sum(run.last_s < time_s for run in self._runs[:-1])
        del self._runs[:n_runs]

    def _held(self, times_s: Floats) -> NDArray[np.bool_]:
        """The steps that the rotor follows."""
        intervals_s = _intervals_s(self._last_s, times_s)
        stall_steps_per_s = self.config.stall_speed_um_per_s / self.config.um_per_step
        held: NDArray[np.bool_] = intervals_s * stall_steps_per_s > 1.0
        lost = min(self._lose_next, len(held))
        held[:lost] = False
        self._lose_next -= lost
        return held

    def _note_run(self, sign: int, times_s: Floats, before_um: float, after_um: float) -> None:
        """Continue the present run or begin another."""
        run = self._runs[-1] if self._runs else None
        if run is None or run.sign != sign or float(times_s[0]) - run.last_s > _NEW_RUN_S:
            run = _Run(sign, before_um, float(times_s[0]))
            self._runs.append(run)
        fastest_s = float(_intervals_s(run.last_s, times_s).min())
        if fastest_s > 0.0:  # 0 before the second step of a run
            run.peak_steps_per_s = max(run.peak_steps_per_s, 1.0 / fastest_s)
        run.last_s, run.last_stage_um = float(times_s[-1]), after_um

    def _cross(self, times_s: Floats, stage_um: Floats) -> None:
        """Open or close the lower switch, which has hysteresis, on this path."""
        switches = self.switches
        beyond = stage_um >= switches.release_um if self._is_lower_closed else stage_um <= switches.press_um
        if beyond.any():
            self._is_lower_closed = not self._is_lower_closed
            self._crossed_s = float(times_s[int(np.argmax(beyond))])

    def _n_quiet(self, sign: int) -> int:
        """For how many more steps in this direction no contact can change, and the one ahead is open."""
        switches, stage_um = self.switches, self._stage_um
        works = switches.lower is Contact.WORKS and switches.upper is Contact.WORKS
        if not works or self._last_s - self._crossed_s < self.config.bounce_s:
            return 0
        if sign < 0:
            room_um = 0.0 if self._is_lower_closed else stage_um - switches.press_um
        else:
            room_um = switches.upper_um - stage_um
            if self._is_lower_closed:
                room_um = min(room_um, switches.release_um - stage_um)
        return min(max(int(room_um / self.config.um_per_step) - 1, 0), _QUIET_AT_MOST)

    def _swing_um(self, time_s: float) -> float:
        """Damped swing after the runs that have ended, um. It starts at 0 and overshoots in their direction."""
        config, swing_um = self.config, 0.0
        for run in reversed(self._runs):
            since_s = time_s - run.last_s
            if since_s < 0.0 or run.last_stage_um == run.first_stage_um:
                continue
            if since_s > 12.0 * config.settle_tau_s:
                break
            fraction = run.peak_steps_per_s * config.um_per_step / config.max_speed_um_per_s
            decayed_um = config.settle_amplitude_um * fraction * math.exp(-since_s / config.settle_tau_s)
            swing_um += run.sign * decayed_um * math.sin(2.0 * math.pi * config.settle_hz * since_s)
        return swing_um


def _intervals_s(last_s: float, times_s: Floats) -> Floats:
    """Time from step to step, the one at `last_s` before them."""
    intervals_s = np.empty_like(times_s)
    intervals_s[0] = times_s[0] - last_s
    np.subtract(times_s[1:], times_s[:-1], out=intervals_s[1:])
    return intervals_s
