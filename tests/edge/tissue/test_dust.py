"""Dust on glass is no tissue; whatever has a colour may be."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.shots import Shot
from parfocal.edge.scan.tiling.judging.judge import TileJudge
from parfocal.edge.tissue.dust import without_dust
from tests.stains import faint, h_and_e, ihc

UM_PER_PX = 0.345
VIOLET = (120, 60, 150)
GREY = (60, 55, 50)

Pixels = NDArray[np.uint8]


def glass_with(n: int, radius_px: int, colour: tuple[int, int, int], sigma_px: float) -> Pixels:
    """Empty glass with round specks, out of focus by a blur, and the noise of a camera."""
    rng = np.random.default_rng(4)
    pixels = np.full((512, 612, 3), 238.0, np.float32)
    for column, row in rng.integers(0, 512, (n, 2)):
        cv2.circle(pixels, (int(column), int(row)), radius_px, colour, -1, cv2.LINE_AA)
    blurred = cv2.GaussianBlur(pixels, (0, 0), sigma_px) + rng.normal(0.0, 1.5, pixels.shape)
    shown: Pixels = np.clip(blurred, 0, 255).astype(np.uint8)
    return shown


def shows_tissue(pixels: Pixels) -> bool:
    config = FocusConfig()
    return TileJudge(None, config, UM_PER_PX).look(Shot(0.0, pixels, config), (0.0, 0.0)).tissue


@pytest.mark.parametrize(
    ("n", "radius_px", "sigma_px"), [(2, 25, 1.0), (2, 25, 12.0), (8, 8, 1.0), (30, 6, 3.0)]
)
def test_grains_of_dust_on_glass_are_no_tissue_sharp_or_blurred(
    n: int, radius_px: int, sigma_px: float
) -> None:
    assert not shows_tissue(glass_with(n, radius_px, GREY, sigma_px))


def test_a_few_stained_bacteria_or_cells_on_glass_are_tissue() -> None:
    assert shows_tissue(glass_with(40, 3, VIOLET, 1.0))
    assert shows_tissue(glass_with(3, 14, (150, 60, 170), 1.0))
    # Beside dust, too.
    both = np.minimum(glass_with(9, 14, (150, 60, 170), 1.0), glass_with(2, 25, GREY, 1.0)[::-1])
    assert shows_tissue(both)


def test_grey_pictures_keep_their_specks_since_a_cell_looks_like_dust_there() -> None:
    grey = np.repeat(glass_with(3, 14, GREY, 1.0)[..., :1], 3, axis=2)
    assert without_dust(grey, UM_PER_PX) is grey


def test_tissue_of_every_stain_is_left_as_it_is_in_focus_and_out_of_it() -> None:
    for pixels in (ihc(), h_and_e(), faint()):
        for shown in (pixels, cv2.GaussianBlur(pixels, (0, 0), 8.0).astype(np.uint8, copy=False)):
            assert without_dust(shown, 0.5) is shown
