"""A board at the end of a wire, over a stage that is not there: the Python stub, or the firmware in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from parfocal.board.stub.stage.switches import Switches
from parfocal.board.wire.messages import State
from parfocal.board.wire.packet import FrameErrors


class WiredAxis(Protocol):
    """The mechanics of one axis."""

    @property
    def switches(self) -> Switches:
        """Its limit switches, whose contacts may stick."""
        ...

    @property
    def end_s(self) -> float:
        """Time of the last step."""
        ...

    @property
    def end_stage_um(self) -> float:
        """Stage position after the last step."""
        ...

    def lose_steps(self, n_steps: int) -> None:
        """Lose the next `n_steps`."""
        ...

    def lower_closed(self, time_s: float) -> bool:
        """Whether the contact of the lower switch is closed at `time_s`, bounce included."""
        ...

    def true_um(self, time_s: float) -> float:
        """True position of the stage, um."""
        ...


class WiredMachine(Protocol):
    """Motors, switches, lamp and time of a board, whatever runs them."""

    @property
    def now_s(self) -> float:
        """Time advanced to."""
        ...

    @property
    def axes(self) -> Sequence[WiredAxis]:
        """The mechanics of x, y, z."""
        ...

    @property
    def motions_begun(self) -> int:
        """Motions since it was made, through all reboots."""
        ...

    @property
    def estop_pressed(self) -> bool:
        """Whether the button is pressed."""
        ...

    @property
    def lens_ua(self) -> int:
        """Current through the lens, uA."""
        ...

    def watch_lens(self, changed: Callable[[float, int], None]) -> None:
        """Call `changed` with the time, s, and the current, uA, whenever the current of the lens changes."""
        ...

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        ...

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the camera triggers after `after_s`."""
        ...

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        ...

    def next_due_s(self) -> float:
        """When something next happens by itself, s; infinity when nothing will."""
        ...

    def state(self) -> State:
        """The answer to STATE."""
        ...

    def press_estop(self, pressed: bool) -> None:
        """Press or release the button."""
        ...


class WiredInput(Protocol):
    """The frames that reach a board."""

    @property
    def errors(self) -> FrameErrors:
        """Damaged frames since the last start."""
        ...

    def reset(self) -> None:
        """Drop a frame that has begun."""
        ...


class WiredBoard(Protocol):
    """A board without time of its own: every call passes the time, which never goes back."""

    @property
    def machine(self) -> WiredMachine:
        """What is behind the wire."""
        ...

    @property
    def decoder(self) -> WiredInput:
        """The frames that reach it."""
        ...

    @property
    def session(self) -> int:
        """Number of the open session, 0 for none."""
        ...

    def receive(self, data: bytes, time_s: float) -> None:
        """Take bytes that arrive at `time_s`."""
        ...

    def advance(self, time_s: float) -> None:
        """Let time pass until `time_s`."""
        ...

    def reboot(self) -> None:
        """Restart where the stage stands now, under a new boot_id."""
        ...

    def take_output(self) -> list[tuple[float, bytes]]:
        """Frames sent since the last call, in order, each with the time it was sent."""
        ...

    def true_um(self, time_s: float) -> tuple[float, float, float]:
        """True x, y, z at `time_s`, um. Raises ValueError outside the history."""
        ...

    def lamp_duty(self, time_s: float) -> float:
        """Duty of the lamp at `time_s`, 0..1. Raises ValueError outside the history."""
        ...
