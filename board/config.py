"""Configuration of the board: frozen structs, read from TOML by the instrument."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parfocal.board.gpio import GpioConfig

AXIS_NAMES = ("x", "y", "z")
BOARD_KINDS = ("parfocal", "grbl", "sangaboard", "micromanager")
PORT_KINDS = BOARD_KINDS[:-1]  # those at a serial port
# Keys that only some kinds of board know.
_KEYS_OF_KINDS = {
    "watchdog_s": ("parfocal",),
    "lamp_watchdog_s": ("parfocal",),
    "reconnect_s": ("parfocal",),
    "spindle_lamp": ("grbl",),
    "micromanager": ("micromanager",),
}

# No stage of a microscope lies outside these: such a value is a typing error, or fits no wire type.
_RANGES: dict[str, tuple[float, float]] = {
    "um_per_step": (1e-4, 1e3),
    "min_um": (-1e6, 1e6),
    "max_um": (-1e6, 1e6),
    "speed_um_per_s": (1e-1, 1e6),
    "accel_um_per_s2": (1e-1, 1e8),
    "play_um": (0.0, 1e4),
    "settle_s": (0.0, 60.0),
    "swing_um": (0.0, 1e3),
    "screw_error_um": (0.0, 1e3),
    "drift_um": (0.0, 1e3),
    "microsteps": (1, 256),
}


class AxisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One axis as the host sees it.

    `play_um` is the measured play of the gear. Too large a value costs time, too small a value costs accuracy.
    `settle_s` is the time after the last step until an exposure may begin.
    `max_um` holds for the true position, so commanded positions end `upper_margin_um` below it. The stage may stand
    above its command by `swing_um` after a stop, by `screw_error_um` along a turn of the screw, by `drift_um` in a
    night, and by half a full step, `microsteps` / 2, when its motor loses its current.
    An actuator without play, such as a lens, has `play_um` 0; see `MotorRatings`.
    """

    um_per_step: float
    min_um: float
    max_um: float
    speed_um_per_s: float
    accel_um_per_s2: float
    play_um: float
    settle_s: float
    swing_um: float = 0.0
    screw_error_um: float = 0.0
    drift_um: float = 0.0
    microsteps: int = 16

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:  # false for NaN, too
                raise ValueError(f"{name} = {getattr(self, name)!r:.20}: it must be {low:.7g}..{high:.7g}")
        for name in ("speed_um_per_s", "accel_um_per_s2"):
            if getattr(self, name) < self.um_per_step:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: it must be a step of {self.um_per_step} um or more"
                )
        if self.highest_um - self.min_um < self.um_per_step:
            raise ValueError(
                f"limits {self.min_um}..{self.max_um} um leave no room for one step below the margin of "
                f"{self.upper_margin_um} um"
            )

    @property
    def upper_margin_um(self) -> float:
        """How far the stage may truly stand above its command, um. One step of it is the resolution of homing."""
        falls_um = self.microsteps / 2 * self.um_per_step
        return self.um_per_step + falls_um + self.swing_um + self.screw_error_um + self.drift_um

    @property
    def highest_um(self) -> float:
        """The highest position that may be commanded, um."""
        return self.max_um - self.upper_margin_um


# Lead 1 mm, 200 steps, 1/16: 0.3125 um; play up to 20 um, 0.5 um accuracy upwards (dastidar2020 4.1).
# 14 um take 47 ms.
Z_DEFAULT = AxisConfig(
    um_per_step=0.3125,
    min_um=0.0,
    max_um=5000.0,
    speed_um_per_s=1000.0,
    accel_um_per_s2=25000.0,
    play_um=20.0,
    settle_s=0.05,
    swing_um=0.5,
    screw_error_um=0.5,
    drift_um=1.0,  # 20 mm of aluminium and 2 K: 0.9 um
)
# Lead 4 mm, 200 steps, 1/16: 1.25 um; 100 um accuracy with the play in it (dastidar2020 4.1).
# 420 um take 0.15 s.
X_DEFAULT = AxisConfig(
    um_per_step=1.25,
    min_um=0.0,
    max_um=75000.0,
    speed_um_per_s=10000.0,
    accel_um_per_s2=75000.0,
    play_um=60.0,
    settle_s=0.1,
    swing_um=2.0,
    screw_error_um=2.0,
)
Y_DEFAULT = msgspec.structs.replace(X_DEFAULT, max_um=25000.0)


class BoardConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The board and its three axes.

    `kind`: the protocol that it speaks, one of `BOARD_KINDS`.
    `port`: a path, or `usb:VID:PID` or `usb:VID:PID:SERIAL` in hexadecimal.
    `watchdog_s`: silence of the host after which the board stops a motion and turns the lamp off.
    `lamp_watchdog_s`: the same while nothing moves. It is longer because a lit lamp harms less than a running motor,
    and a host that loads an engine may be silent for a while. Both are wall time.
    `reconnect_s`: wall time to look for a port that is gone, before BoardNotFound.
    `spindle_lamp`: a Grbl board dims the lamp with the PWM of its spindle.
    `micromanager`: the configuration file of Micro-Manager that has the stages.
    `gpio`: lines beside USB; only those whose pins are given.
    """

    kind: str = "parfocal"
    port: str = "/dev/ttyACM0"
    baud: int = 115200
    x: AxisConfig = X_DEFAULT
    y: AxisConfig = Y_DEFAULT
    z: AxisConfig = Z_DEFAULT
    watchdog_s: float = 0.25
    lamp_watchdog_s: float = 2.0
    reconnect_s: float = 5.0
    spindle_lamp: bool = False
    micromanager: str = ""
    gpio: GpioConfig = GpioConfig()

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid field."""
        if self.kind not in BOARD_KINDS:
            raise unknown_kind(self.kind)
        if not 1200 <= self.baud <= 12_000_000:
            raise ValueError(f"baud = {self.baud!r:.20}: it must be 1200..12000000")
        if not 0.1 <= self.watchdog_s <= self.lamp_watchdog_s <= 60.0:
            raise ValueError(
                f"watchdog_s = {self.watchdog_s}, lamp_watchdog_s = {self.lamp_watchdog_s}: "
                "they must be 0.1..60 s, and the lamp's not shorter"
            )
        if not 0.0 <= self.reconnect_s <= 600.0:
            raise ValueError(f"reconnect_s = {self.reconnect_s}: it must be 0..600 s")
        if self.kind == "micromanager" and not self.micromanager:
            raise ValueError(
                "kind = 'micromanager' without micromanager: name Micro-Manager's configuration file there"
            )
        for field in msgspec.structs.fields(self):
            kinds = _KEYS_OF_KINDS.get(field.name, BOARD_KINDS)
            if self.kind not in kinds and getattr(self, field.name) != field.default:
                raise ValueError(
                    f"{field.name} is a key of kind = {kinds[0]!r} only, and kind = {self.kind!r}"
                )

    @property
    def address(self) -> str:
        """Where the board is: its port, or the file that names its devices."""
        return self.micromanager or self.port

    def axis(self, name: str) -> AxisConfig:
        """The axis of that name, one of `AXIS_NAMES`."""
        return {"x": self.x, "y": self.y, "z": self.z}[name]


class LensConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tunable lens in front of the camera.

    `kind`: no lens, one that the board drives, or an Optotune Lens Driver 4 at `port`.
    `min_ma`, `max_ma` and `step_ma`: the currents at which `parfocal calibrate lens` measures (liao2021 appendix D).
    `settle_s` is the time after a change of the current until an exposure may begin; left out, as it was measured.
    `focuses`: everything focuses with the lens. The Z motor then stands at `park_um`; left out, where it finds
    the focus of the first field itself.
    """

    kind: Literal["none", "board", "optotune"] = "none"
    port: Annotated[str, msgspec.Meta(min_length=1)] = "/dev/ttyACM1"
    min_ma: Annotated[float, msgspec.Meta(ge=-1000.0, le=1000.0)] = -120.0
    max_ma: Annotated[float, msgspec.Meta(ge=-1000.0, le=1000.0)] = 120.0
    step_ma: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)] = 10.0
    settle_s: Annotated[float, msgspec.Meta(ge=0.0, le=60.0)] | None = None
    focuses: bool = False
    park_um: Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError naming the invalid keys."""
        if not self.min_ma <= 0.0 <= self.max_ma or self.max_ma - self.min_ma < 6.0 * self.step_ma:
            raise ValueError(
                f"min_ma = {self.min_ma:g}, max_ma = {self.max_ma:g}, step_ma = {self.step_ma:g}: 0 must lie between "
                "the first two, and they must be six steps apart or more"
            )
        if self.focuses and self.kind == "none":
            raise ValueError("focuses = true needs a lens: set kind to 'board' or 'optotune'")


def unknown_kind(kind: str) -> ValueError:
    """The error of a kind of board that is not built."""
    return ValueError(f"kind = {kind!r}: the known kinds of board are {', '.join(map(repr, BOARD_KINDS))}")
