import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.plan import snake
from tests.edge.scope import with_scan

CONFIG = Config()


@given(st.integers(1, 200))
def test_a_snake_steps_to_a_neighbour_and_never_comes_twice(n: int) -> None:
    fields = snake(n, CONFIG)
    width_um, height_um = CONFIG.camera.field_um
    assert len(set(fields)) == len(fields) == n
    for a, b in itertools.pairwise(fields):
        step = (abs(a.x_um - b.x_um), abs(a.y_um - b.y_um))
        assert (step[0] < width_um and step[1] == 0.0) or (step[0] == 0.0 and step[1] < height_um)


def test_a_plan_that_leaves_the_stage_is_refused_before_it_starts() -> None:
    with pytest.raises(ConfigError, match=r"one is at [xy]=.* but the stage allows .*nothing moved"):
        snake(100_000, CONFIG)


@pytest.mark.parametrize("n", [0, -3])
def test_no_field_at_all_is_refused(n: int) -> None:
    with pytest.raises(ConfigError, match="give 1 or more"):
        snake(n, CONFIG)


@pytest.mark.parametrize("n", [100_001, 1_000_000_000, 10**400])
def test_more_fields_than_any_slide_holds_are_refused_before_they_are_laid_out(n: int) -> None:
    overlapping = with_scan(CONFIG, overlap=0.999999)
    for config in (CONFIG, overlapping):
        with pytest.raises(ConfigError, match="give 100000 or fewer"):
            snake(n, config)


def test_one_field_is_not_called_fields() -> None:
    away = with_scan(CONFIG, origin_x_um=1e9)
    with pytest.raises(ConfigError, match="^no room for 1 field:"):
        snake(1, away)
