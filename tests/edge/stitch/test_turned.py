"""A camera that lies otherwise than the scan was told."""

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.view import View
from parfocal.edge.stitch.stitching import stitched
from parfocal.edge.stitch.turned import view_by_tiles
from parfocal.edge.stitch.wide import wide_look
from tests.edge.stitch.cut import Cut, cut, errors_px
from tests.stains import ihc

SIZE_PX = (190, 150)


@pytest.fixture(scope="module")
def scan() -> Cut:
    picture = np.pad(ihc(), ((100, 400), (100, 500), (0, 0)), "symmetric")

    def source(x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        return picture[y : y + h, x : x + w]

    return cut(source, (2, 3), SIZE_PX, 0.15, 1.0, seed=3)


@pytest.mark.parametrize("told", [View(1.0, 8.0), View(1.06, 180.0, is_mirrored=True)])
def test_a_slide_whose_camera_was_turned_is_not_torn(scan: Cut, told: View) -> None:
    stitching = stitched(scan.places, scan.tile, told)
    assert stitching.report.turned is not None
    errors = errors_px(stitching.corners_px, scan.true_px)
    assert np.median(errors) < 0.3
    assert errors.max() < 1.5
    assert stitching.um_per_px == told.um_per_px  # which of both is right, the tiles do not say


def test_tiles_that_lie_as_told_are_left_alone(scan: Cut) -> None:
    told = View(1.0, 0.5)
    assert view_by_tiles(scan.places, scan.tile, told) == (told, None)
    assert stitched(scan.places, scan.tile, View(1.0)).report.turned is None
    one = view_by_tiles(scan.places[:1], scan.tile, told)
    assert one == (told, None)


def test_empty_and_repeated_pictures_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    blank = [np.clip(rng.normal(235.0, 1.5, (150, 190, 3)), 0, 255).astype(np.uint8) for _ in range(2)]
    look = wide_look(blank[0], blank[1], (160.0, 0.0))
    assert (look.offset_px, look.is_unlike) == (None, False)
    y, x = np.mgrid[:150, :400]
    grid = np.repeat((150.0 + 60.0 * np.cos(x / 3.0) * np.cos(y / 3.0))[..., None], 3, axis=2).astype(
        np.uint8
    )
    look = wide_look(grid[:, :190], grid[:, 160:350], (160.0, 0.0))
    assert (look.offset_px, look.is_unlike) == (None, False)


def test_strangers_full_of_structure_are_unlike() -> None:
    picture = ihc()
    look = wide_look(picture[:150, :190], picture[300:450, 250:440], (160.0, 0.0))
    assert (look.offset_px, look.is_unlike) == (None, True)
