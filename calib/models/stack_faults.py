"""Faults of a stack that would make its labels or its pictures wrong, although its focus curve has one clear peak."""

from collections.abc import Sequence

import numpy as np

from parfocal.calib.errors import CalibPoor
from parfocal.calib.motion.play import MIN_POINTS, FocusCurve, peak_of

# All um are those of 20x/0.75, and as many depths of field through another objective. `scale`: depth of field over that
# of 20x/0.75.
# How far the focus may move from a stack to a second look, which comes about as much later as a stack takes. Over 20 um
# this makes a gain wrong by 1.5 %, half of what stacks of one slide leave uncertain.
MAX_SHIFT_UM = 0.3
AGAIN_REACH_UM = 7.5
# What does not move with the stage is as sharp far from the focus as in it. On simulated H&E the sharpness there was at
# most 6 % of the peak (a pale field, condenser 0.3); three specks in the camera made it 15 %, and the model err.
FAR_UM, MAX_FAR_SHARE = 8.0, 0.13
# Stacks end about where the range of the model does. At 10x that is 6 depths of field; rendered pictures of 8 textures
# are at most 12 % as sharp at 5 as in their focus with a condenser of 0.3 (coarse marrow: 20 %, and at 20x 25 % at 8).
FAR_SHARE_OF_RANGE = 0.8
# Far from its focus a pale field shows noise, and what compression leaves. With a condenser of 0.3 three fields of H&E
# with a tenth to a third of the usual contrast had gains of 2.6 to 3.0, all others 2.1 to 2.3.
PALE_SHARE = 0.4


class StackDrifts(CalibPoor):
    """The focus moved while the stack was taken."""


class StackStaysSharp(CalibPoor):
    """Something in the pictures does not go out of focus."""


class StackIsPale(CalibPoor):
    """The other stacks have much more contrast."""


def pale_limit(contrasts: Sequence[float]) -> float:
    """The contrast, grey levels, below which a stack is too pale beside the others."""
    return PALE_SHARE * float(np.quantile(contrasts, 0.75)) if len(contrasts) else 0.0


def heights_again(z_um: Sequence[float], peak_um: float, scale: float = 1.0) -> tuple[float, ...] | None:
    """Some of the heights of a stack, where its focus is looked at again; None if they are too few for a peak."""
    near = [z for z in z_um if abs(z - peak_um) <= scale * AGAIN_REACH_UM]
    chosen = near[::2] if len(near[::2]) >= MIN_POINTS else near
    return tuple(chosen) if len(chosen) >= MIN_POINTS else None


def moved_um(stack: FocusCurve, again: FocusCurve) -> float:
    """How far the focus of a stack is away in a second curve, taken upwards at some of the same heights, um.

    Raises CalibPoor for a curve without a single clear peak.
    """
    heights = set(again.z_um)
    alike = [k for k, z_um in enumerate(stack.z_um) if z_um in heights]
    z_um, sharpness, white = (
        tuple(of[k] for k in alike) for of in (stack.z_um, stack.sharpness, stack.white_share)
    )
    same = FocusCurve(stack.direction, z_um, sharpness, white, stack.time_s)
    return peak_of(again).z_um - peak_of(same).z_um


def check_steady(stack: FocusCurve, shift_um: float, scale: float = 1.0) -> None:
    """Refuse a stack whose focus was `shift_um` away when it was looked at again. Raises StackDrifts."""
    most_um = scale * MAX_SHIFT_UM
    if abs(shift_um) > most_um:
        raise StackDrifts(
            f"stack of {stack.z_um[0]:.1f}..{stack.z_um[-1]:.1f} um refused: its focus moved by {shift_um:+.2f} um "
            f"until it was looked at again; {most_um:.3g} um is the limit. Let the microscope warm up, keep the "
            "table still, and check that the stage does not sink."
        )


def check_fixed(stack: FocusCurve, range_um: float, scale: float = 1.0) -> None:
    """Refuse a stack that stays sharp far from its focus. One that does not reach that far is not judged.

    `range_um`: of the model, which stacks cover. Raises StackStaysSharp.
    """
    z_um, sharpness = np.array(stack.z_um), np.array(stack.sharpness)
    apart_um = z_um - z_um[int(sharpness.argmax())]
    far_um = min(scale * FAR_UM, FAR_SHARE_OF_RANGE * range_um)
    sides = (sharpness[apart_um <= -far_um], sharpness[apart_um >= far_um])
    if not all(len(side) for side in sides):
        return
    share = float(min(side.min() for side in sides) / sharpness.max())
    if share > MAX_FAR_SHARE:
        raise StackStaysSharp(
            f"stack of {stack.z_um[0]:.1f}..{stack.z_um[-1]:.1f} um refused: far from its focus it is still "
            f"{100.0 * share:.0f} % as sharp; {100.0 * MAX_FAR_SHARE:.0f} % is the limit. What does not go out of "
            "focus is dust in the camera, or noise: clean the camera, or choose a field with more structure."
        )
