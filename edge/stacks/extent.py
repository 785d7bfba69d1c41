"""How far stacks reach, and how far apart their planes lie: whole motor steps, so that all are equally far apart."""

import msgspec
import numpy as np

from parfocal.edge.errors import ConfigError

REACH_SHARE = 1.3  # of the range of a model: beyond it, a prediction must be seen to be refused


class Extent(msgspec.Struct, frozen=True):
    """Planes of a stack: `n_planes`, evenly spaced by `step_um`, centred on the focus."""

    step_um: float
    n_planes: int

    @property
    def height_um(self) -> float:
        """Height from the lowest plane to the highest."""
        return (self.n_planes - 1) * self.step_um


def extent_of(reach_um: float, step_um: float, um_per_step: float) -> Extent:
    """Planes over +-`reach_um`, with the spacing rounded to whole motor steps so that it is even.

    Raises ConfigError if that makes no stack.
    """
    n_steps = round(step_um / um_per_step) if np.isfinite(step_um) else 0
    if n_steps < 1:
        raise ConfigError(
            f"planes every {step_um} um are not possible: one step of the Z motor is {um_per_step} um. Give "
            "a --step-um of that or more."
        )
    whole_um = n_steps * um_per_step
    if not (np.isfinite(reach_um) and reach_um >= 2.0 * whole_um):
        raise ConfigError(
            f"a stack of +-{reach_um} um in steps of {whole_um} um has fewer than five planes. "
            "Give a larger --reach-um."
        )
    return Extent(whole_um, 2 * int(reach_um / whole_um + 1e-6) + 1)
