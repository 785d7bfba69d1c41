"""Height of the focus across the slide: tilt, curvature, and steps where the section folds or the glass changes."""

import math

import numpy as np

# Typical of a clamped slide with a tissue section.
TILT_UM_PER_MM = 1.5
CURVATURE_UM_PER_MM2 = 0.05
STEP_UM = 2.0
STEP_CELL_UM = 1300.0
CENTRE_SPREAD_UM = 40.0


class FocusSurface:
    """The focal surface `z_um(x_um, y_um)`, the same for the same seed. A field has one height: no tilt inside it."""

    def __init__(self, seed: int, origin_x_um: float, origin_y_um: float, centre_z_um: float) -> None:
        """The focus at the origin lies within 40 um of `centre_z_um`."""
        rng = np.random.default_rng([seed, 11])
        self._seed = seed
        self._origin_um = (origin_x_um, origin_y_um)
        self._base_z_um = centre_z_um + float(rng.uniform(-CENTRE_SPREAD_UM, CENTRE_SPREAD_UM))
        heading = float(rng.uniform(0.0, 2.0 * math.pi))
        self._tilt = (TILT_UM_PER_MM * math.cos(heading), TILT_UM_PER_MM * math.sin(heading))
        self._curvature = CURVATURE_UM_PER_MM2 * float(rng.choice([-1.0, 1.0]))

    def z_um(self, x_um: float, y_um: float) -> float:
        """Stage height at which the field centred at (x_um, y_um) is sharpest."""
        x_mm, y_mm = (x_um - self._origin_um[0]) / 1000.0, (y_um - self._origin_um[1]) / 1000.0
        smooth_um = self._tilt[0] * x_mm + self._tilt[1] * y_mm + self._curvature * (x_mm**2 + y_mm**2)
        return self._base_z_um + smooth_um + self._step_um(x_um, y_um)

    def _step_um(self, x_um: float, y_um: float) -> float:
        """Height of the cell of a coarse grid: each lies a little higher or lower than its neighbours."""
        cell = [math.floor(v / STEP_CELL_UM) + 2**20 for v in (x_um, y_um)]
        return float(np.random.default_rng([self._seed, 12, *cell]).uniform(-STEP_UM, STEP_UM))
