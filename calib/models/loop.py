"""How well the closed loop repeats, how far from the sharpest plane it ends, and where it takes its shots."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.calib.errors import CalibPoor
from parfocal.calib.interval import half_width_95

# Of the approaches, the share that predictions alone must lead to the focus. A sweep says nothing about the model.
MIN_FOCUSED_SHARE = 0.9
# All um are those of 20x/0.75, and as many depths of field through another objective, except for the run-up.
MAX_REPEATABILITY_UM = 0.5
# Where a neighbouring field left the stage lies within this of the focus on most slides (the steps of a section).
PIVOT_SPREAD_UM = 2.5
Z1_STEP_UM = 0.5
# The gear must be engaged, and the stage at rest, before the first shot.
SPARE_RUN_UP_UM = 2.0
MIN_APPROACHES = 3


class Approach(msgspec.Struct, frozen=True):
    """One run of the loop: where it ended, when, s, how, and how many images it took."""

    pivot_um: float
    z_um: float
    time_s: float
    outcome: str
    images: int


class SharpestPlane(msgspec.Struct, frozen=True):
    """The height of the sharpest plane by a focus curve, and when it was taken, s."""

    z_um: float
    time_s: float


class LoopFit(msgspec.Struct, frozen=True):
    """Standard deviation of the final heights, and how far they end above the sharpest plane; with 95 % intervals."""

    repeatability_um: float
    repeatability_uncertainty_um: float
    above_um: float
    above_uncertainty_um: float


class Spacing(msgspec.Struct, frozen=True):
    """Where the loop takes its shots, below the pivot: the approach starts at z0, the first shot is taken at z1.

    `error_um` is the mean error of the model at the second shots that follow.
    """

    z0_below_um: float
    z1_below_um: float
    error_um: float


class Judged(msgspec.Struct, frozen=True):
    """An error of the model, um, and the distance from the second shot to the focus at which it was made."""

    distance_um: float
    error_um: float


def fit_loop(approaches: Sequence[Approach], planes: Sequence[SharpestPlane], scale: float = 1.0) -> LoopFit:
    """The repeatability of the loop; a drift of the focus between the focus curves is taken out.

    `scale`: depth of field over that of 20x/0.75.

    Raises CalibPoor if too few approaches were focused by predictions, or they scatter too much; ValueError for too
    few approaches or planes.
    """
    if len(approaches) < MIN_APPROACHES or not planes:
        raise ValueError(f"{len(approaches)} approaches and {len(planes)} focus curves given")
    focused = [one for one in approaches if one.outcome == "focused"]
    if len(focused) < MIN_FOCUSED_SHARE * len(approaches):
        raise CalibPoor(
            f"loop refused: predictions led to the focus in {len(focused)} of {len(approaches)} approaches, "
            f"{math.ceil(MIN_FOCUSED_SHARE * len(approaches))} are needed. Run `parfocal calibrate backlash` and "
            "`parfocal calibrate optics`, or choose a field with structure."
        )
    times_s = [one.time_s for one in planes]
    sharpest_um = np.interp([one.time_s for one in focused], times_s, [one.z_um for one in planes])
    above_um = np.array([one.z_um for one in focused]) - sharpest_um
    n, deviation = len(above_um), float(above_um.std(ddof=1))
    most_um = MAX_REPEATABILITY_UM * scale
    if deviation > most_um:
        raise CalibPoor(
            f"loop refused: its final heights have a standard deviation of {deviation:.2f} um, "
            f"{most_um:.3g} um is the limit. Keep the table still, let the microscope warm up, run "
            "`parfocal calibrate backlash` and `parfocal calibrate optics`."
        )
    return LoopFit(
        deviation,
        1.96 * deviation / math.sqrt(2.0 * (n - 1)),
        float(above_um.mean()),
        half_width_95(deviation**2 / n, n - 1),
    )


def choose_spacing(
    judged: Sequence[Judged], delta_um: float, accepted_um: float, run_up_um: float, scale: float = 1.0
) -> Spacing:
    """Where to take the shots, so that one estimate is enough for most pivots, and the model errs least.

    The second shot must lie below the focus, for only then the stage goes up to it, and no farther than
    `accepted_um`. Among these, where the model is best (dastidar2020 4.2, 4.3.2). The approach starts `run_up_um` and
    a little below the first shot, so that the gear is engaged there. `scale`: depth of field over that of 20x/0.75.

    Raises ValueError without judged pictures below the focus.
    """
    distances_um = np.array([one.distance_um for one in judged])
    errors_um = np.abs([one.error_um for one in judged])
    spread_um, step_um = scale * PIVOT_SPREAD_UM, scale * Z1_STEP_UM
    pivots_um = np.linspace(-spread_um, spread_um, 11)
    best: tuple[float, float, float] | None = None
    for z1_um in np.arange(delta_um + step_um, delta_um + accepted_um, step_um):
        seconds_um = z1_um - delta_um + pivots_um
        misses = float(((seconds_um < 0.0) | (seconds_um > accepted_um)).mean())
        inside = (distances_um >= seconds_um[0]) & (distances_um <= seconds_um[-1])
        if inside.any():
            found = misses, float(errors_um[inside].mean()), float(z1_um)
            best = min(best, found) if best is not None else found
    if best is None:
        raise ValueError(f"none of {len(judged)} pictures lies where the loop takes its second shots")
    _, error_um, z1_below_um = best
    z0_below_um = math.ceil(2.0 * (z1_below_um + run_up_um + SPARE_RUN_UP_UM)) / 2.0
    return Spacing(z0_below_um, z1_below_um, error_um)
