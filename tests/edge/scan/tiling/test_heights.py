"""Where a scan may not go, and what tiles tell of those beside them."""

import pytest

from parfocal.edge.scan.tiling.heights import Heights
from parfocal.edge.surface.points import FocusPoint, SurfaceRefused
from parfocal.edge.surface.surface import fit_surface

TILTED = tuple(
    FocusPoint(x_um, y_um, 2500.0 + x_um / 100.0, 0.1)
    for x_um in (0.0, 500.0, 1000.0)
    for y_um in (0.0, 500.0, 1000.0)
)


def test_a_surface_out_of_the_reach_of_z_is_refused_before_its_tile() -> None:
    heights = Heights(fit_surface(TILTED), (100.0, 100.0))
    heights.check_reach(500.0, 500.0, (2480.0, 2508.0))
    with pytest.raises(SurfaceRefused, match=r"z=2509\.0 um.*Z goes from 2480\.0 to 2508\.0.*lens\.park_um"):
        heights.check_reach(900.0, 500.0, (2480.0, 2508.0))


def test_where_tiles_lie_on_one_side_of_a_step_the_next_one_is_expected_there_more_firmly() -> None:
    """Beside an edge that the row before has shown, the tile's own picture must decide."""
    expected = []
    for between_um, column_um in ((0.1, -0.1), (0.1, 2.0)):
        heights = Heights(fit_surface(TILTED), (100.0, 100.0))
        for x_um, y_um, above_um in (
            (400.0, 500.0, 0.0),
            (400.0, 400.0, between_um),
            (500.0, 400.0, column_um),
        ):
            heights.learn(x_um, y_um, 2500.0 + x_um / 100.0 + above_um, 0.1)
        expected.append(heights.expected(500.0, 500.0))
    calm, beside_edge = expected
    assert calm.z_um == pytest.approx(2505.0, abs=0.1)
    assert calm.sigma_um < 0.7 * beside_edge.sigma_um
