"""A board assembled from the motors of a foreign dialect: the same axes, limits and approaches as on our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Protocol, final

from parfocal.board.axis import Axis, steps_from_um, um_from_steps
from parfocal.board.capabilities import Capabilities
from parfocal.board.config import AXIS_NAMES, BoardConfig
from parfocal.board.errors import BoardError, MoveRefused
from parfocal.board.foreign.dialect import Dialect, Report
from parfocal.board.foreign.motor import ForeignMotor
from parfocal.board.lamp import Lamp
from parfocal.board.motor import MotorRatings
from parfocal.board.motor_board import MotorBoard
from parfocal.board.status import AxisStatus, BoardStatus, cannot_promise


class Controller(Dialect, Protocol):
    """A `Dialect` with what concerns the whole board."""

    def ratings(self, index: int) -> MotorRatings:
        """What the motor of one axis can do."""
        ...

    def declare(self, pos_steps: tuple[int, int, int]) -> None:
        """Take it that the stage stands there now."""
        ...

    def light(self, duty: float) -> None:
        """Set the lamp, 0..1, and read it back. Raises LinkTimeout, BoardError when refused."""
        ...

    def stop(self, at_once: bool = False) -> None:
        """Stop every axis, from any thread. `at_once`: without a ramp, lamp off, positions forgotten."""
        ...

    def clear_faults(self) -> None:
        """Clear what keeps the board from moving. Raises LinkTimeout, BoardNotFound."""
        ...

    def close(self) -> None:
        """Release the port. Idempotent."""
        ...


@final
class ForeignBoard(MotorBoard):
    """An open board that does not speak our protocol. `capabilities` says what it cannot promise."""

    def __init__(
        self, controller: Controller, config: BoardConfig, capabilities: Capabilities, unit_serial: int
    ) -> None:
        """`controller` is open. Nothing moves; the lamp goes off. Raises LinkTimeout, PositionLost."""
        self.config, self.capabilities, self.unit_serial = config, capabilities, unit_serial
        self._controller = controller
        self._lamp = _ForeignLamp(controller, capabilities.has_lamp)
        self._is_closed = False
        try:
            if capabilities.has_lamp:
                controller.light(0.0)  # a host that was killed may have left it on
            self.axes = MappingProxyType(
                {
                    name: Axis(
                        name,
                        config.axis(name),
                        ForeignMotor(name, config.axis(name), controller.ratings(i), controller),
                    )
                    for i, name in enumerate(AXIS_NAMES)
                }
            )
        except BoardError:
            controller.close()
            raise

    @property
    def lamp(self) -> Lamp:
        """Sets the lamp: `board.lamp(0.5)`."""
        return self._lamp

    def home(self, axes: Iterable[str] = ("z", "x", "y")) -> None:
        """Home `axes`, z first. Raises as `MotorBoard.home`; MoveRefused where the board has no switches."""
        if not self.capabilities.has_homing:
            raise MoveRefused(
                "homing refused: this board has no switches to home to; nothing moved. Bring the stage to a known "
                "place, upwards at last, then say where it is in um: `parfocal home --here X,Y,Z`."
            )
        super().home(axes)

    def declare(self, x_um: float, y_um: float, z_um: float) -> None:
        """Take it that the stage stands there now.

        Raises MoveRefused for a board that can home, ValueError for a position outside the limits; LinkTimeout.
        """
        if self.capabilities.has_homing:
            super().declare(x_um, y_um, z_um)
        steps = []
        for axis, at_um in zip(self.axes.values(), (x_um, y_um, z_um), strict=True):
            low_um, high_um = axis.config.min_um, axis.config.highest_um
            if not low_um <= at_um <= high_um:
                raise ValueError(f"{axis.name}={at_um} um is outside the limits {low_um}..{high_um} um")
            steps.append(steps_from_um(at_um, axis.config.um_per_step))
        x, y, z = steps
        with self.turn():
            self._controller.declare((x, y, z))
            for axis in self.axes.values():
                axis.read_position()

    def turn(self) -> AbstractContextManager[None]:
        """Hold the motors. A STOP sent after this call ends everything requested inside."""
        return self._controller.turns.turn()

    def stop(self) -> None:
        """Stop every axis now, from any thread; what was moving ends with MoveStopped."""
        self._controller.stop()

    def estop(self) -> None:
        """Emergency stop now, from any thread: no more steps, lamp off, homing forgotten. It does not latch."""
        self._controller.stop(at_once=True)

    def clear_faults(self) -> None:
        """Clear an alarm. The axes must be homed afterwards. Raises LinkTimeout, BoardNotFound."""
        with self.turn():
            self._controller.clear_faults()

    def status(self) -> BoardStatus:
        """The state in um and names. Raises LinkTimeout, PositionLost, BoardNotFound."""
        report = self._controller.report()
        x, y, z = (self._axis_status(i, report) for i in range(3))
        return BoardStatus(
            x=x,
            y=y,
            z=z,
            lamp_duty=report.lamp_duty,
            faults=(report.fault,) if report.fault else (),
            last_result="none",
            board_time_s=None,
            frames_done=0,
            cannot=cannot_promise(self.capabilities),
        )

    def close(self) -> None:
        """Stop, turn the lamp off, release the port. Idempotent; a board that is gone is closed as well."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with contextlib.suppress(BoardError):
                self._controller.stop()
                if self.capabilities.has_lamp:
                    self._controller.light(0.0)
        finally:
            self._controller.close()

    def _axis_status(self, i: int, report: Report) -> AxisStatus:
        name = AXIS_NAMES[i]
        axis, own = self.axes[name], f"{name}_"
        position_um = um_from_steps(report.pos_steps[i], axis.config.um_per_step)
        return AxisStatus(
            position_um=position_um if report.is_homed else None,
            limits_um=axis.limits_um,
            is_homed=report.is_homed,
            is_moving=not report.is_resting,
            is_motor_on=True,
            switches=tuple(switch.removeprefix(own) for switch in report.switches if switch.startswith(own)),
        )


class _ForeignLamp:
    """The lamp of a foreign board."""

    def __init__(self, controller: Controller, is_there: bool) -> None:
        self._controller, self._is_there = controller, is_there

    def __call__(self, duty: float, on_time_s: float | None = None) -> None:
        """Set the lamp to `duty`, 0..1. Raises ValueError, LinkTimeout, BoardError; also for any `on_time_s`."""
        if not 0.0 <= duty <= 1.0:
            raise ValueError(f"lamp duty {duty} is invalid: it must be 0..1")
        if not self._is_there:
            raise BoardError("lamp refused: this board has none. Turn the light on by hand.")
        if on_time_s is not None:
            raise BoardError("lamp refused: this board cannot turn it off by itself. Leave the on-time out.")
        self._controller.light(duty)
