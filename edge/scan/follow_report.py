"""What following a field did, as it is written to JSON."""

import msgspec

from parfocal.calib.value import UsedCalibration
from parfocal.edge.focus.following.follower import Follower, FollowEvent
from parfocal.edge.scan.report import FieldReport

MAX_EVENTS = 10_000  # the newest: following may go on for days


class FollowReport(msgspec.Struct, frozen=True):
    """One field that was focused and then followed.

    `frames` were looked at, `unsharp_frames` of them clearly less sharp than the best before. `patches` of each frame
    went to the model. `events`: moves and alarms; `earlier_events` happened before the first of them.
    """

    field: FieldReport
    followed_s: float
    frames: int
    unsharp_frames: int
    patches: int
    events: tuple[FollowEvent, ...]
    earlier_events: int = 0
    calibration: UsedCalibration | None = None


class FollowLog:
    """The events of a run, of which the newest are kept."""

    def __init__(self, field: FieldReport, patches: int, calibration: UsedCalibration | None) -> None:
        """`patches`: as in the report."""
        self._field, self._patches, self._calibration = field, patches, calibration
        self._events: list[FollowEvent] = []
        self._n_earlier = 0

    def add(self, event: FollowEvent) -> None:
        """Keep one more event."""
        self._events.append(event)
        if len(self._events) > MAX_EVENTS:
            self._n_earlier += len(self._events) - MAX_EVENTS // 2
            del self._events[: -(MAX_EVENTS // 2)]

    def report(self, follower: Follower, followed_s: float) -> FollowReport:
        """What has been done so far."""
        return FollowReport(
            self._field,
            followed_s,
            follower.frames,
            follower.unsharp_frames,
            self._patches,
            tuple(self._events),
            self._n_earlier,
            self._calibration,
        )
