"""What a person must say about an instrument, and what follows from it: pure arithmetic of objective and screws."""

from __future__ import annotations

import re

import msgspec

from parfocal.board.config import AXIS_NAMES, X_DEFAULT, Y_DEFAULT, Z_DEFAULT, AxisConfig
from parfocal.edge.camera.v4l2 import Mode
from parfocal.edge.config import CameraConfig

DEFAULTS = {"x": X_DEFAULT, "y": Y_DEFAULT, "z": Z_DEFAULT}
_LARGEST_PX_UM = 100.0  # as for camera.um_per_px
_OBJECTIVE = re.compile(r"(\d+(?:\.\d+)?)x(?:/(\d?\.\d+))?")


class Screw(msgspec.Struct, frozen=True):
    """How a motor drives an axis: lead of the screw, mm a turn; full steps a turn; microsteps a full step."""

    lead_mm: float
    steps_per_turn: int
    microsteps: int

    @property
    def um_per_step(self) -> float:
        """Way of one microstep, um."""
        return self.lead_mm * 1000.0 / (self.steps_per_turn * self.microsteps)


# The paper's stage (dastidar2020 4.1): 200 steps a turn, 16 microsteps; 4 mm for X and Y, 1 mm for Z.
SCREWS = {"x": Screw(4.0, 200, 16), "y": Screw(4.0, 200, 16), "z": Screw(1.0, 200, 16)}


def magnification_of(objective: str) -> float:
    """Magnification of an objective such as "20x/0.75". Raises ValueError."""
    found = _OBJECTIVE.fullmatch(objective)
    if found is None or float(found[1]) == 0.0:
        raise ValueError(
            f"objective {objective!r} is invalid: write magnification and aperture, such as 20x/0.75"
        )
    return float(found[1])


def um_per_px(pixel_um: float, magnification: float, adapter: float) -> float:
    """Size of a camera pixel on the sample, um. `adapter`: magnification between objective and camera.

    Raises ValueError for one that no microscope has.
    """
    if min(pixel_um, magnification, adapter) <= 0.0:
        raise ValueError("size of a pixel and magnifications must be positive")
    on_sample_um = round(pixel_um / (magnification * adapter), 5)
    if not 0.0 < on_sample_um <= _LARGEST_PX_UM:
        raise ValueError(
            f"a pixel of {pixel_um:g} um, seen through {magnification:g}x and {adapter:g}x, is {on_sample_um:g} um on "
            f"the sample, and must be more than 0 and {_LARGEST_PX_UM:g} um at most."
        )
    return on_sample_um


def axis_from_screw(name: str, screw: Screw, travel_um: float | None) -> AxisConfig:
    """The axis `name` with this screw; the rest is that of the paper's stage.

    `travel_um`: its length, None for that of the paper. A finer screw gets a slower axis, since the motor is the same.
    Raises ValueError for a screw or travel that no stage has.
    """
    default, um = DEFAULTS[name], screw.um_per_step
    slower = min(1.0, um / default.um_per_step)
    return msgspec.structs.replace(
        default,
        um_per_step=um,
        max_um=default.max_um if travel_um is None else travel_um,
        speed_um_per_s=default.speed_um_per_s * slower,
        accel_um_per_s2=default.accel_um_per_s2 * slower,
        microsteps=screw.microsteps,
    )


def axes_from_screws(
    screws: dict[str, Screw], travel_steps: tuple[int, int, int] | None
) -> dict[str, AxisConfig]:
    """All three axes; `travel_steps`: upper ends of the travel as the board states them. Raises ValueError."""
    axes = {}
    for i, name in enumerate(AXIS_NAMES):
        screw = screws[name]
        travel_um = None if travel_steps is None else travel_steps[i] * screw.um_per_step
        try:
            axes[name] = axis_from_screw(name, screw, travel_um)
        except ValueError as error:
            told = "" if travel_um is None else f", on the {travel_um:g} um of travel that the board states,"
            raise ValueError(
                f"{name.upper()} with a screw of {screw.lead_mm:g} mm a turn, {screw.steps_per_turn} steps a turn and "
                f"{screw.microsteps} microsteps{told} is not possible: {error}."
            ) from error
    return axes


def best_mode(modes: tuple[Mode, ...], config: CameraConfig) -> Mode | None:
    """The mode to begin with: uncompressed if there is one, and nearest to the default size; None without modes."""
    if not modes:
        return None
    wanted_px = config.width_px * config.height_px

    def cost(mode: Mode) -> tuple[bool, float]:
        return mode.is_compressed, abs(mode.width_px * mode.height_px - wanted_px)

    return min(modes, key=cost)
