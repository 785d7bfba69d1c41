"""The play of an X or Y gear from pictures on a staircase of equal moves.

The stage reverses, then moves in equal steps, each of which shifts the picture. The first steps after a reversal take
up the play and shift it less. What is missing in the sum is the play. The last steps, with the gear engaged, give the
shift of a whole step, so neither the size of a pixel nor the angle of the camera needs to be known.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

ENGAGED_STEPS = 3  # at the end of each staircase, with the gear engaged
MAX_UNEVEN = 0.15  # how far they may differ from each other, as a share of a step
MAX_SCALE_ERROR = 2.0  # how far, as a factor, the scale may be from the configured one
PIXEL_ERROR = (
    1.5  # what registration may be off by on a staircase: half a pixel at each end, and in the scale
)
MAX_UNCERTAINTY_UM = 2.0
N_UNKNOWN = 2  # play, drift


class Stairs(msgspec.Struct, frozen=True):
    """One staircase: moves of `step_um` each, signed, after a reversal; `shifts_px` are (dx, dy) of the picture."""

    step_um: float
    shifts_px: tuple[tuple[float, float], ...]


class StairsFit(msgspec.Struct, frozen=True):
    """The play, with half the width of its 95 % interval, and the scale and the single results behind it."""

    play_um: float
    uncertainty_um: float
    um_per_px: float
    plays_um: tuple[float, ...]


def fit_stairs(runs: Sequence[Stairs], um_per_px: float) -> StairsFit:
    """The play from at least four staircases, up and down alternately. `um_per_px` is the configured scale.

    Raises CalibPoor where the moves are uneven at their ends, the scale is far from the configured one, or the
    interval is too wide; ValueError for too few staircases.
    """
    if len(runs) <= N_UNKNOWN + 1:
        raise ValueError(f"{len(runs)} staircases given: it takes four or more")
    steps_px = [_engaged_px(run) for run in runs]
    scale = float(np.mean([abs(run.step_um) / step for run, (step, _) in zip(runs, steps_px, strict=True)]))
    if not 1.0 / MAX_SCALE_ERROR < scale / um_per_px < MAX_SCALE_ERROR:
        raise CalibPoor(
            f"scale of {scale:.3f} um per px refused: camera.um_per_px is {um_per_px:g}. Correct camera.um_per_px or "
            "um_per_step of the axis; if both are right, the motor loses steps."
        )
    plays_um = [
        abs(run.step_um) * (len(run.shifts_px) - float((np.array(run.shifts_px) @ direction).sum()) / step_px)
        for run, (step_px, direction) in zip(runs, steps_px, strict=True)
    ]
    signs = np.sign([run.step_um for run in runs])
    # A steady drift helps one direction and hinders the other.
    design = np.stack([np.ones(len(runs)), signs], axis=1)
    found, *_ = np.linalg.lstsq(design, np.array(plays_um), rcond=None)
    degrees = len(runs) - N_UNKNOWN
    scatter = float(((plays_um - design @ found) ** 2).sum()) / degrees
    variance = scatter * float(np.linalg.inv(design.T @ design)[0, 0])
    uncertainty_um = float(np.hypot(half_width_95(variance, degrees), PIXEL_ERROR * scale))
    play_um = float(found[0])
    if uncertainty_um > MAX_UNCERTAINTY_UM:
        raise CalibPoor(
            f"play of {play_um:.1f} +- {uncertainty_um:.1f} um refused: the interval must be "
            f"+-{MAX_UNCERTAINTY_UM:g} um or less. Its {len(runs)} staircases differ: keep the table still, "
            "choose a field with more structure."
        )
    if play_um < -uncertainty_um:
        raise CalibPoor(
            f"play of {play_um:.1f} +- {uncertainty_um:.1f} um refused: it cannot be negative. The motor loses steps: "
            "lower the speed of the axis."
        )
    return StairsFit(max(0.0, play_um), uncertainty_um, scale, tuple(plays_um))


def _engaged_px(run: Stairs) -> tuple[float, NDArray[np.float64]]:
    """Length of an engaged step, px, and its direction in the picture (2,). Raises CalibPoor if they differ."""
    last = np.array(run.shifts_px[-ENGAGED_STEPS:], np.float64)
    mean = last.mean(axis=0)
    step_px = float(np.hypot(*mean))
    if step_px < 1.0 or np.hypot(*(last - mean).T).max() > MAX_UNEVEN * step_px:
        travelled_um = abs(run.step_um) * (len(run.shifts_px) - ENGAGED_STEPS)
        raise CalibPoor(
            f"uneven moves: after {travelled_um:.0f} um in one direction, steps of {abs(run.step_um):g} um shift the "
            f"picture by {', '.join(f'{np.hypot(*shift):.1f}' for shift in last)} px. The play is larger than that, "
            "the motor loses steps, or the field holds too little structure."
        )
    return step_px, mean / step_px
