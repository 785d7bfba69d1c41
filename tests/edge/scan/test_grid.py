"""The grid of a survey: inside its region and the limits, and every step goes to a neighbour."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.scan.grid import Region, points_of_region
from parfocal.edge.scan.plan import Field

CONFIG = Config()
SIDE_UM = st.floats(500.0, 15_000.0)


@given(SIDE_UM, SIDE_UM, st.none() | st.integers(4, 300), st.floats(500.0, 5000.0))
def test_a_survey_steps_to_a_neighbour_and_never_comes_twice(
    width_um: float, height_um: float, n_points: int | None, spacing_um: float
) -> None:
    region = Region(10_000.0, 5_000.0, 10_000.0 + width_um, 5_000.0 + height_um)
    fields = points_of_region(region, CONFIG, n_points, spacing_um)
    assert len(set(fields)) == len(fields) >= 4
    xs, ys = (sorted({getattr(f, name) for f in fields}) for name in ("x_um", "y_um"))
    assert len(fields) == len(xs) * len(ys)
    for a, b in itertools.pairwise(fields):
        steps = abs(xs.index(a.x_um) - xs.index(b.x_um)), abs(ys.index(a.y_um) - ys.index(b.y_um))
        assert sorted(steps) == [0, 1]
    # The corners are among the points, so the surface covers the whole region.
    assert (xs[0], ys[0]) == (region.x0_um, region.y0_um)
    assert (xs[-1], ys[-1]) == (pytest.approx(region.x1_um, abs=0.1), pytest.approx(region.y1_um, abs=0.1))
    assert xs[-1] <= region.x1_um
    assert ys[-1] <= region.y1_um
    if n_points is None:
        assert max(b - a for axis in (xs, ys) for a, b in itertools.pairwise(axis)) <= spacing_um + 0.2
    else:
        assert len(fields) <= n_points


def test_a_square_of_256_points_has_16_rows() -> None:
    fields = points_of_region(Region(10_000.0, 5000.0, 20_000.0, 15_000.0), CONFIG, 256, 1.0)
    assert len(fields) == 256
    assert fields[15:17] == (Field(20_000.0, 5000.0), Field(20_000.0, 5666.7))


@pytest.mark.parametrize(
    ("region", "n_points", "spacing_um", "why"),
    [
        (Region(9000.0, 1000.0, 8000.0, 2000.0), None, 1000.0, r"region of x=9000\.\.8000 um is empty"),
        (Region(9000.0, 1000.0, 9500.0, 1000.0), None, 1000.0, r"region of y=1000\.\.1000 um is empty"),
        (Region(0.0, 1000.0, 9000.0, 2000.0), None, 1000.0, r"region of x=0\.\.9000 um leaves the stage"),
        (
            Region(9000.0, 1000.0, 10_000.0, 9e6),
            None,
            1000.0,
            r"region of y=.* leaves the stage.*nothing moved",
        ),
        (Region(float("nan"), 1000.0, 10_000.0, 2000.0), None, 1000.0, "is empty"),
        (Region(9000.0, 1000.0, 19_000.0, 11_000.0), None, 100.0, "101 x 101 focus points are too many"),
        (Region(9000.0, 1000.0, 19_000.0, 11_000.0), 3, 100.0, "3 focus points are too few"),
        (Region(9000.0, 1000.0, 19_000.0, 11_000.0), 10**9, 100.0, "are too many"),
    ],
)
def test_a_survey_that_makes_no_sense_is_refused_before_it_starts(
    region: Region, n_points: int | None, spacing_um: float, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        points_of_region(region, CONFIG, n_points, spacing_um)
