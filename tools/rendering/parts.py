"""Whole frames of made samples at a ladder of heights, with all that a training needs to cut patches from them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.focus.picture.prepare import smoothed
from tools.arrays import FloatArray, UInt8Array
from tools.rendering import seen
from tools.rendering.cameras import Camera, Exposing
from tools.rendering.imaging import Grid, Imaged, Instrument
from tools.rendering.instruments import is_odd, random_instrument
from tools.rendering.objectives import Objective
from tools.rendering.samples import THICKNESS_UM, Sample, random_sample
from tools.tissue.textures import Rng

SAMPLE_PX = 1080
MIRRORED_SHARE = 0.6  # of the frames with one object, which continues as its mirror image
# Heights reach beyond the range of the model, so that it recognises far distances; in parts of the range.
LOWEST, WHOLE_WAY = (-1.4, -1.2), 2.6
# Spacing of the planes over delta. A stage moves in whole motor steps: on the reference 2 um become 1.875 um.
STEP_PER_DELTA = (0.92, 1.04)
BLOCK_PX = 4  # side of the squares over which the mass of a layer is summed

Drawing = Callable[[int, Rng], tuple[str, FloatArray]]


@dataclass(frozen=True)
class Frame:
    """A sample at all heights, as the camera delivers it.

    Attributes:
        shots: smoothed, uint8 (planes, side, side, 3).
        z_um: height of the stage at each plane (planes,).
        mass: optical density of green summed over squares of `BLOCK_PX` of the sample, float32 (layers, n, n).
        height_um: of each layer (layers,).
        objects: 1, or 4 beside each other.
        condenser: aperture of the condenser over that of the objective.
        odd: whether the instrument lacks what tells the direction in a single shot.
    """

    shots: UInt8Array
    z_um: FloatArray
    mass: FloatArray
    height_um: FloatArray
    objects: int
    condenser: float
    odd: bool


def frames_of(
    objective: Objective,
    grid: Grid,
    draw: Drawing,
    camera_of: Callable[[Rng], Camera],
    rng: Rng,
) -> list[Frame]:
    """Return two frames through one random instrument: one object, and four. `draw` gives sharp objects."""
    frames = []
    for sample, instrument in samples_of(objective, draw, rng):
        heights_um = ladder_um(objective, rng)
        shots = shots_of(objective, grid, sample, instrument, camera_of, heights_um, rng)
        frames.append(
            Frame(
                np.stack(list(shots)),
                heights_um,
                mass_of(sample),
                sample.height_um,
                len(sample.groups),
                instrument.optics.condenser_sigma,
                is_odd(instrument.optics, objective.optics),
            )
        )
    return frames


def samples_of(objective: Objective, draw: Drawing, rng: Rng) -> Iterator[tuple[Sample, Instrument]]:
    """Yield the samples of a part, of one object and of four, with the random instrument that they share."""
    instrument = Instrument(random_instrument(objective.optics, rng), reach_um(objective), objective.depth)
    for objects in (1, 4):
        yield sample_of(objects, draw, rng), instrument


def shots_of(
    objective: Objective,
    grid: Grid,
    sample: Sample,
    instrument: Instrument,
    camera_of: Callable[[Rng], Camera],
    heights_um: FloatArray,
    rng: Rng,
) -> Iterator[UInt8Array]:
    """Yield a sample at each height, smoothed, as one random camera delivers it."""
    exposing = Exposing(camera_of(rng), (grid.image_px, grid.image_px), rng, objective.binned)
    imaged = Imaged(sample, instrument, grid)
    for (shot,) in seen.shots_at(imaged, [exposing], heights_um, rng):
        yield smoothed(shot)


def sample_of(objects: int, draw: Drawing, rng: Rng) -> Sample:
    """Return a random sample of one object, or of four."""
    if objects == 1 and rng.random() >= MIRRORED_SHARE:
        return random_sample([draw(SAMPLE_PX, rng)], rng)
    drawn = [draw(SAMPLE_PX // 2, rng) for _ in range(objects)]
    if objects == 1:
        group, density = drawn[0]
        wide = np.concatenate([density, density[:, :, ::-1]], axis=2)
        drawn = [(group, np.concatenate([wide, wide[:, ::-1]], axis=1))]
    return random_sample(drawn, rng)


def reach_um(objective: Objective) -> float:
    """Return the largest distance of any layer from the focus."""
    return -LOWEST[0] * objective.range_um + THICKNESS_UM[1]


def ladder_um(objective: Objective, rng: Rng) -> FloatArray:
    """Return the heights of the planes above the focus, ascending."""
    step_um = objective.delta_um * rng.uniform(*STEP_PER_DELTA)
    count = int(WHOLE_WAY * objective.range_um / objective.delta_um) + 1
    lowest_um = objective.range_um * rng.uniform(*LOWEST)
    return (lowest_um + step_um * np.arange(count)).astype(np.float32)


def mass_of(sample: Sample) -> FloatArray:
    """Return the optical density of green of each layer, summed over squares, float32 (layers, n, n)."""
    green: NDArray[np.float32] = sample.density[:, 1]
    n_layers, side_px = len(green), green.shape[1]
    n = side_px // BLOCK_PX
    squares = green.reshape(n_layers, n, BLOCK_PX, n, BLOCK_PX)
    summed: FloatArray = squares.sum(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return summed
