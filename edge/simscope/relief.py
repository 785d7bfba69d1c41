"""Relief: how the height of the focus changes inside a field. Only where it is asked for by name."""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from parfocal.edge.simscope.optics import FloatArray
from parfocal.edge.simscope.slide import SlideImage, VirtualSlide

# "tilt": the slide lies obliquely. "step": tissue at two depths, side by side. "fold": narrow ridges of folded tissue.
ReliefName = Literal["tilt", "step", "fold"]
RELIEFS: tuple[ReliefName, ...] = get_args(ReliefName)

TILT_UM_PER_MM = 10.0  # about 4 um across a field of the default camera
STEP_UM, TERRACE_UM = 4.0, 330.0
FOLD_UM, FOLD_PITCH_UM, FOLD_WIDTH_UM = 5.0, 480.0, 120.0
FOLD_DENSITY = 1.5  # of the flat tissue's: part of it lies in two layers


class Relief:
    """Height of the focus above the smooth focal surface, everywhere on the slide; the same for the same seed."""

    def __init__(self, name: ReliefName, seed: int) -> None:
        """`seed` gives the direction, and where steps and folds lie."""
        rng = np.random.default_rng([seed, 41])
        heading = float(rng.uniform(0.0, 2.0 * math.pi))
        self._along = (math.cos(heading), math.sin(heading))
        self._phase = float(rng.uniform())
        self.name = name

    def heights_um(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> FloatArray:
        """Heights at columns `x_um` (w,) and rows `y_um` (h,); float32 (h, w)."""
        if self.name == "tilt":
            heights = TILT_UM_PER_MM / 1000.0 * self._distance_um(x_um, y_um)
        elif self.name == "step":
            phase = np.mod(self._distance_um(x_um, y_um) / (2.0 * TERRACE_UM) + self._phase, 1.0)
            heights = STEP_UM * (np.where(phase < 0.5, 0.5, -0.5))
        else:
            heights = FOLD_UM * self._folded(x_um, y_um)
        return heights.astype(np.float32)

    def at_um(self, x_um: float, y_um: float) -> float:
        """Height at one point."""
        return float(self.heights_um(np.array([x_um]), np.array([y_um]))[0, 0])

    def density(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> FloatArray:
        """Optical density over that of flat tissue, (h, w)."""
        if self.name != "fold":
            return np.ones((1, 1), np.float32)
        return (1.0 + (FOLD_DENSITY - 1.0) * self._folded(x_um, y_um)).astype(np.float32)

    def _distance_um(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each point along the direction of the relief, um, (h, w)."""
        distance: NDArray[np.float64] = self._along[0] * x_um[None, :] + self._along[1] * y_um[:, None]
        return distance

    def _folded(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 on the ridges, 0 between them, with slopes as wide as the ridge's top; (h, w)."""
        phase = np.mod(self._distance_um(x_um, y_um) / FOLD_PITCH_UM + self._phase, 1.0)
        off_um = np.abs(phase - 0.5) * FOLD_PITCH_UM
        ramp: NDArray[np.float64] = np.clip(1.5 - 3.0 * off_um / FOLD_WIDTH_UM, 0.0, 1.0)
        return ramp


class FoldedSlide(VirtualSlide):
    """A slide whose tissue is denser where a relief folds it."""

    def __init__(self, image: SlideImage, um_per_px: float, seed: int, relief: Relief) -> None:
        """Raises as VirtualSlide."""
        super().__init__(image, um_per_px, seed)
        self._relief = relief

    def density(self, x_um: float, y_um: float, shape_px: tuple[int, int]) -> FloatArray:
        """Optical density (3, h, w) around (x_um, y_um), as in VirtualSlide."""
        area = super().density(x_um, y_um, shape_px)
        area *= self._relief.density(*points_um(x_um, y_um, shape_px, self._um_per_px))
        return area


def points_um(
    x_um: float, y_um: float, shape_px: tuple[int, int], um_per_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stage positions of the columns (w,) and of the rows (h,) of a field centred at (x_um, y_um)."""
    rows, columns = ((np.arange(side, dtype=np.float64) - side / 2.0) * um_per_px for side in shape_px)
    return x_um + columns, y_um + rows
