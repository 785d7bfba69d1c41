"""An open board whose Z is a tunable lens; X, Y and everything else are those of the board below."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import MappingProxyType

from parfocal.board.axis import Axis
from parfocal.board.clock import Clock
from parfocal.board.config import AxisConfig
from parfocal.board.lamp import Lamp
from parfocal.board.lens import Lens, LensCurve
from parfocal.board.motor_board import MotorBoard
from parfocal.board.status import BoardStatus
from parfocal.board.tunable.lens_motor import UM_PER_STEP, LensMotor, LensMount

_AT_ONCE = 1e6  # um/s: a current needs no ramp


class LensBoard(MotorBoard):
    """A board that focuses with the lens. It is as open as the board below, which whoever opened it closes."""

    def __init__(
        self, under: MotorBoard, lens: Lens, curve: LensCurve, mount: LensMount, clock: Clock
    ) -> None:
        """Nothing moves. Raises BoardError."""
        self._under = under
        self.config, self.capabilities, self.unit_serial = under.config, under.capabilities, under.unit_serial
        low_um, high_um = curve.range_um
        z = Axis(
            "z",
            AxisConfig(
                um_per_step=UM_PER_STEP,
                min_um=mount.park_um + low_um,
                max_um=mount.park_um + high_um,
                speed_um_per_s=_AT_ONCE,
                accel_um_per_s2=_AT_ONCE,
                play_um=mount.play_um,
                settle_s=0.0,
                microsteps=1,
            ),
            LensMotor(lens, curve, under.z, mount, clock),
        )
        self.axes = MappingProxyType({**under.axes, "z": z})

    @property
    def lamp(self) -> Lamp:
        """The lamp of the board."""
        return self._under.lamp

    def home(self, axes: Iterable[str] = ("z", "x", "y")) -> None:
        """Home the motors, Z first. Raises as `MotorBoard.home`."""
        self._under.home(axes)
        self.z.read_position()

    def turn(self) -> AbstractContextManager[None]:
        """Hold the motors."""
        return self._under.turn()

    def stop(self) -> None:
        """Stop every motor now, from any thread."""
        self._under.stop()

    def estop(self) -> None:
        """Emergency stop now, from any thread."""
        self._under.estop()

    def clear_faults(self) -> None:
        """Clear what keeps the board from moving. Raises BoardError while its cause is there."""
        self._under.clear_faults()

    def status(self) -> BoardStatus:
        """The state of the board; z is the height of its motor."""
        return self._under.status()

    def close(self) -> None:
        """Close the board below."""
        self._under.close()
