"""How far apart the planes of a stack lie: whole motor steps, of which a whole number is delta."""

from parfocal.board.axis import steps_from_um
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.depth import depth_scale

STEP_UM = 0.625  # about, through 20x/0.75


def usual_steps(config: FocusConfig, um_per_step: float) -> int:
    """Motor steps from plane to plane by which two of them are delta apart, about two thirds of a depth of field."""
    wanted_um = depth_scale(config.objective) * STEP_UM
    return min(whole_parts(config, um_per_step), key=lambda n: abs(n * um_per_step - wanted_um))


def whole_parts(config: FocusConfig, um_per_step: float) -> list[int]:
    """All numbers of motor steps of which delta is a whole number, ascending."""
    delta = steps_from_um(config.delta_um, um_per_step)
    return [n for n in range(1, delta + 1) if delta % n == 0]
