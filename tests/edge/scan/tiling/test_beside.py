"""Where the focus of a tile is, by the strips that it shares with its neighbours: no single-shot model is needed."""

import functools
import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.view import View
from parfocal.edge.config import FocusConfig
from parfocal.edge.focus.judging.depth import depth_of_field_um
from parfocal.edge.focus.judging.rule import Seen as Sharp
from parfocal.edge.focus.picture.sharpness import variance_of_laplacian
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.focus.shots import Shot
from parfocal.edge.scan.tiling.heights import Expected
from parfocal.edge.scan.tiling.judging.beside import Beheld, Beside
from parfocal.edge.scan.tiling.judging.judge import Seen, TileJudge
from parfocal.edge.scan.tiling.plan import PlannedTile
from tests.edge.scan.tiling.small_slide import UM_PER_PX, drawn

CONFIG = FocusConfig(objective="40x/0.65", single_model="", patch_px=56)
DEPTH_UM = depth_of_field_um(CONFIG.objective)
WIDTH_PX, HEIGHT_PX, PITCH_PX = 240, 160, 190  # 50 px are shared
FIRST, SECOND, THIRD = (PlannedTile(0, k, PITCH_PX * UM_PER_PX * k, 0.0) for k in range(3))


def pictured(left_px: int, away_um: float) -> NDArray[np.uint8]:
    """Tissue from this column on, so far from its focus; sharpness falls as in real pictures at 40x."""
    part = drawn()[100 : 100 + HEIGHT_PX, 150 + left_px : 150 + left_px + WIDTH_PX]
    blurred = cv2.GaussianBlur(part, (0, 0), math.hypot(0.5, 0.46 * away_um)).astype(np.float32)
    noise = np.random.default_rng(left_px + 1).normal(0.0, 0.8, blurred.shape)
    return np.asarray(np.clip(np.rint(blurred + noise), 0, 255), np.uint8)


@functools.cache
def sharpnesses() -> tuple[tuple[float, float], ...]:
    return tuple((z, variance_of_laplacian(pictured(0, z))) for z in (-1.5, 1.5, 0.0))


def beside(slope_um_per_um: float = 0.0) -> Beside:
    """Tiles beside each other in rows along Y, on a slide whose focus curve eight fields have told."""
    made = Beside(CONFIG, View(UM_PER_PX), "y", lambda x_um, _y_um: slope_um_per_um * x_um, 0.0)
    for _ in range(8):
        seen = tuple(Sharp(100.0 + z, sharpness) for z, sharpness in sharpnesses())
        made.learn_field(FocusResult("focused", 100.0, 3, (), (), seen=seen))
    return made


def look(at: Beside, tile: PlannedTile, z_um: float, focus_um: float, off_px: int = 0) -> Beheld | None:
    """A tile is looked at whose picture lies `off_px` beside where the stage says."""
    pixels = pictured(tile.column * PITCH_PX + off_px, z_um - focus_um)
    return at.look(tile, (tile.x_um, tile.y_um), z_um, pixels)


def told(at: Beside, tile: PlannedTile, z_um: float, focus_um: float, off_px: int = 0) -> Beheld:
    found = look(at, tile, z_um, focus_um, off_px)
    assert found is not None
    return found


@pytest.mark.parametrize(("focus_um", "off_px"), [(-1.2, 0), (-0.5, 9), (0.0, -9), (0.5, 0), (1.2, -9)])
def test_two_heights_of_a_strip_tell_where_its_focus_is(focus_um: float, off_px: int) -> None:
    held = beside()
    assert look(held, FIRST, -0.4, focus_um) is None  # nothing is beside it yet
    found = told(held, SECOND, 0.4, focus_um, off_px)
    assert found.distance_um == pytest.approx(focus_um - 0.4, abs=0.4)
    assert found.sigma_um < 0.35


def test_the_strip_lies_half_way_to_the_neighbour_where_the_slide_is_higher_or_lower() -> None:
    slope = 0.01  # 0.66 um from tile to tile
    held, half_um = beside(slope), slope * PITCH_PX * UM_PER_PX / 2.0
    look(held, FIRST, 0.0, 0.4)
    found = told(held, SECOND, 0.8, 0.4)
    assert found.distance_um == pytest.approx(0.4 + half_um - 0.8, abs=0.25)


def test_what_is_as_high_too_far_apart_or_another_place_tells_nothing() -> None:
    for z_um, off_px in ((0.1, 0), (3.0, 0), (0.8, 40)):
        held = beside()
        look(held, FIRST, 0.0, 0.0)
        assert look(held, SECOND, z_um, 0.0, off_px) is None


def test_neighbours_that_contradict_each_other_lie_apart() -> None:
    held = beside()
    look(held, FIRST, -0.4, -1.5)
    look(held, THIRD, -0.4, 1.5)
    left, right = (pictured(PITCH_PX, 0.4 - focus_um) for focus_um in (-1.5, 1.5))
    folded = np.concatenate([left[:, : WIDTH_PX // 2], right[:, WIDTH_PX // 2 :]], axis=1)
    found = held.look(SECOND, (SECOND.x_um, 0.0), 0.4, folded)
    assert found is not None
    assert found.spread_um > DEPTH_UM


def test_a_tile_that_is_taken_again_is_held_against_its_own_first_picture() -> None:
    held = beside()
    assert look(held, FIRST, 0.0, 1.5) is None
    found = told(held, FIRST, 1.5, 1.5)
    assert found.distance_um == pytest.approx(0.0, abs=0.25)


def test_rows_are_taken_above_and_below_the_focus_by_turns_and_a_tile_again_in_it() -> None:
    held = beside()
    first_um, second_um, third_um = (held.aim_um(tile) for tile in (FIRST, SECOND, THIRD))
    assert first_um == third_um == -second_um
    assert 0.4 * DEPTH_UM < abs(second_um - first_um) < DEPTH_UM
    assert held.aim_um(PlannedTile(5, 0, 0.0, 0.0)) == first_um  # the same row
    look(held, FIRST, 0.0, 0.0)
    assert held.aim_um(FIRST) == 0.0


def test_the_focus_curve_is_kept_for_a_scan_that_is_continued() -> None:
    taught, continued = beside(), Beside(CONFIG, View(UM_PER_PX), "y", above_sharpest_um=0.0)
    continued.restore(taught.known)
    found = []
    for held in (taught, continued):
        look(held, FIRST, -0.4, 0.5)
        found.append(look(held, SECOND, 0.4, 0.5))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("z_um", "expected", "verdict"),
    [
        (0.3, Expected(0.0, 0.3), "good"),
        (1.5, Expected(1.5, 0.3), "predicted"),  # its neighbour shows it, whatever was expected
        (
            9.0,
            Expected(9.0, 0.3),
            "good",
        ),  # nothing tells, but where the focus was expected is certain enough
        (9.0, Expected(9.0, 0.7), "untold"),
        (9.0, Expected(8.0, 0.3), "untold"),
    ],
)
def test_the_verdict_on_a_tile_beside_its_neighbours(z_um: float, expected: Expected, verdict: str) -> None:
    judge = TileJudge(None, CONFIG, UM_PER_PX, beside())
    judge.look(Shot(-0.4, pictured(0, -0.4), CONFIG), (0.0, 0.0), FIRST)
    away_um = z_um if z_um < 2.0 else 0.0
    shot = Shot(z_um, pictured(PITCH_PX, away_um), CONFIG)
    assert judge.judge(judge.look(shot, (SECOND.x_um, 0.0), SECOND), z_um, expected).verdict == verdict


def test_rows_are_swept_opposite_ways_so_the_play_of_z_is_in_all_that_neighbours_tell() -> None:
    by_neighbours, by_itself = (TileJudge(None, CONFIG, UM_PER_PX, held) for held in (beside(), None))
    assert [by_neighbours.play_um(0.4, is_falling) for is_falling in (False, True)] == [0.2, 0.2]
    assert [by_itself.play_um(0.4, is_falling) for is_falling in (False, True)] == [0.0, 0.4]
    assert (by_neighbours.shows_play, by_itself.shows_play) == (False, True)


@pytest.mark.parametrize(("spread_um", "is_contradicted"), [(None, False), (0.5, False), (3.0, True)])
def test_a_tile_about_which_neighbours_contradict_each_other_by_a_depth_of_field_is_told(
    spread_um: float | None, is_contradicted: bool
) -> None:
    seen = Seen(0.0, 0.2, 1.0, 1.0, True, spread_um)
    assert TileJudge(None, CONFIG, UM_PER_PX, beside()).is_contradicted(seen) is is_contradicted
    assert not TileJudge(None, CONFIG, UM_PER_PX).is_contradicted(seen)
