"""The light over empty fields of a run, and whether it contradicts what was measured of the camera."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.camera.response import grid_of, smooth_grid

Floats = NDArray[np.float64]

MIN_FIELDS = 4
# An empty field scatters by less about its own smooth light; more, and something lies in it.
MAX_SCATTER = 0.02
WHITE_PERCENTILE = 99.5
EVERY_PX = 4  # of a picture: enough for a mean
MAX_FALL_CHANGE = 0.10  # of the light at a corner, beside what the calibration does not know
MAX_COLOUR_CHANGE = 0.08
MAX_DARKER = 0.20


class EmptyLight(msgspec.Struct, frozen=True, eq=False):
    """The light of one empty field: shares of its mean over a grid from corner to corner, and its level per colour."""

    shares: Floats
    white: tuple[float, float, float]


class MeasuredLight(msgspec.Struct, frozen=True):
    """The light as a calibration measured it: a grid of shares, with the uncertainty of the darkest corner.

    `white`: levels of the brightest part, red, green, blue; None where they cannot be compared. `knows_level`: they
    were taken under the lamp and exposure of now.
    """

    flat: tuple[tuple[float, ...], ...]
    uncertainty: float
    white: tuple[float, float, float] | None = None
    knows_level: bool = False


def empty_light(pixels: NDArray[np.uint8]) -> EmptyLight | None:
    """The light of a field, RGB uint8 (h, w, 3); None if the field is not empty."""
    some = pixels[::EVERY_PX, ::EVERY_PX].astype(np.float64)
    grid = grid_of(some.mean(axis=2))
    if grid.min() < 1.0:
        return None
    grid /= grid.mean()
    smooth = smooth_grid(grid)
    # Cells show the mean about their middles, the surface reaches the corners: it is compared where both are.
    if float(np.std(grid[1:-1, 1:-1] - smooth[1:-1, 1:-1])) > MAX_SCATTER:
        return None
    red, green, blue = (float(level) for level in np.percentile(some, WHITE_PERCENTILE, axis=(0, 1)))
    return EmptyLight(smooth / smooth.mean(), (red, green, blue))


def light_contradiction(seen: Sequence[EmptyLight], measured: MeasuredLight) -> str | None:
    """How the light of empty fields contradicts that of the calibration, in words; None if it does not."""
    if len(seen) < MIN_FIELDS:
        return None
    by = f"in {len(seen)} empty fields"
    flat = np.array(measured.flat)
    now = np.median([one.shares for one in seen], axis=0)
    change = now / (flat / flat.mean()) - 1.0
    worst = float(change.flat[int(np.abs(change).argmax())])
    if abs(worst) > MAX_FALL_CHANGE + measured.uncertainty:
        return f"the light falls off otherwise than calibrated, by {100.0 * worst:+.0f} % at a corner {by}"
    if measured.white is None:
        return None
    ratio = np.log(np.median([one.white for one in seen], axis=0) / np.array(measured.white))
    # Brighter than the calibration saw anything: it was made on tissue, and says nothing about empty glass.
    if ratio.min() > 0.03:
        return None
    colour = float(np.ptp(ratio))
    if colour > MAX_COLOUR_CHANGE:
        return f"the colour of the light has changed by {100.0 * colour:.0f} % since the calibration {by}"
    darker = 1.0 - float(np.exp(ratio.mean()))
    if measured.knows_level and darker > MAX_DARKER:
        return f"the light is {100.0 * darker:.0f} % darker than calibrated {by}"
    return None
