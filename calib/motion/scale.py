"""Scale of the X and Y motors, and the angle of the camera, from pictures on chains of equal upward moves.

Each move of a chain shifts the picture. The whole shift over the whole number of motor steps is the scale, its
direction the angle between stage and camera. The gear is engaged all along, so play does not enter.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

MAX_UNEVEN = 0.15  # how far a move may differ from the others, as a share of their mean
PIXEL_ERROR = 1.0  # what registration may be off by over a whole chain: half a pixel at each end
MAX_UNCERTAINTY_SHARE = 0.005
MAX_SCALE_ERROR = 2.0  # how far, as a factor, the scale may be from the configured one
MAX_SKEW_DEG = 3.0  # how far X and Y may be from a right angle
FULL_STEPS_PER_TURN = 200  # of a 1.8 degree motor; board/config.py takes the same

Vector = NDArray[np.float64]


class Chain(msgspec.Struct, frozen=True):
    """Upward moves of `steps` motor steps each; `shifts_px` are (dx, dy) by which the view moved across the sample."""

    steps: int
    shifts_px: tuple[tuple[float, float], ...]

    @property
    def px_per_step(self) -> Vector:
        """Mean shift of a motor step, (2,)."""
        mean: Vector = np.array(self.shifts_px, np.float64).mean(axis=0) / self.steps
        return mean

    @property
    def length_px(self) -> float:
        """Shift of the whole chain."""
        return float(np.hypot(*np.array(self.shifts_px, np.float64).sum(axis=0)))


class Expected(msgspec.Struct, frozen=True):
    """What is known before of an axis: its configured scale and error of the screw, and the size of a pixel."""

    axis: str
    um_per_step: float
    microsteps: int
    screw_error_um: float
    um_per_px: float
    um_per_px_uncertainty: float = 0.0


class ScaleFit(msgspec.Struct, frozen=True):
    """um per motor step and direction of upward moves in the picture, degrees, each with half its 95 % interval."""

    um_per_step: float
    uncertainty: float
    direction_deg: float
    direction_uncertainty_deg: float


class CameraFit(msgspec.Struct, frozen=True):
    """How the camera is turned: the direction of +X in the picture, degrees from right to down, -180..180.

    `is_mirrored`: +Y then goes up in the picture where it would go down. `skew_deg`: by how much the angle between X
    and Y differs from a right angle.
    """

    angle_deg: float
    uncertainty_deg: float
    is_mirrored: bool
    skew_deg: float


def fit_scale(chains: Sequence[Chain], expected: Expected) -> ScaleFit:
    """The scale of one axis from two or more chains.

    Raises CalibPoor where moves are uneven, the scale is far from the configured one, or the interval is too wide;
    ValueError for too few chains.
    """
    if len(chains) < 2:
        raise ValueError(f"{len(chains)} chains given: it takes two or more")
    for chain in chains:
        _check_even(chain, expected.axis)
    vectors = np.stack([chain.px_per_step for chain in chains])
    mean = vectors.mean(axis=0)
    length, unit = float(np.hypot(*mean)), mean / np.hypot(*mean)
    along, across = vectors @ unit, vectors @ np.array([-unit[1], unit[0]])
    degrees, floor = len(chains) - 1, PIXEL_ERROR / min(chain.length_px for chain in chains)
    um_per_step = expected.um_per_px * length
    factor = um_per_step / expected.um_per_step
    if not 1.0 / MAX_SCALE_ERROR < factor < MAX_SCALE_ERROR:
        raise CalibPoor(
            f"{um_per_step:.4g} um per step of {expected.axis} refused: board.{expected.axis}.um_per_step is "
            f"{expected.um_per_step:g}. Correct that key or camera.um_per_px; if both are right, the motor loses steps."
        )
    moved_um = um_per_step * chains[0].steps * len(chains[0].shifts_px)
    parts = (
        half_width_95(float(along.var(ddof=1)) / len(chains), degrees) / length,
        floor,
        screw_share(expected, um_per_step, moved_um),
        expected.um_per_px_uncertainty / expected.um_per_px,
    )
    share = math.hypot(*parts)
    if share > MAX_UNCERTAINTY_SHARE:
        raise CalibPoor(
            f"{um_per_step:.4g} +- {um_per_step * share:.2g} um per step of {expected.axis} refused: the interval must "
            f"be {100.0 * MAX_UNCERTAINTY_SHARE:g} % or less. Keep the table still, choose a field with more structure."
        )
    angle_rad = half_width_95(float(across.var(ddof=1)) / len(chains), degrees) / length
    return ScaleFit(
        um_per_step,
        um_per_step * share,
        math.degrees(math.atan2(unit[1], unit[0])),
        math.degrees(math.hypot(angle_rad, floor)),
    )


def screw_share(expected: Expected, um_per_step: float, moved_um: float) -> float:
    """By what share the scale on a part of a screw's turn may differ from that of the whole turn."""
    turn_um = FULL_STEPS_PER_TURN * expected.microsteps * um_per_step
    # The error is a sine along the turn: its steepest slope, less what the length of the chain averages.
    return float(2.0 * math.pi * expected.screw_error_um / turn_um * abs(np.sinc(moved_um / turn_um)))


def fit_camera(x: ScaleFit, y: ScaleFit) -> CameraFit:
    """How the camera is turned against the stage. Raises CalibPoor where X and Y are not at a right angle."""
    turned_deg = _wrapped_deg(y.direction_deg - x.direction_deg)
    is_mirrored = turned_deg < 0.0
    skew_deg = turned_deg + 90.0 if is_mirrored else turned_deg - 90.0
    if abs(skew_deg) > MAX_SKEW_DEG:
        raise CalibPoor(
            f"camera angle refused: in the picture, X and Y of the stage are at {abs(turned_deg):.1f} degrees to each "
            f"other instead of 90 +- {MAX_SKEW_DEG:g}. Look whether the motors move the stage along its rails, or an "
            "axis slips."
        )
    # Each axis says the same of the camera; together they halve what each is off by.
    angle_deg = _wrapped_deg(x.direction_deg + skew_deg / 2.0)
    spread_deg = math.hypot(x.direction_uncertainty_deg, y.direction_uncertainty_deg) / 2.0
    return CameraFit(angle_deg, spread_deg, is_mirrored, skew_deg)


def _check_even(chain: Chain, axis: str) -> None:
    shifts = np.array(chain.shifts_px, np.float64)
    mean = shifts.mean(axis=0)
    step_px = float(np.hypot(*mean))
    worst = float(np.hypot(*(shifts - mean).T).max())
    if step_px < 1.0 or worst > MAX_UNEVEN * step_px:
        raise CalibPoor(
            f"uneven moves of {axis}: equal moves shift the picture by {step_px:.1f} px on average, one of them by "
            f"{worst:.1f} px more or less. The motor loses steps, the stage slips, or the field holds too little "
            f"structure. Lower board.{axis}.speed_um_per_s, or move scan.origin_x_um and scan.origin_y_um."
        )


def _wrapped_deg(angle_deg: float) -> float:
    """The same angle in -180..180."""
    return (angle_deg + 180.0) % 360.0 - 180.0
