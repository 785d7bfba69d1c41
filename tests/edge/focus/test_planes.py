"""How far apart the planes of a stack lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.board.axis import steps_from_um
from parfocal.edge.config import Config, simulated_through
from parfocal.edge.focus.planes import usual_steps, whole_parts
from tests.edge.scope import with_focus


@pytest.mark.parametrize(("objective", "steps"), [("20x/0.75", 2), ("40x/0.65", 2), ("10x/0.3", 16)])
def test_planes_lie_about_two_thirds_of_a_depth_of_field_apart(objective: str, steps: int) -> None:
    assert usual_steps(simulated_through(objective, Config()).focus, 0.3125) == steps


@given(st.floats(0.5, 12.0), st.floats(0.05, 0.5))
def test_delta_is_always_a_whole_number_of_planes(delta_um: float, um_per_step: float) -> None:
    focus = with_focus(Config(), delta_um=delta_um).focus
    delta = steps_from_um(delta_um, um_per_step)
    parts = whole_parts(focus, um_per_step)
    assert all(delta % n == 0 for n in parts)
    assert {1, delta} <= set(parts)
    assert usual_steps(focus, um_per_step) in parts
