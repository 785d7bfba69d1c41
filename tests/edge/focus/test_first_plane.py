"""The first focus of a slide: a few shots, and an empty field left after fewer."""

import pytest

from parfocal.edge.config import Config
from parfocal.edge.focus.first_plane import coarse_heights_um
from parfocal.edge.focus.judging.rule import Reach
from tests.edge.scope import FOCUS_Z_UM, Scope, with_focus

REACH = Reach(4.8, 9.0)


@pytest.mark.parametrize(("start_um", "stop_um", "n"), [(2400.0, 2600.0, 12), (0.0, 18.0, 1), (0.0, 18.1, 2)])
def test_one_of_the_heights_is_within_reach_of_any_focus(start_um: float, stop_um: float, n: int) -> None:
    heights_um = coarse_heights_um(start_um, stop_um, REACH)
    assert len(heights_um) == n
    for k in range(101):
        focus_um = start_um + k / 100.0 * (stop_um - start_um)
        assert min(abs(focus_um - z_um) for z_um in heights_um) <= REACH.believed_um + 1e-9


@pytest.mark.parametrize("below_um", [62.0, 21.0])
def test_a_few_shots_find_the_first_plane_within_the_reach_of_the_model(
    config: Config, below_um: float
) -> None:
    start_um = FOCUS_Z_UM - below_um
    swept = with_focus(config, first_sweep_start_um=start_um, first_sweep_stop_um=start_um + 100.0)
    found = Scope(swept).focuser().coarse_look()
    assert found.pivot_um == pytest.approx(FOCUS_Z_UM, abs=REACH.believed_um)
    assert found.images == 6


def test_an_empty_field_is_left_after_a_third_of_the_heights(config: Config) -> None:
    found = Scope(config, blank=True).focuser().coarse_look()
    assert (found.pivot_um, found.images) == (None, 4)
