"""How far the sharpest plane lies above the plane of least wavefront variance, by a model that knows the latter.

Models are trained with the plane of least wavefront variance as their focus; the stacks of an instrument are labelled
by their sharpest plane. The two differ by a constant of the optics: aberration, condenser and the phase of the sample
make it. A person sees the sharpest plane.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from parfocal.calib.interval import half_width_95
from parfocal.calib.models.levels import Condensers, Floats, Grid, SeenAt, StackSeen

# Both um are those of 20x/0.75, and as many depths of field through another objective.
# Near its focus a model is hardly off, whatever its gain is.
NEAR_UM = 2.0
MIN_NEAR = 3  # pictures of a stack
# Instruments and slides that the model was not made for: python -m tests.bench.optics.
FLOOR_UM = 0.15


class Apart(msgspec.Struct, frozen=True):
    """How far the sharpest plane lies above the other one, um, with half the width of the 95 % interval."""

    above_um: float
    uncertainty_um: float


def planes_apart(seen_at: SeenAt, condensers: Condensers | None, scale: float = 1.0) -> Apart | None:
    """Compare the focus of a model with that of the stacks' labels.

    The condenser is fitted first: a model that is given another one also takes another plane for the focus.

    Args:
        seen_at: the stacks as the model sees them if its head gets that condenser; None for the one in use.
        condensers: what the head was trained for; None if the one in use is right.
        scale: depth of field over that of 20x/0.75.

    Returns:
        None if fewer than two stacks have pictures near the focus.
    """
    n = len(seen_at(None))
    if n < 2:
        return None
    grid = None if condensers is None else Grid(seen_at, condensers)

    def at(kept: Sequence[int]) -> list[float]:
        seen = seen_at(None if grid is None else grid.fitted(kept).condenser)
        return [um for k in kept if (um := _above_um(seen[k], scale * NEAR_UM)) is not None]

    found_um = at(range(n))
    if len(found_um) < 2:
        return None
    others_um = [float(np.median(at([j for j in range(n) if j != k]))) for k in range(n)]
    spread = (n - 1.0) / n * float(np.square(np.array(others_um) - np.mean(others_um)).sum())
    width_um = float(np.hypot(half_width_95(spread, n - 1), scale * FLOOR_UM))
    return Apart(float(np.median(found_um)), width_um)


def _above_um(stack: StackSeen, near_um: float) -> float | None:
    """The distance to the sharpest plane of a stack where the model says that it is in focus, by pictures near it."""
    said_um: Floats = stack.picture_um(stack.predicted_um)
    near = np.abs(said_um) <= near_um
    if near.sum() < MIN_NEAR:
        return None
    _slope, above_um = np.polyfit(said_um[near], stack.true_um[near], 1)
    return float(above_um)
