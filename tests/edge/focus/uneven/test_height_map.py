import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from parfocal.edge.focus.picture.cells import CELL_PX
from parfocal.edge.focus.uneven.height_map import FLOOR_UM, CellPlane, cell_plane, height_map
from tests.edge.scope import tissue

Z_UM = 100.0 + 0.625 * np.arange(12)  # 100 to 106.9
CONTRAST = 2.5


def planes(
    focus_um: NDArray[np.float64],
    width_um: NDArray[np.float64] | float = 1.2,
    noise: float = 0.0,
    contrast: float = 20.0,
) -> list[CellPlane]:
    """Planes of cells (rows, columns) whose sharpness is a bell over a floor, as of a texture over its noise."""
    rng = np.random.default_rng(1)
    return [
        CellPlane(
            float(z_um),
            (5.0 + 95.0 * np.exp(-0.5 * ((z_um - focus_um) / width_um) ** 2))
            * (1.0 + noise * rng.normal(size=focus_um.shape)),
            np.full(focus_um.shape, contrast),
        )
        for z_um in Z_UM
    ]


@given(st.floats(101.0, 106.0))
def test_the_height_lies_between_the_planes(focus_um: float) -> None:
    found = height_map(planes(np.array([[focus_um]])), CONTRAST)
    assert found.z_um[0, 0] == pytest.approx(focus_um, abs=0.06)


def test_each_cell_has_its_own_height_and_the_range_is_that_of_nearly_all() -> None:
    focus_um = np.linspace(101.0, 106.0, 40).reshape(5, 8)
    found = height_map(planes(focus_um), CONTRAST)
    assert np.abs(found.z_um - focus_um).max() < 0.06
    assert found.range_um == pytest.approx((101.25, 105.75), abs=0.06)


def test_what_is_sharpest_at_an_end_is_cut_and_has_no_height() -> None:
    found = height_map(planes(np.array([[98.0, 103.0, 109.0]])), CONTRAST)
    assert np.isnan(found.z_um).tolist() == [[True, False, True]]
    assert found.is_cut_below.tolist() == [[True, False, False]]
    assert found.is_cut_above.tolist() == [[False, False, True]]


@pytest.mark.parametrize(("noise", "contrast"), [(0.02, 2.0), (0.0, 2.0)])
def test_a_cell_without_contrast_has_no_height_and_is_not_cut(noise: float, contrast: float) -> None:
    found = height_map(planes(np.array([[103.0, 90.0]]), noise=noise, contrast=contrast), CONTRAST)
    assert np.isnan(found.z_um).all()
    assert not (found.is_cut_below | found.is_cut_above).any()
    assert found.range_um is None


def test_a_level_curve_has_no_height() -> None:
    found = height_map(planes(np.array([[103.0]]), width_um=50.0), CONTRAST)
    assert np.isnan(found.z_um).all()


def test_the_uncertainty_holds_under_noise_and_grows_with_it() -> None:
    focus_um = np.linspace(101.5, 105.5, 400).reshape(20, 20)
    sigmas = []
    for noise in (0.0, 0.05, 0.15):
        found = height_map(planes(focus_um, noise=noise), CONTRAST)
        known = np.isfinite(found.z_um)
        within = np.abs(found.z_um - focus_um)[known] <= 2.0 * found.sigma_um[known]
        assert within.mean() > 0.9
        sigmas.append(float(np.median(found.sigma_um[known])))
    assert FLOOR_UM <= sigmas[0] < sigmas[1] < sigmas[2]


def test_a_cell_at_two_depths_is_less_certain_than_its_neighbours() -> None:
    width_um = np.full((1, 9), 1.2)
    width_um[0, 4] = 2.4
    found = height_map(planes(np.full((1, 9), 103.4), width_um), CONTRAST)
    assert found.sigma_um[0, 4] > 5.0 * np.delete(found.sigma_um[0], 4).max()


def test_a_map_needs_five_planes() -> None:
    with pytest.raises(ValueError, match="needs 5 or more"):
        height_map(planes(np.array([[103.0]]))[:4], CONTRAST)


def test_cells_measure_their_own_part_of_a_picture() -> None:
    pixels = np.full((3 * CELL_PX + 20, 4 * CELL_PX + 10, 3), 200, np.uint8)
    pixels[CELL_PX : 2 * CELL_PX, CELL_PX : 3 * CELL_PX] = tissue(2 * CELL_PX)[:CELL_PX]
    found = cell_plane(7.0, pixels)
    assert found.sharpness.shape == found.contrast.shape == (3, 4)
    assert found.z_um == 7.0
    holds = np.zeros((3, 4), bool)
    holds[1, 1:3] = True
    assert (found.contrast[holds] > 10.0).all()
    assert found.sharpness[holds].min() > 3.0 * found.sharpness[~holds].max()
    assert cell_plane(7.0, pixels[:30, :30]).sharpness.shape == (1, 1)
