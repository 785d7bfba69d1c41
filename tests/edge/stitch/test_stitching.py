"""Tiles of real tissue with known truth: positions, empty stretches, repeated texture, light and seams."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.view import View
from parfocal.edge.stitch.layout import StagePlace, nominal_px
from parfocal.edge.stitch.light import Gain, LightOfTiles, gain_of_grid
from parfocal.edge.stitch.mosaic import EMPTY, Mosaic
from parfocal.edge.stitch.stitching import Stitching, StitchRefused, stitched
from tests.edge.stitch.cut import Cut, StageErrors, cut, errors_px
from tests.stains import ihc

UM_PER_PX = 1.0  # so um are px: steps are off by 2 px (at most 5), the slow error is 50 px
SIZE_PX = (190, 150)


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.uint8]:
    return np.pad(ihc(), ((100, 700), (100, 900), (0, 0)), "symmetric")


def scan_of(picture: NDArray[np.uint8], grid: tuple[int, int] = (4, 5), **changes: float) -> Cut:
    def source(x: int, y: int, w: int, h: int) -> NDArray[np.uint8]:
        return picture[y : y + h, x : x + w]

    return cut(source, grid, SIZE_PX, 0.15, UM_PER_PX, seed=3, errors=StageErrors(slow_um=50.0), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scan(tissue: NDArray[np.uint8]) -> Cut:
    return scan_of(tissue)


@pytest.fixture(scope="module")
def stitching(scan: Cut) -> Stitching:
    return stitched(scan.places, scan.tile, View(UM_PER_PX))


def test_tiles_lie_within_half_a_pixel_of_the_truth(scan: Cut, stitching: Stitching) -> None:
    errors = errors_px(stitching.corners_px, scan.true_px)
    assert np.median(errors_px(nominal_px(scan.places, View(UM_PER_PX)), scan.true_px)) > 1.5
    assert np.median(errors) < 0.25
    assert np.percentile(errors, 95) < 0.5
    assert stitching.report.seams_used >= 29 > 0.9 * stitching.report.seams


def test_the_order_of_the_tiles_does_not_matter(scan: Cut, stitching: Stitching) -> None:
    order = np.random.default_rng(1).permutation(len(scan.places))
    again = stitched([scan.places[k] for k in order], lambda k: scan.tile(int(order[k])), View(UM_PER_PX))
    off = again.corners_px - stitching.corners_px[order]
    assert np.abs(off - np.median(off, axis=0)).max() < 0.2


def test_an_empty_stretch_keeps_to_the_stage_and_tears_nothing(tissue: NDArray[np.uint8]) -> None:
    emptied = tissue.copy()
    emptied[:, 330:700] = 238  # two columns of tiles and the seams beside them
    scan = scan_of(emptied, grid=(2, 6))
    stitching = stitched(scan.places, scan.tile, View(UM_PER_PX))
    errors = errors_px(stitching.corners_px, scan.true_px)
    assert not all(seam.used for seam in stitching.seams)
    assert errors.max() < 10.0  # the stage's own errors over three steps
    left = np.array([place.column == 0 for place in scan.places])
    assert errors_px(stitching.corners_px[left], scan.true_px[left]).max() < 0.5


def test_repeated_texture_tears_nothing(tissue: NDArray[np.uint8]) -> None:
    y, x = np.mgrid[: tissue.shape[0], : tissue.shape[1]]
    dots = 200.0 + 40.0 * np.cos(2 * np.pi * x / 8.0) * np.cos(2 * np.pi * y / 8.0)
    repeated = np.repeat(dots[..., None], 3, axis=2).astype(np.uint8)
    repeated[:, :420] = tissue[:, :420]
    scan = scan_of(repeated, grid=(2, 5))
    stitching = stitched(scan.places, scan.tile, View(UM_PER_PX))
    errors = errors_px(stitching.corners_px, scan.true_px)
    in_tissue = np.array([place.column < 2 for place in scan.places])
    assert errors.max() < 7.0  # no tile has gone to the next period: the stage's error is all that is left
    assert errors_px(stitching.corners_px[in_tissue], scan.true_px[in_tissue]).max() < 0.5


def test_a_blank_slide_is_laid_out_by_the_stage() -> None:
    blank = np.full((900, 1100, 3), 235, np.uint8)
    scan = scan_of(blank, grid=(2, 3))
    # The camera has stripes of its own, which are at the same columns of all tiles.
    stripes = np.random.default_rng(1).normal(0.0, 0.8, (1, SIZE_PX[0], 1))

    def tile(k: int) -> NDArray[np.uint8]:
        return np.rint(scan.tile(k) + stripes).astype(np.uint8)

    stitching = stitched(scan.places, tile, View(UM_PER_PX))
    assert stitching.report.seams_used == 0
    off = stitching.corners_px - nominal_px(scan.places, View(UM_PER_PX))
    assert np.abs(off - off[0]).max() < 1e-6


def test_what_no_camera_shows_is_no_structure() -> None:
    """Less than a grey level is what quantisation and uneven light leave; it is at its own places in the camera."""
    faint = 235.0 + np.random.default_rng(1).normal(0.0, 1.5, (600, 700, 1)).astype(np.float32)
    faint = np.asarray(cv2.GaussianBlur(faint, (0, 0), 1.5), np.float32)
    tiles = [
        np.repeat(np.rint(part[..., None]), 3, axis=2).astype(np.uint8)
        for part in (faint[:150, :190], faint[:150, 160:350])
    ]
    places = (StagePlace(0, 0, 0.0, 0.0), StagePlace(0, 1, 160.0, 0.0))
    assert stitched(places, lambda k: tiles[k], View(1.0)).report.seams_used == 0
    stronger = [np.clip(235 + 8 * (tile.astype(int) - 235), 0, 255).astype(np.uint8) for tile in tiles]
    assert stitched(places, lambda k: stronger[k], View(1.0)).report.seams_used == 1


@pytest.mark.parametrize("view", [View(0.5, 2.0), View(0.5, -90.0, is_mirrored=True)])
def test_the_layout_turns_with_the_camera(view: View) -> None:
    """As the view says: a move by what lies right of the middle brings it to the middle."""
    places = (StagePlace(0, 0, 100.0, 50.0), StagePlace(0, 1, 200.0, 50.0), StagePlace(1, 0, 100.0, 130.0))
    for place, corner in zip(places, nominal_px(places, view), strict=True):
        assert view.um_from_px(*corner) == pytest.approx((place.x_um - 100.0, place.y_um - 50.0), abs=1e-9)


def gain_of(scan: Cut) -> Gain | None:
    light = LightOfTiles(len(scan.places))
    for k in range(len(scan.places)):
        light.add(scan.tile(k))
    return light.gain(SIZE_PX)


def light_of(fall: float) -> NDArray[np.float64]:
    y, x = np.mgrid[-1.0 : 1.0 : SIZE_PX[1] * 1j, -1.0 : 1.0 : SIZE_PX[0] * 1j]
    return np.asarray((1.0 - fall * ((x - 0.2) ** 2 + (y + 0.1) ** 2) / 2.0)[..., None], np.float64)


@pytest.mark.parametrize("fall", [0.25, 0.0])
def test_the_light_is_evened_out_from_tiles_of_which_a_few_show_glass(
    tissue: NDArray[np.uint8], fall: float
) -> None:
    emptied = tissue.copy()
    emptied[430:, :450] = 230
    gain = gain_of(scan_of(emptied, fall=fall))
    assert gain is not None
    evened = gain * light_of(fall)
    assert np.std(evened) / np.mean(evened) < 0.01


def test_tissue_alone_is_not_mistaken_for_light(tissue: NDArray[np.uint8]) -> None:
    gain = gain_of(scan_of(tissue, fall=0.0))
    assert gain is not None
    assert np.std(gain) < 0.02


def test_the_light_of_the_calibration_is_used_as_measured() -> None:
    gain = gain_of_grid([[0.5, 1.0], [0.5, 1.0]], (20, 10))
    assert gain.shape == (10, 20, 3)
    assert gain[:, 0].mean() / gain[:, -1].mean() == pytest.approx(2.0)


def _grey(level: int) -> Callable[[int], NDArray[np.uint8]]:
    return lambda _: np.full((30, 40, 3), level, np.uint8)


def test_blocks_are_parts_of_one_picture(scan: Cut, stitching: Stitching) -> None:
    mosaic = stitching.mosaic(scan.tile)
    height, width = mosaic.shape_px
    assert (height, width) == (stitching.report.height_px, stitching.report.width_px)
    whole = mosaic.block(0, 0, width, height)
    part = mosaic.block(150, 90, 210, 170)
    assert whole is not None
    assert part is not None
    assert np.array_equal(whole[90:260, 150:360], part)


def test_seams_of_a_slide_do_not_show(scan: Cut, stitching: Stitching, tissue: NDArray[np.uint8]) -> None:
    mosaic = stitching.mosaic(scan.tile)
    height, width = mosaic.shape_px
    whole = mosaic.block(0, 0, width, height)
    assert whole is not None
    x, y = np.rint(np.median(scan.true_px - mosaic.corners_px, axis=0)).astype(int)
    truth = tissue[y : y + height, x : x + width].astype(float)
    middle = (slice(40, height - 40), slice(40, width - 40))
    off = (whole - truth).mean(axis=2)[middle]
    off -= off.mean()
    # Light and noise are all that is left; a seam that is off by 2 px alone gives 20 grey levels here.
    assert np.std(off) < 9.0


def test_pixels_where_nothing_overlaps_are_those_of_the_camera() -> None:
    tile = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    mosaic = Mosaic(np.array([[0.0, 0.0]]), (40, 30), lambda _: tile, None, 4.0)
    whole = mosaic.block(0, 0, 40, 30)
    assert whole is not None
    assert np.array_equal(whole, tile)
    with_rim = mosaic.block(-5, 0, 50, 30)
    assert with_rim is not None
    assert (with_rim[:, :5] == EMPTY).all()
    assert mosaic.block(41, 0, 10, 10) is None


def test_a_seam_goes_smoothly_from_one_tile_to_the_other() -> None:
    tiles = {0: _grey(100), 1: _grey(120)}
    mosaic = Mosaic(np.array([[0.0, 0.0], [30.0, 0.0]]), (40, 30), lambda k: tiles[k](k), None, 10.0)
    block = mosaic.block(0, 0, 70, 30)
    assert block is not None
    line = block[15, :, 0].astype(int)
    assert line[0] == 100
    assert line[-1] == 120
    assert np.diff(line).min() >= 0
    assert np.diff(line).max() <= 4


def test_tiles_of_different_sizes_are_refused() -> None:
    places = (StagePlace(0, 0, 0.0, 0.0), StagePlace(0, 1, 30.0, 0.0))
    tiles = (np.zeros((30, 40, 3), np.uint8), np.zeros((30, 41, 3), np.uint8))
    with pytest.raises(StitchRefused, match="tile 2 is 41 x 30 px, the first is 40 x 30"):
        stitched(places, lambda k: tiles[k], View(1.0))
    with pytest.raises(StitchRefused, match="no tile to stitch"):
        stitched((), lambda k: tiles[k], View(1.0))
