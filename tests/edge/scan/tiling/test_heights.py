"""Where a scan may not go, and what tiles tell of those beside them."""

import numpy as np
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
    stepped = [
        FocusPoint(p.x_um, p.y_um, (p.z_um or 0.0) + (1.5 if (p.x_um + p.y_um) % 1000.0 else -1.5), 0.1)
        for p in TILTED
    ]
    expected = []
    for column_um in (0.5, 0.7):
        heights = Heights(fit_surface(stepped), (100.0, 100.0))
        for x_um, y_um, above_um in ((400.0, 500.0, 0.0), (400.0, 400.0, 0.0), (500.0, 400.0, column_um)):
            heights.learn(x_um, y_um, heights.surface_um(x_um, y_um) + above_um, 0.1)
        expected.append(heights.expected(500.0, 500.0).sigma_um)
    calm_um, beside_edge_um = expected
    assert calm_um == pytest.approx(0.6 * beside_edge_um)


def test_what_was_measured_at_the_very_place_counts_though_its_neighbours_differ() -> None:
    heights = Heights(fit_surface(TILTED), (100.0, 100.0))
    for x_um, above_um in ((400.0, 2.0), (500.0, 0.0), (600.0, 2.0)):
        heights.learn(x_um, 500.0, heights.surface_um(x_um, 500.0) + above_um, 0.1)
    assert heights.expected(500.0, 500.0).z_um == pytest.approx(heights.surface_um(500.0, 500.0), abs=0.2)


def test_what_is_expected_comes_from_the_nearest_tiles_as_if_all_were_looked_through() -> None:
    """Tiles are kept by cells; a plain search over all of them is the reference."""
    rng = np.random.default_rng(5)
    heights, learned = Heights(fit_surface(TILTED), (100.0, 80.0)), dict[tuple[float, float], float]()
    for _ in range(300):
        place = float(rng.uniform(0.0, 1000.0)), float(rng.uniform(0.0, 1000.0))
        learned[place] = float(rng.normal(0.0, 0.3))
        heights.learn(*place, heights.surface_um(*place) + learned[place], 0.2)
    for place in list(learned)[:20]:  # seen again
        learned[place] += 0.1
        heights.learn(*place, heights.surface_um(*place) + learned[place], 0.2)
    places = np.array(list(learned))
    for x_um, y_um in rng.uniform(0.0, 1000.0, (50, 2)):
        apart = np.hypot((places[:, 0] - x_um) / 100.0, (places[:, 1] - y_um) / 80.0)
        near = np.argsort(apart, kind="stable")[:8]
        near = near[apart[near] <= 2.6]
        wanted_um = sorted(list(learned.values())[k] for k in near)
        found_um, _ = heights._nearby(float(x_um), float(y_um))
        assert set(np.round(found_um, 9)) <= set(np.round(wanted_um, 9))
        alone = heights._at(float(x_um), float(y_um))
        nearest = int(np.argmin(apart))
        assert alone == (list(learned.values())[nearest] if apart[nearest] < 0.3 else None) or (
            alone == pytest.approx(list(learned.values())[nearest])
        )


@pytest.mark.parametrize(("above_um", "stands_out"), [(0.8, False), (6.0, True), (-6.0, True)])
def test_beside_a_fold_the_focus_is_as_likely_on_the_slide_as_on_the_fold(
    above_um: float, stands_out: bool
) -> None:
    heights = Heights(fit_surface(TILTED), (100.0, 100.0))
    for x_um in (400.0, 500.0, 600.0):
        heights.learn(x_um, 400.0, heights.surface_um(x_um, 400.0) + above_um, 0.1)
    expected = heights.expected(500.0, 500.0)
    slide_um = heights.surface_um(500.0, 500.0)
    assert expected.z_um == pytest.approx(slide_um + above_um, abs=0.2)
    assert expected.beyond_um == (pytest.approx(slide_um) if stands_out else None)
