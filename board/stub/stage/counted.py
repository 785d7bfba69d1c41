"""The three axes of a stub with the step counters of its board, and the legs that a request makes of its targets."""

from __future__ import annotations

from collections.abc import Sequence

from parfocal.board.stub.stage.mechanics import AxisMechanics
from parfocal.board.wire.messages import Sweep, Triple, WayPoint

Z = 2


class CountedStage:
    """Axes, and what each of their counters reads. Times are those of the stub's clock, targets those of the wire."""

    def __init__(self, axes: Sequence[AxisMechanics]) -> None:
        self.axes = tuple(axes)
        self._zero_counts = [0, 0, 0]
        self.read_zero()

    def read_zero(self) -> None:
        """The counters read 0 where the axes stand, as at power-up."""
        self._zero_counts = [axis.end_count for axis in self.axes]

    def end_at_zero(self, i: int) -> None:
        """The counter of one axis reads 0 where it comes to rest, as after a homing."""
        self._zero_counts[i] = self.axes[i].end_count

    def counters(self, time_s: float) -> Triple:
        """What the counters read."""
        x, y, z = (
            axis.count_at(time_s) - zero for axis, zero in zip(self.axes, self._zero_counts, strict=True)
        )
        return x, y, z

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z, um."""
        x, y, z = (axis.true_um(time_s) for axis in self.axes)
        return x, y, z

    def closed(self, time_s: float) -> int:
        """The limit switches that are pressed, as in STATE."""
        contacts = [contact for axis in self.axes for contact in axis.sensed_at(time_s)[1:]]
        return sum(contact << i for i, contact in enumerate(contacts))

    def reaches_s(self, i: int, after_s: float, at_steps: int, sign: int) -> float:
        """When a planned step in the direction of `sign` makes the counter `at_steps`; infinity when none does."""
        return self.axes[i].reaches_s(after_s, at_steps + self._zero_counts[i], sign)

    def drive(
        self, start_s: float, i: int, target_steps: int, speed_steps_per_s: int, accel_steps_per_s2: int
    ) -> float:
        """Plan a leg to a target; return when it ends on a switch, infinity if on none."""
        axis = self.axes[i]
        delta_steps = target_steps + self._zero_counts[i] - axis.end_count
        if delta_steps == 0 or axis.drive(start_s, delta_steps, speed_steps_per_s, accel_steps_per_s2):
            return float("inf")
        return max(axis.end_s, start_s)

    def sweep(self, lead: int, request: Sweep, points: Sequence[WayPoint], now_s: float) -> float:
        """Plan a sweep along the axis `lead`: each leg of Z begins where that has reached its position.

        Returns when an axis ends on a switch, infinity if none does; then no leg of Z begins any more.
        """
        at_steps = self.counters(now_s)[lead]
        sign = 1 if request.target_steps >= at_steps else -1
        rates = request.speed_steps_per_s, request.accel_steps_per_s2
        switch_s, ended_s = self.drive(now_s, lead, request.target_steps, *rates), now_s
        for point in points:
            is_passed = (at_steps - point.at_steps) * sign >= 0
            reached_s = now_s if is_passed else self.reaches_s(lead, now_s, point.at_steps, sign)
            begins_s = max(reached_s, ended_s)
            if begins_s >= switch_s:
                break
            rates = point.z_speed_steps_per_s, point.z_accel_steps_per_s2
            switch_s = min(switch_s, self.drive(begins_s, Z, point.z_steps, *rates))
            ended_s = max(begins_s, self.axes[Z].end_s)
        return switch_s
