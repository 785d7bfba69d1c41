"""One motion at a time on the wire: request it, wait for its end until a deadline, raise what went wrong."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import msgspec

from parfocal.board.config import AXIS_NAMES
from parfocal.board.errors import LinkTimeout, MoveBrokenOff, MoveRefused, MoveStopped, PositionLost
from parfocal.board.link.answers import Refusal
from parfocal.board.link.link import Link
from parfocal.board.wire import messages
from parfocal.board.wire.messages import MoveResult, Status

_SLACK_WALL_S = 1.0  # what a stalled host or board may add to a motion before it counts as hung
_POLL_WALL_S = 0.1  # how long after the expected end STATE is read, in case the event was lost
_PIECE_WALL_S = 0.005  # how often `meanwhile` looks whether there is something to do
_RESUMES = 5  # one motion is requested at most this often; a cable that fails more often is broken


class Job(msgspec.Struct, frozen=True):
    """One motion to run.

    `asked` names it in errors. `expected_s`: how long it should take. `stops_in_s`: how long its motor takes to
    decelerate from full speed. `way_points`: kept on the board before a sweep.
    """

    message: messages.MoveAbs | messages.Sweep | messages.Home
    asked: str
    expected_s: float
    stops_in_s: float
    way_points: tuple[messages.WayPoint, ...] = ()


class Motion:
    """Runs the motions of one board, one after the other."""

    def __init__(self, link: Link, last_move_id: int) -> None:
        """`last_move_id`: the last one that the board has accepted, from STATE."""
        self._link = link
        self._move_id = last_move_id
        self._lock = threading.RLock()
        self._stops: int | None = None
        self._work: Callable[[], bool] | None = None
        self._is_broken_off = False  # by the work, and by no other STOP
        self._forgotten = 0

    @property
    def epoch(self) -> int:
        """A number that changes when known positions stop being true: after a reboot, an emergency stop."""
        return self._link.boots + self._forgotten

    def forget(self) -> None:
        """Make every axis read its position from the board again before its next move."""
        self._forgotten += 1

    def now_s(self) -> float:
        """Time of the host's clock, s."""
        return self._link.clock.now_s()

    def next_move_id(self) -> int:
        """An id larger than every one before it."""
        self._move_id += 1
        return self._move_id

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the motors. A STOP sent after this call ends everything requested inside."""
        asked = self._link.stops
        with self._lock:
            outer = self._stops
            self._stops = asked if outer is None else outer
            try:
                yield
            finally:
                self._stops = outer

    @contextlib.contextmanager
    def meanwhile(self, work: Callable[[], bool]) -> Iterator[None]:
        """Call `work` again and again while a motion inside of this block is waited for. It holds the motors.

        Once it returns True, the motion is stopped and raises MoveBrokenOff, or the next one in the block does. The
        next motion begins later by what the last piece of `work` takes. It must neither move anything nor raise.
        """
        with self.turn():
            outer, self._work = self._work, work
            try:
                yield
            finally:
                self._work, self._is_broken_off = outer, False

    def wait_for_rest(self, stops_in_s: float = 0.0) -> messages.State:
        """Wait until nothing moves; return STATE. `stops_in_s`: how long a deceleration under way may take.

        Raises MoveRefused when something keeps moving.
        """
        clock = self._link.clock
        deadline_s = clock.now_s() + stops_in_s + _SLACK_WALL_S * clock.speed
        while (state := self._link.request(messages.StateRequest(), messages.State)).moving:
            if clock.now_s() > deadline_s:
                moving = ", ".join(name for i, name in enumerate(AXIS_NAMES) if state.moving >> i & 1)
                raise MoveRefused(f"{moving} is already moving; nothing new moved. Stop it first.")
            clock.sleep_s(0.01 * clock.speed)
        return state

    def run(self, job: Job) -> float:
        """Run one motion; return the host time of its end, s. Call inside `turn`.

        A motion that the watchdog ended during a silence is requested again.
        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        asked = job.asked
        for n_resumed in range(_RESUMES):
            try:
                ended = self._run_once(job)
            except MoveRefused as refused:
                if n_resumed == 0:
                    raise
                raise MoveStopped(f"interrupted by a silence, and then: {refused}") from refused
            if ended is None:
                self._link.stop()
                with contextlib.suppress(
                    MoveRefused
                ):  # it does not come to rest: the next request reports it
                    self.wait_for_rest(job.stops_in_s)
                raise LinkTimeout(
                    f"{asked} did not end in {job.expected_s * 1.5:.2f} s plus the slack; STOP was sent. "
                    "Check the motor supply, then home the axes."
                )
            result, completed_s = ended
            if result is MoveResult.ESTOP:
                self.forget()
            if result is not MoveResult.WATCHDOG or not self._link.heart.wait_for_beat():
                if result is MoveResult.STOPPED and self._has_only_own_stop:
                    raise _broken_off(asked)
                _raise_unless_done(result, asked)
                return completed_s
            message = msgspec.structs.replace(job.message, move_id=self.next_move_id())
            job = msgspec.structs.replace(job, message=message)
        raise MoveStopped(f"{asked} given up: the link failed {_RESUMES} times on the way. Check the cable.")

    def _run_once(self, job: Job) -> tuple[MoveResult, float] | None:
        """Request the motion and wait for its end: how and when it ended, or None past the deadline."""
        boots = self._link.boots
        try:
            self._request(job)
        except Refusal as refusal:
            if refusal.status == Status.ESTOP:
                self.forget()
            raise MoveRefused(f"{job.asked} refused by the board: {refusal.why}") from refusal
        except MoveStopped as stopped:
            # The one before came to its end before the STOP of the work.
            if self._has_only_own_stop:
                raise _broken_off(job.asked) from stopped
            raise
        self._link.heart.is_moving = True
        try:
            return self._wait_for_end(job, boots)
        finally:
            self._link.heart.is_moving = False

    def _request(self, job: Job) -> None:
        """Request the motion, after its way points. Raises Refusal, MoveStopped, LinkTimeout, PositionLost."""
        for n_asked in range(1, _RESUMES + 1):
            sessions = self._link.sessions
            try:
                for message in (*job.way_points, job.message):
                    self._link.request(message, messages.Ack, unless_stopped_since=self._stops)
                return
            except Refusal as refusal:
                is_another = self._link.sessions != sessions
                # Accepted in the previous session, whose answer was lost with it.
                if refusal.status == Status.DUPLICATE and is_another:
                    return
                # The board has dropped what it kept: the session has changed, or its watchdog has fired.
                was_dropped = refusal.status == Status.WAY_POINTS or (
                    refusal.status == Status.BAD_VALUE and is_another
                )
                if not (job.way_points and was_dropped) or n_asked == _RESUMES:
                    raise

    def _wait_for_end(self, job: Job, boots: int) -> tuple[MoveResult, float] | None:
        """How and when the motion ended, from its event or else from STATE; None past the deadline."""
        clock, link, move_id = self._link.clock, self._link, job.message.move_id
        poll_s = clock.now_s() + job.expected_s + _POLL_WALL_S * clock.speed
        sessions, deadline_s = link.sessions, self._deadline_s(job.expected_s)
        while True:
            done = self._awaited(move_id, min(poll_s, deadline_s))
            if done is not None:
                return MoveResult(done.result), self._host_s(done.board_time_us / 1e6)
            state = link.request(messages.StateRequest(), messages.State)
            if link.boots != boots:
                raise PositionLost(f"{job.asked} interrupted: the board has rebooted. Home the axes.")
            if state.last_move_id == move_id and state.last_result != MoveResult.RUNNING:
                return MoveResult(state.last_result), clock.now_s()
            if link.sessions != sessions:
                sessions, deadline_s = link.sessions, self._deadline_s(job.expected_s)
            if clock.now_s() >= deadline_s:
                return None
            poll_s = clock.now_s() + _POLL_WALL_S * clock.speed

    def _awaited(self, move_id: int, until_s: float) -> messages.MoveDone | None:
        """The event of a motion, None past `until_s`. Meanwhile there may be work."""
        clock, link = self._link.clock, self._link
        while self._work is not None and (now_s := clock.now_s()) < until_s:
            done = link.wait_for_move_done(move_id, min(until_s, now_s + _PIECE_WALL_S * clock.speed))
            if done is not None:
                return done
            if self._work():
                self._break_off()
        return link.wait_for_move_done(move_id, until_s)

    def _break_off(self) -> None:
        """Stop what moves, and do no more work in this block. Raises LinkTimeout, BoardNotFound, PositionLost."""
        self._work, self._is_broken_off = None, True
        self._link.stop()

    @property
    def _has_only_own_stop(self) -> bool:
        """Whether the work has stopped a motion, and nobody else one in this turn."""
        return self._is_broken_off and self._stops is not None and self._link.stops == self._stops + 1

    def _deadline_s(self, expected_s: float) -> float:
        """When a motion that should take `expected_s` from now counts as hung."""
        return self.now_s() + expected_s * 1.5 + _SLACK_WALL_S * self._link.clock.speed

    def _host_s(self, board_time_s: float) -> float:
        """Host time of a board time in the past, never too early."""
        latest_s, now_s = self._link.board_clock.latest_host_s(board_time_s), self.now_s()
        return now_s if latest_s is None else min(latest_s, now_s)


def _broken_off(asked: str) -> MoveBrokenOff:
    return MoveBrokenOff(f"{asked} broken off by what was done meanwhile")


def _raise_unless_done(result: MoveResult, asked: str) -> None:
    if result is MoveResult.DONE:
        return
    if result is MoveResult.STOPPED:
        raise MoveStopped(f"{asked} stopped before its end. Read the position, then decide again.")
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
