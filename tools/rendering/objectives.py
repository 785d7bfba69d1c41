"""The objectives that training data can be rendered for, with their cameras."""

from dataclasses import dataclass

from parfocal.edge.simscope.objectives import SIMULATED
from parfocal.edge.simscope.optics import Optics


@dataclass(frozen=True)
class Objective:
    """An objective and what is asked of a model for it.

    Attributes:
        optics: its optics, at the sampling of a patch.
        range_um: largest distance from the focus that a model is made for.
        delta_um: distance of two shots.
        margin_px: how far defocus blurs into a patch from outside.
        binned: camera pixels of which each pixel of a patch is the mean.
    """

    optics: Optics
    range_um: float
    delta_um: float
    margin_px: int
    binned: int = 1

    @property
    def depth(self) -> float:
        """Depth of field over that of the reference objective."""
        return self.optics.depth


OBJECTIVES = {
    # dastidar2020 2.1 and liao2021 2.2: 20x / 0.75, +-10 um.
    "20x/0.75": Objective(SIMULATED["20x/0.75"], 10.0, 2.0, 48),
    # dastidar2020 4.2, 4.3: 13 Mpx at 0.0863 um/px, down-sampled four times.
    "40x/0.65": Objective(SIMULATED["40x/0.65"], 25.0, 3.0, 68, 16),
    # liao2021 2.1: 10x / 0.3, +-36 um.
    "10x/0.3": Objective(SIMULATED["10x/0.3"], 36.0, 10.0, 40),
}
