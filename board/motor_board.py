"""What the instrument needs of an open board, whichever protocol it speaks."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from parfocal.board.axis import Axis
from parfocal.board.capabilities import Capabilities
from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import MoveRefused
from parfocal.board.lamp import Lamp
from parfocal.board.motion.walk import Walk
from parfocal.board.status import BoardStatus


class MotorBoard(abc.ABC):
    """An open board. Every method may be called from any thread; `stop` overtakes all others.

    `axes`: every axis by its name, also as `x`, `y` and `z`. `capabilities`: what the board can do.
    `unit_serial`: what its calibration is kept under: the serial number of the board.
    """

    config: BoardConfig
    capabilities: Capabilities
    axes: Mapping[str, Axis]
    unit_serial: int

    @property
    def x(self) -> Axis:
        """The x axis."""
        return self.axes["x"]

    @property
    def y(self) -> Axis:
        """The y axis."""
        return self.axes["y"]

    @property
    def z(self) -> Axis:
        """The z axis, upwards to the objective."""
        return self.axes["z"]

    @property
    @abc.abstractmethod
    def lamp(self) -> Lamp:
        """Sets the lamp: `board.lamp(0.5)`."""

    def home(self, axes: Iterable[str] = ("z", "x", "y")) -> None:
        """Home `axes` in this order, z first so that nothing stands near the objective.

        Raises ValueError for an unknown axis, MoveRefused, MoveStopped, LinkTimeout, PositionLost.
        """
        asked = checked_names(axes, "home")
        with self.turn():
            for name in asked:
                self.axes[name].home()

    def arrive(self, *, x_um: float, y_um: float, z_um: float, either_way: bool = False) -> float:
        """Bring all axes to a place, Z upwards; return the time at which the stage is settled, s.

        X and Y arrive upwards too, unless `either_way`: then by the shortest way, and `Axis.stage_um` says where they
        stand. All axes move at once on a board that can; else Z goes first, so that it settles while X and Y move.
        Raises MoveRefused (nothing moved), MoveStopped, LinkTimeout, PositionLost.
        """
        with self.turn():
            walks = {"z": self.z.walk_up(z_um)}
            for name, to_um in (("x", x_um), ("y", y_um)):
                axis = self.axes[name]
                walks[name] = axis.walk_either_way(to_um) if either_way else axis.walk_up(to_um)
            return self.rests_from(self._walk_all(walks))

    def across(self, *, x_um: float, y_um: float) -> float:
        """Bring X and Y to a place upwards, one after the other; return the time at which the stage is settled, s.

        Raises MoveRefused, MoveStopped, LinkTimeout, PositionLost.
        """
        return self.rests_from(max(self.x.approach_up(x_um), self.y.approach_up(y_um)))

    def rests_from(self, settled_s: float) -> float:
        """Tell every axis when the whole stage is at rest; returns the latest such time that they were told, s. No I/O.

        A camera has frames ready from before. The first shot at a place is often taken with Z already standing at its
        height, and must still be exposed after X and Y came to rest.
        """
        return max(axis.rests_from(settled_s) for axis in self.axes.values())

    def _walk_all(self, walks: Mapping[str, Walk]) -> float:
        """Go along all walks; return the time at which the stage is settled, s."""
        return max(self.axes[name].walk_alone(walk) for name, walk in walks.items())

    def declare(self, x_um: float, y_um: float, z_um: float) -> None:  # noqa: ARG002  # only some boards need it
        """Take it that the stage stands there now. Only a board without switches needs it. Raises MoveRefused."""
        raise MoveRefused(
            "the position was not declared: this board finds it by itself. Run `parfocal home`."
        )

    @abc.abstractmethod
    def turn(self) -> AbstractContextManager[None]:
        """Hold the motors. A STOP sent after this call ends everything requested inside."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop every axis now, from any thread; what was moving ends with MoveStopped."""

    @abc.abstractmethod
    def estop(self) -> None:
        """Emergency stop now, from any thread: no more steps, lamp off, homing forgotten."""

    @abc.abstractmethod
    def clear_faults(self) -> None:
        """Clear what keeps the board from moving. Raises BoardError while its cause is there."""

    @abc.abstractmethod
    def status(self) -> BoardStatus:
        """The state in um and names. Raises LinkTimeout, PositionLost, BoardNotFound."""

    @abc.abstractmethod
    def close(self) -> None:
        """Stop, turn the lamp off, release the port. Idempotent; a board that is gone is closed as well."""

    def __enter__(self) -> MotorBoard:  # noqa: PYI034  # Self needs Python 3.11
        """The open board."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def checked_names(axes: Iterable[str], asked: str) -> tuple[str, ...]:
    """Names of axes. Raises ValueError for an unknown one."""
    names = tuple(axes)
    if unknown := [name for name in names if name not in AXIS_NAMES]:
        raise ValueError(f"{asked} {', '.join(unknown)} refused: the axes are x, y, z")
    return names
