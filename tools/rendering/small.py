"""Small samples of single shots, each with the instrument that it is seen through: any, or usual ones."""

from parfocal.edge.simscope.optics import Optics
from tools.arrays import FloatArray
from tools.rendering.instruments import SINGLE_SHOT, random_instrument, usual_instrument
from tools.rendering.objectives import Objective
from tools.rendering.samples import Sample, random_sample, usual_sample
from tools.tissue.textures import Rng

# Of the samples, flat through the objective itself. Near the focus a picture could be from either side of the sharpest
# plane, and a head that has learned from foreign ones alone says "there".
USUAL_SHARE = 0.25


def seen_through(objective: Objective, drawn: tuple[str, FloatArray], rng: Rng) -> tuple[Optics, Sample]:
    """Return an instrument, and a sample made of a drawn object: its group and its density (3, s, s)."""
    if rng.random() < USUAL_SHARE:
        return usual_instrument(objective.optics, rng), usual_sample(*drawn[::-1], rng)
    return random_instrument(objective.optics, rng, SINGLE_SHOT), random_sample([drawn], rng)
