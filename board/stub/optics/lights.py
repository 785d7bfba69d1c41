"""What a stub does beside moving: lamp, camera triggers and lens, with the reasons to refuse them."""

from __future__ import annotations

from collections import deque

from parfocal.board.stub.optics.lamp import LampDriver, refusal_of_positions
from parfocal.board.stub.optics.lens import LensDriver
from parfocal.board.wire.messages import (
    AxisBit,
    Fault,
    Lamp,
    Lens,
    PositionTrigger,
    SetCurrent,
    Status,
    Strobe,
)

_KEPT_TRIGGERS = 1024
SINGLE_AXES = (AxisBit.X, AxisBit.Y, AxisBit.Z)


class Lights:
    """Lamp, triggers and lens of one board. Times are those of the stub's clock."""

    def __init__(self, now_s: float, lens: Lens) -> None:
        """`lens`: the range of its current."""
        self._triggers_s: deque[float] = deque(maxlen=_KEPT_TRIGGERS)
        self.lamp = LampDriver(now_s)
        self.lens = LensDriver(lens)

    @property
    def is_used(self) -> bool:
        """Whether something is on or will be, which the watchdog guards."""
        return self.lamp.is_used or self.lens.current_ua != 0

    def set_lamp(self, request: Lamp, faults: Fault, now_s: float) -> Status:
        """Carry out LAMP."""
        refusal = refusal_of(faults) if request.duty else Status.OK
        return self.lamp.set(request, now_s) if refusal is Status.OK else refusal

    def strobe(self, request: Strobe, faults: Fault, now_s: float) -> Status:
        """Carry out STROBE."""
        refusal = refusal_of(faults) if request.count else Status.OK
        return self.lamp.strobe(request, now_s) if refusal is Status.OK else refusal

    def trigger_at(
        self,
        request: PositionTrigger,
        faults: Fault,
        now_s: float,
        ready: AxisBit | None,
        max_steps: tuple[int, ...],
    ) -> Status:
        """Carry out POSITION_TRIGGER. `ready`: the axes that are homed; None while something moves."""
        refusal = refusal_of(faults) if request.count else Status.OK
        if refusal is not Status.OK:
            return refusal
        if request.strobe_id <= self.lamp.last_strobe_id:
            return Status.DUPLICATE
        if request.count:
            if ready is None:
                return Status.BUSY
            if request.axes not in SINGLE_AXES:
                return Status.BAD_VALUE
            i = SINGLE_AXES.index(AxisBit(request.axes))
            refusal = refusal_of_positions(request, bool(ready & request.axes), max_steps[i])
        if refusal is Status.OK:
            self.lamp.arm(request, now_s)
        return refusal

    def set_current(self, request: SetCurrent, faults: Fault) -> Status:
        """Carry out SET_CURRENT."""
        refusal = refusal_of(faults) if request.current_ua else Status.OK
        return self.lens.set(request) if refusal is Status.OK else refusal

    def switch_off(self, now_s: float) -> None:
        """Everything off."""
        self.lamp.darken(now_s)
        self.lens.switch_off()

    def note_trigger(self, time_s: float) -> None:
        """A trigger was given."""
        self._triggers_s.append(time_s)

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        return tuple(time_s for time_s in self._triggers_s if time_s > after_s)

    def restart(self, now_s: float) -> None:
        """Forget everything but what has happened: the processor restarts."""
        self.switch_off(now_s)
        before, self.lamp = self.lamp, LampDriver(now_s)
        self.lamp.continue_history(before)


def refusal_of(faults: Fault) -> Status:
    """Why nothing may move or be switched on now, or OK."""
    if faults & Fault.ESTOP:
        return Status.ESTOP
    return Status.WATCHDOG if faults & Fault.WATCHDOG else Status.OK
