"""Whether stacks show a model enough to measure the ranges of its activations: in z, in fields, and in stain. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Z_BINS = 5  # over the range of the model
MIN_STACKS = 6  # a quarter of them judges, the others are measured
MIN_STACKS_PER_BIN = 4
# Of the stained pixels. A slide has a dye and its counterstain; a field without one of them shows half of it.
MIN_DYE_SHARE, MIN_DYES = 0.05, 2
STAINED_OD = 0.12  # mean optical density over the three colours, above glass and noise
GREY_SHARE = 0.15  # of the mean density: colours that differ by less have no hue
DYES = ("grey", "red", "brown", "green", "blue", "violet")
# Where the hues of dyes end on the circle of colours, degrees from red: eosin is red or pink, DAB brown.
_ENDS_DEG = (15.0, 70.0, 170.0, 250.0, 300.0, 360.0)
_OF_ENDS = ("red", "brown", "green", "blue", "violet", "red")


class Seen(msgspec.Struct, frozen=True):
    """What one stack shows: distances to the focus, um, at which it was seen, and the share of its dyes, see `DYES`."""

    distances_um: tuple[float, ...]
    dyes: tuple[float, ...]


class Coverage(msgspec.Struct, frozen=True):
    """What stacks show together.

    `stacks_at` has the number of stacks in each of `Z_BINS` equal parts of the model's range, lowest distance first.
    `dyes` has the share of each of `DYES` among stained pixels. `too_little` says what is missing, a sentence each.
    """

    n_stacks: int
    range_um: float
    stacks_at: tuple[int, ...]
    dyes: dict[str, float]
    too_little: tuple[str, ...]


def z_bin(distance_um: float, range_um: float) -> int:
    """In which part of the range a distance lies."""
    return int(np.clip(Z_BINS * (distance_um + range_um) / (2.0 * range_um), 0, Z_BINS - 1))


def coverage_of(stacks: Sequence[Seen], range_um: float) -> Coverage:
    """What `stacks` show of a model with this range, and what is missing."""
    at = [{z_bin(um, range_um) for um in stack.distances_um} for stack in stacks]
    stacks_at = tuple(sum(k in bins for bins in at) for k in range(Z_BINS))
    shares = np.mean([stack.dyes for stack in stacks], axis=0) if stacks else np.zeros(len(DYES))
    dyes = {name: float(share) for name, share in zip(DYES, shares, strict=True)}
    missing = []
    if len(stacks) < MIN_STACKS:
        missing.append(f"fields: {len(stacks)} stacks with a clear focus, {MIN_STACKS} or more are needed")
    width_um = 2.0 * range_um / Z_BINS
    for k, n in enumerate(stacks_at):
        if n < MIN_STACKS_PER_BIN:
            low_um = -range_um + k * width_um
            missing.append(
                f"z: {n} stacks at {low_um:+.1f} to {low_um + width_um:+.1f} um from the focus, {MIN_STACKS_PER_BIN} "
                "or more are needed"
            )
    shown = [name for name, share in dyes.items() if share >= MIN_DYE_SHARE]
    if len(shown) < MIN_DYES:
        missing.append(
            f"stain: only {' and '.join(shown) or 'glass'} is seen; {MIN_DYES} colours or more are needed"
        )
    return Coverage(len(stacks), range_um, stacks_at, dyes, tuple(missing))


def dyes_of(pixels: NDArray[np.uint8]) -> tuple[float, ...]:
    """The share of each of `DYES` among the stained pixels of a picture, RGB (h, w, 3); zeros for glass alone."""
    glass = np.maximum(np.quantile(pixels.reshape(-1, 3), 0.98, axis=0), 1.0)
    density = np.log(glass / np.maximum(pixels.astype(np.float64), 1.0)).clip(0.0).reshape(-1, 3)
    mean = density.mean(axis=1)
    stained = density[mean > STAINED_OD]
    if len(stained) == 0:
        return (0.0,) * len(DYES)
    # What is left over of the light has the hue of the dye.
    left = np.exp(-stained)
    red, green, blue = left.T
    hue_deg = np.degrees(np.arctan2(np.sqrt(3.0) * (green - blue), 2.0 * red - green - blue)) % 360.0
    is_grey = np.ptp(stained, axis=1) < GREY_SHARE * stained.mean(axis=1)
    names = np.array(_OF_ENDS)[np.searchsorted(_ENDS_DEG, hue_deg, side="right").clip(max=len(_ENDS_DEG) - 1)]
    names[is_grey] = "grey"
    return tuple(float((names == dye).mean()) for dye in DYES)
