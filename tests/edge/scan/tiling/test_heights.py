"""Where a scan may not go."""

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
