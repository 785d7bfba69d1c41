"""Small samples of single shots, each with the instrument and cameras that it is seen through; some are usual ones."""

from collections.abc import Callable
from dataclasses import dataclass

from parfocal.edge.simscope.optics import Optics
from tools.arrays import FloatArray
from tools.rendering.cameras import Camera, compressing_camera, random_camera
from tools.rendering.instruments import SINGLE_SHOT, random_instrument, usual_instrument
from tools.rendering.objectives import Objective
from tools.rendering.samples import Sample, random_sample, usual_sample
from tools.tissue.textures import Rng

# Of the samples, flat through the objective itself. Near the focus a picture could be from either side of the sharpest
# plane, and a head that has learned from foreign ones alone says "there".
USUAL_SHARE = 0.25
# Of the others, those that a compressing camera sees as well. Compressed pictures have no direction near the focus,
# and soft tissue looks like them: a head to which every sample was shown compressed too is unsure of both.
COMPRESSED_SHARE = 0.35


@dataclass(frozen=True)
class Small:
    """A sample, its instrument, and what draws the cameras through which each height is seen."""

    optics: Optics
    sample: Sample
    cameras: tuple[Callable[[Rng], Camera], ...]


def seen_through(objective: Objective, drawn: tuple[str, FloatArray], rng: Rng) -> Small:
    """Return a sample made of a drawn object, its group and its density (3, s, s), and what it is seen through."""
    if rng.random() < USUAL_SHARE:
        optics, sample = usual_instrument(objective.optics, rng), usual_sample(*drawn[::-1], rng)
        return Small(optics, sample, (random_camera,))
    optics, sample = random_instrument(objective.optics, rng, SINGLE_SHOT), random_sample([drawn], rng)
    is_compressed = rng.random() < COMPRESSED_SHARE
    return Small(optics, sample, (random_camera, compressing_camera) if is_compressed else (random_camera,))
