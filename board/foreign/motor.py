"""The motor of a foreign board: a move is begun, watched and held against the position that the board reports.

Lines of text have no checksum and no number. So nothing is believed: the position is read before a move and after it,
and a move that ended anywhere but at its target is an error, whatever the board has acknowledged.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from parfocal.board.config import AXIS_NAMES, AxisConfig
from parfocal.board.errors import LinkTimeout, MoveRefused, MoveStopped, PositionLost
from parfocal.board.foreign.dialect import Dialect, Report
from parfocal.board.motion.profile import Trapezoid
from parfocal.board.motor import MotorRatings, Rates, Standstill

_POLL_WALL_S = (
    0.02  # grbl 1.1 interface.md: a report takes 5 to 20 ms, and more than 10 a second load the board
)
_SLACK_WALL_S = 1.0  # what a stalled host or board may add to a move before it counts as hung


class ForeignMotor:
    """The `Motor` of one axis of a foreign board."""

    def __init__(self, name: str, config: AxisConfig, ratings: MotorRatings, dialect: Dialect) -> None:
        """`name`: x, y or z. `config` gives errors in um."""
        self.ratings = ratings
        self._name, self._config, self._dialect = name, config, dialect
        self._index = AXIS_NAMES.index(name)

    @property
    def epoch(self) -> int:
        """A number that changes when known positions stop being true: after a restart, an alarm, a homing."""
        return self._dialect.turns.n_forgotten

    def turn(self) -> AbstractContextManager[None]:
        """Hold the board's motors. A STOP sent after this call ends everything requested inside."""
        return self._dialect.turns.turn()

    def move(self, target_steps: int, delta_steps: int, rates: Rates) -> float:
        """Move to `target_steps`, which is `delta_steps` away; return the host time of the end, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        from_steps = target_steps - delta_steps
        asked = f"move to {self._name}={self._um(target_steps)} um"
        before = self._resting(asked)
        if not self._is_at(before, from_steps):
            self._dialect.turns.n_forgotten += 1
            raise PositionLost(
                f"{asked} not begun: the board reports {self._um(before.pos_steps[self._index])} um where "
                f"{self._um(from_steps)} um was left. Something else has moved it, or it has restarted. "
                f"Run {self.ratings.how_to_home}."
            )
        acknowledged = self._dialect.begin(self._index, from_steps, target_steps, rates)
        after = self._ended(
            Trapezoid(abs(delta_steps), rates.speed_steps_per_s, rates.accel_steps_per_s2), asked
        )
        others_rest = all(
            i == self._index or abs(at - was) <= self._dialect.tolerance_steps[i]
            for i, (at, was) in enumerate(zip(after.pos_steps, before.pos_steps, strict=True))
        )
        if self._is_at(after, target_steps) and others_rest and not after.fault:
            return self._dialect.clock.now_s()
        self._raise_early(asked, after, from_steps, acknowledged)
        raise AssertionError  # unreachable: the call above always raises

    def home(self, rates: Rates) -> float:  # noqa: ARG002  # these boards home at a speed of their own
        """Tie the counter to the stage, end at 0 moving upwards; return the host time of the end, s.

        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        self._dialect.home(self._index)
        return self._dialect.clock.now_s()

    def standstill(self) -> Standstill:
        """Wait until every motor is at rest; return where this one stands.

        Raises MoveRefused when one keeps moving, LinkTimeout, PositionLost.
        """
        report = self._waited(self._dialect.clock.now_s() + _SLACK_WALL_S * self._dialect.clock.speed)
        if not report.is_resting and not report.fault:
            raise MoveRefused(f"{self._name} is already moving ({report.state}). Stop it first.")
        is_homed = report.is_homed and not report.fault
        return Standstill(report.pos_steps[self._index], is_homed, self._dialect.clock.now_s())

    def _resting(self, asked: str) -> Report:
        """The state before a move. Raises MoveStopped, PositionLost, MoveRefused where no move may begin."""
        if self._dialect.turns.is_stopped:
            raise MoveStopped(f"{asked} stopped before it began. Read the position, then decide again.")
        report = self._dialect.report()
        if report.fault or not report.is_homed:
            self._dialect.turns.n_forgotten += 1
            if report.fault:
                raise PositionLost(f"{asked} not begun: {report.fault}. Run `parfocal home --clear-faults`.")
            raise PositionLost(
                f"{asked} not begun: the board no longer knows its position. Run {self.ratings.how_to_home}."
            )
        if not report.is_resting:
            raise MoveRefused(f"{asked} refused: the board is busy ({report.state}); nothing moved.")
        return report

    def _ended(self, profile: Trapezoid, asked: str) -> Report:
        """The state after the motion. Raises LinkTimeout past the deadline; the board was then told to stop."""
        clock = self._dialect.clock
        expected_s = profile.duration_s
        stops_in_s = profile.speed_steps_per_s / profile.accel_steps_per_s2
        report = self._waited(clock.now_s() + expected_s * 1.5 + _SLACK_WALL_S * clock.speed)
        if report.is_resting or report.fault:
            return report
        self._dialect.halt()
        self._waited(clock.now_s() + stops_in_s + _SLACK_WALL_S * clock.speed)
        raise LinkTimeout(
            f"{asked} did not end in {expected_s * 1.5:.2f} s plus the slack; it was told to stop. "
            f"Check the motor supply, then run {self.ratings.how_to_home}."
        )

    def _waited(self, deadline_s: float) -> Report:
        """The first state at rest or with a fault, else the state at `deadline_s`. A STOP is repeated until it acts."""
        clock = self._dialect.clock
        while True:
            report = self._dialect.report()
            if report.is_resting or report.fault or clock.now_s() >= deadline_s:
                return report
            if self._dialect.turns.is_stopped:
                self._dialect.halt()
            clock.sleep_s(_POLL_WALL_S * clock.speed)

    def _raise_early(self, asked: str, after: Report, from_steps: int, acknowledged: bool) -> None:
        at_um = self._um(after.pos_steps[self._index])
        if after.fault:
            self._dialect.turns.n_forgotten += 1
            raise PositionLost(f"{asked} ended early: {after.fault}. Run `parfocal home --clear-faults`.")
        if self._dialect.turns.is_stopped:
            raise MoveStopped(f"{asked} stopped at {at_um} um. Read the position, then decide again.")
        if not acknowledged and self._is_at(after, from_steps):
            raise LinkTimeout(
                f"{asked} was not acknowledged, and nothing moved. Check the cable, then try again."
            )
        self._dialect.turns.n_forgotten += 1  # another axis may have moved: each reads its position again
        raise MoveStopped(
            f"{asked} ended at {at_um} um. Something else has stopped it, or its line was damaged on the way. "
            "Check the cable."
        )

    def _is_at(self, report: Report, steps: int) -> bool:
        return abs(report.pos_steps[self._index] - steps) <= self._dialect.tolerance_steps[self._index]

    def _um(self, pos_steps: int) -> float:
        return round(pos_steps * self._config.um_per_step, 3)
