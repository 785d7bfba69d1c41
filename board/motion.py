"""One motion at a time on the wire: asked, waited for with a deadline from distance and speed, and judged."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import msgspec

from parfocal.board.config import AXIS_NAMES, AxisConfig
from parfocal.board.errors import LinkTimeout, MoveRefused, MoveStopped, PositionLost
from parfocal.board.link.answers import Refusal
from parfocal.board.link.link import Link
from parfocal.board.profile import Trapezoid
from parfocal.board.pull_out import is_followed
from parfocal.board.wire import messages
from parfocal.board.wire.messages import MoveResult, Status

_SLACK_WALL_S = 1.0  # what a stalled host or board may add to a motion before it counts as hung
_POLL_WALL_S = 0.1  # how long after the expected end STATE is read, should the event be lost
_HOME_SPEED_FRACTION = 0.5
_EDGE_SPEED_FRACTION = 0.05
_RESUMES = 5  # one motion is asked for at most this often; a cable that breaks off more often is broken
_EDGE_SEARCH_UM = 50.0  # switch hysteresis and more, for the deadline of the slow legs


class Motion:
    """Runs the motions of one board, one after the other."""

    def __init__(
        self, link: Link, last_move_id: int, limits: messages.Limits, pull_out: messages.PullOut
    ) -> None:
        """`last_move_id`: the last one the board has accepted, from STATE; the others: what it can do."""
        self._link = link
        self._limits, self._pull_out = limits, pull_out
        self._move_id = last_move_id
        self._lock = threading.RLock()
        self._stops: int | None = None
        self._forgotten = 0

    @property
    def epoch(self) -> tuple[int, int]:
        """Changes when what was known of any axis is no longer true: after a reboot, an emergency stop."""
        return self._link.boots, self._forgotten

    def forget(self) -> None:
        """Have every axis ask the board anew before its next move."""
        self._forgotten += 1

    def now_s(self) -> float:
        """Time of the host's clock, s."""
        return self._link.clock.now_s()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the motors; a STOP sent after this was called ends everything asked inside."""
        asked = self._link.stops
        with self._lock:
            outer = self._stops
            self._stops = asked if outer is None else outer
            try:
                yield
            finally:
                self._stops = outer

    def move(self, name: str, config: AxisConfig, target_steps: int, delta_steps: int) -> float:
        """Move one axis and wait; return the time the end was known, s. Call inside `turn`.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        index = AXIS_NAMES.index(name)
        speed, accel = _rates(config)
        message = messages.MoveAbs(
            self._next_move_id(),
            1 << index,
            _on_axis(index, target_steps),
            _on_axis(index, speed),
            _on_axis(index, accel),
        )
        asked = f"move to {name}={round(target_steps * config.um_per_step, 3)} um"
        self._require_followed(name, config, asked)
        duration_s = Trapezoid(abs(delta_steps), speed, accel).duration_s
        return self._run(message, duration_s, asked, speed / accel)

    def jog(self, name: str, config: AxisConfig, delta_steps: int) -> float:
        """Move one axis a short way, slowly, homed or not; the time of the end, s. Call inside `turn`.

        Raises ValueError when it is longer than the board allows, else as `move` does.
        """
        index = AXIS_NAMES.index(name)
        limits = self._limits
        if abs(delta_steps) > limits.jog_steps[index]:
            longest_um = round(limits.jog_steps[index] * config.um_per_step, 3)
            asked_um = round(delta_steps * config.um_per_step, 3)
            raise ValueError(
                f"jog of {name} by {asked_um} um asked: the board allows {longest_um} um; nothing moved"
            )
        pos_steps, _ = self.standstill(name)
        slow = msgspec.structs.replace(
            config,
            speed_um_per_s=min(config.speed_um_per_s, limits.jog_steps_per_s[index] * config.um_per_step),
        )
        return self.move(name, slow, pos_steps + delta_steps, delta_steps)

    def home(self, name: str, config: AxisConfig, travel_steps: int) -> float:
        """Home one axis and wait; return the time the end was known, s. Call inside `turn`.

        `travel_steps`: all of the board's own travel, as nobody knows where in it the stage stands.
        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        speed, accel = _rates(config)
        self._require_followed(name, config, f"homing of {name}")
        fast = max(1, round(speed * _HOME_SPEED_FRACTION))
        slow = max(1, round(speed * _EDGE_SPEED_FRACTION))
        self.standstill(name)  # what an earlier command gave up waiting for may be decelerating still
        message = messages.Home(self._next_move_id(), 1 << AXIS_NAMES.index(name), fast, slow, accel)
        slow_steps = fast * fast / accel + (config.play_um + _EDGE_SEARCH_UM) / config.um_per_step
        expected_s = 1.2 * travel_steps / fast + 4.0 * slow_steps / slow
        return self._run(message, expected_s, f"homing of {name}", fast / accel)

    def standstill(self, name: str) -> tuple[int, bool]:
        """Step counter of an axis once every axis is at rest, and whether it is homed.

        Raises MoveRefused if one keeps moving.
        """
        state, index = self._state_at_rest(0.0), AXIS_NAMES.index(name)
        return state.pos_steps[index], bool(state.homed >> index & 1)

    def _state_at_rest(self, stops_in_s: float) -> messages.State:
        """STATE once nothing moves; `stops_in_s`: what a deceleration under way may take. Raises MoveRefused."""
        clock = self._link.clock
        deadline_s = clock.now_s() + stops_in_s + _SLACK_WALL_S * clock.speed
        while (state := self._link.request(messages.StateRequest(), messages.State)).moving:
            if clock.now_s() > deadline_s:
                moving = ", ".join(name for i, name in enumerate(AXIS_NAMES) if state.moving >> i & 1)
                raise MoveRefused(f"{moving} is moving already; nothing new moved. Stop it first.")
            clock.sleep_s(0.01 * clock.speed)
        return state

    def _require_followed(self, name: str, config: AxisConfig, asked: str) -> None:
        """Raises MoveRefused for a speed and acceleration that the motor, as the board tells, does not follow.

        It would lose steps, and nobody would be told.
        """
        index, scale = AXIS_NAMES.index(name), config.um_per_step
        max_speed = self._limits.max_speed_steps_per_s[index]
        max_accel = self._limits.max_accel_steps_per_s2[index]
        speed, accel = _rates(config)
        no_torque = self._pull_out.no_torque_steps_per_s[index]
        from_rest = self._pull_out.from_rest_steps_per_s2[index]
        if speed > max_speed or accel > max_accel:
            most = f"{max_speed * scale:.7g} um/s and {max_accel * scale:.7g} um/s2"
        elif not is_followed(speed, accel, no_torque, from_rest):
            most = f"{max(0.0, from_rest * (1.0 - speed / no_torque)) * scale:.7g} um/s2 at that speed"
        else:
            return
        raise MoveRefused(
            f"{asked} refused: {config.speed_um_per_s:.7g} um/s with {config.accel_um_per_s2:.7g} um/s2 asked, its "
            f"motor follows at most {most}; nothing moved. Lower board.{name}.speed_um_per_s or "
            f"board.{name}.accel_um_per_s2."
        )

    def _run(
        self, message: messages.MoveAbs | messages.Home, expected_s: float, asked: str, stops_in_s: float
    ) -> float:
        """Ask for one motion, again where a silence made the watchdog end it; the time of its end, s."""
        for n_resumed in range(_RESUMES):
            try:
                ended = self._once(message, expected_s, asked)
            except MoveRefused as refused:
                if n_resumed == 0:
                    raise
                raise MoveStopped(f"broken off by a silence, and then: {refused}") from refused
            if ended is None:
                self._link.stop()
                with contextlib.suppress(MoveRefused):  # it does not come to rest: whoever asks next is told
                    self._state_at_rest(stops_in_s)
                raise LinkTimeout(
                    f"{asked} did not end in {expected_s * 1.5:.2f} s and the slack; STOP was sent. "
                    "Check the motor supply, then home the axes."
                )
            result, completed_s = ended
            if result is MoveResult.ESTOP:
                self.forget()
            if result is not MoveResult.WATCHDOG or not self._link.heart.is_beating():
                _raise_unless_done(result, asked)
                return completed_s
            message = msgspec.structs.replace(message, move_id=self._next_move_id())
        raise MoveStopped(
            f"{asked} given up: the link broke off {_RESUMES} times on the way. Check the cable."
        )

    def _once(
        self, message: messages.MoveAbs | messages.Home, expected_s: float, asked: str
    ) -> tuple[MoveResult, float] | None:
        boots, sessions = self._link.boots, self._link.sessions
        try:
            self._link.request(message, messages.Ack, unless_stopped_since=self._stops)
        except Refusal as refusal:
            if refusal.status == Status.ESTOP:
                self.forget()
            # Accepted in the session before, and the answer was lost with it.
            if refusal.status != Status.DUPLICATE or self._link.sessions == sessions:
                raise MoveRefused(f"{asked} refused by the board: {refusal.why}") from refusal
        self._link.heart.is_moving = True
        try:
            return self._result(message.move_id, expected_s, asked, boots)
        finally:
            self._link.heart.is_moving = False

    def _result(
        self, move_id: int, expected_s: float, asked: str, boots: int
    ) -> tuple[MoveResult, float] | None:
        """How and when the motion ended, from its event or else from STATE; None past the deadline."""
        clock, link = self._link.clock, self._link
        poll_s = clock.now_s() + expected_s + _POLL_WALL_S * clock.speed
        sessions, deadline_s = link.sessions, self._deadline_s(expected_s)
        while True:
            done = link.move_done(move_id, min(poll_s, deadline_s))
            if done is not None:
                return MoveResult(done.result), self._host_s(done.board_time_us / 1e6)
            state = link.request(messages.StateRequest(), messages.State)
            if link.boots != boots:
                raise PositionLost(f"{asked} broken off: the board has rebooted. Home the axes.")
            if state.last_move_id == move_id and state.last_result != MoveResult.RUNNING:
                return MoveResult(state.last_result), clock.now_s()
            if link.sessions != sessions:
                sessions, deadline_s = link.sessions, self._deadline_s(expected_s)
            if clock.now_s() >= deadline_s:
                return None
            poll_s = clock.now_s() + _POLL_WALL_S * clock.speed

    def _deadline_s(self, expected_s: float) -> float:
        """When a motion that is to take `expected_s` from now counts as hung."""
        return self.now_s() + expected_s * 1.5 + _SLACK_WALL_S * self._link.clock.speed

    def _host_s(self, board_time_s: float) -> float:
        """Host time of a board time in the past, never too early."""
        latest_s, now_s = self._link.board_clock.latest_host_s(board_time_s), self.now_s()
        return now_s if latest_s is None else min(latest_s, now_s)

    def _next_move_id(self) -> int:
        self._move_id += 1
        return self._move_id


def _rates(config: AxisConfig) -> tuple[int, int]:
    """Speed and acceleration in whole steps/s and steps/s2."""
    scale = config.um_per_step
    return round(config.speed_um_per_s / scale), round(config.accel_um_per_s2 / scale)


def _on_axis(index: int, value: int) -> messages.Triple:
    """`value` for one axis, 0 for the others."""
    return (value if index == 0 else 0, value if index == 1 else 0, value if index == 2 else 0)


def _raise_unless_done(result: MoveResult, asked: str) -> None:
    if result is MoveResult.DONE:
        return
    if result is MoveResult.STOPPED:
        raise MoveStopped(f"{asked} stopped before its end. Read the position, then decide anew.")
    if result is MoveResult.WATCHDOG:
        raise MoveStopped(
            f"{asked} stopped by the board's watchdog, lamp off: the host was silent. Open the board again."
        )
    if result is MoveResult.ESTOP:
        raise PositionLost(
            f"{asked} ended by the emergency stop, motors off. Release it, then `parfocal home --clear-faults`."
        )
    if result is MoveResult.HOME_FAILED:
        raise PositionLost(f"{asked} failed: no switch edge found. Check the limit switch, then home again.")
    raise PositionLost(f"{asked} ran onto a limit switch inside its limits. Home the axes.")
