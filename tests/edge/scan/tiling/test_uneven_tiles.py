"""A tile without a single focus is noticed, scanned along the axis, named in the journal, and kept as asked for."""

from pathlib import Path

import numpy as np
import pytest

from parfocal.board.own.triggers import Flash
from parfocal.edge.config import Config, FocusConfig
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.crispness import Crispness
from parfocal.edge.focus.uneven.field import FieldShape, Passed
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.plan import flash_like_rest
from parfocal.edge.scan.continuous.planes import PlaneSweeper
from parfocal.edge.scan.tiles import read_scan, stacks_folder
from parfocal.edge.scan.tiling.job import Ways
from parfocal.edge.scan.tiling.judging.uneven_tiles import Doubt, Place, UnevenTiles, UsualSpread
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.stacks.read import read_stack
from tests.edge.scan.conftest import Scan
from tests.edge.scan.tiling.small_slide import CONFIG, SmallSlide, bent, drawn

SHOT = Shot(2500.0, np.ascontiguousarray(drawn()[300:492, 300:556]), FocusConfig())
MEASURED = TriggerInUse(CONFIG.scan.flash_delay_s, room_s=CONFIG.camera.exposure_s)
HERE = (20_000.0, 10_000.0)
USUAL = tuple((spread, *HERE) for spread in (0.50, 0.52, 0.49, 0.55, 0.51))


class Examined:
    """A field that is judged by a second shot; it counts how often it was asked."""

    def __init__(self, verdict: str | None) -> None:
        """`verdict`: None for an empty field."""
        self.asked, self._verdict = 0, verdict

    def begin_um(self, low_um: float, high_um: float) -> float:
        raise AssertionError(f"asked for planes from {low_um} to {high_um} um")

    def through(self, low_um: float, high_um: float) -> Passed | None:
        raise AssertionError(f"asked for planes from {low_um} to {high_um} um")

    def examine_and_stay(self, shot: Shot) -> FieldShape | None:
        self.asked += 1
        if self._verdict is None:
            return None
        return FieldShape(self._verdict, "step", shot.z_um, (), 9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spread", "doubt", "verdict", "is_asked"),
    [
        (0.60, None, "uneven", False),  # as usual: no second shot
        (0.70, None, "uneven", True),
        (0.70, None, "even", True),
        (0.70, None, "not confirmed", True),  # the axial scan decides
        (0.70, None, None, True),
        (None, None, "uneven", False),  # too little in it to tell
        (0.57, "unexpected", "uneven", True),
        (0.55, "unexpected", "uneven", False),  # a step between tiles: its own parts are alike
        (None, "unexpected", "uneven", True),
        (0.50, "contradicting", "uneven", True),
    ],
)
def test_a_tile_whose_parts_are_not_equally_sharp_is_examined_which_decides(
    spread: float | None, doubt: Doubt | None, verdict: str | None, is_asked: bool
) -> None:
    examine = Examined(verdict)
    shape = UnevenTiles(UsualSpread(USUAL), examine).shape_of(SHOT, spread, HERE, doubt)
    assert (None if shape is None else shape.verdict) == (verdict if is_asked else None)
    assert examine.asked == is_asked


def test_what_is_usual_is_learned_from_even_tiles_only() -> None:
    examine = Examined("uneven")
    tiles = UnevenTiles(UsualSpread(), examine)
    for _ in range(7):  # a slide that is folded everywhere
        assert tiles.shape_of(SHOT, 1.4, HERE, None) is not None
    assert not tiles.usual.known
    even = Examined("even")
    tiles = UnevenTiles(tiles.usual, even)
    for _ in range(20):  # then a stain whose cells differ as much
        tiles.shape_of(SHOT, 1.4, HERE, None)
    assert even.asked == 5
    # Points of a survey are in focus, but may lie on a fold.
    usual = UsualSpread()
    for spread in (1.4, 0.5, None):
        usual.learn(spread, HERE)
    assert usual.known == ((0.5, *HERE),)


def test_where_even_tiles_differ_much_the_whole_of_what_is_usual_is_learned_not_its_lower_end() -> None:
    usual = UsualSpread()
    for spread in np.random.default_rng(1).normal(1.22, 0.13, 400):
        usual.learn(float(spread), HERE)
    assert np.median([spread for spread, *_ in usual.known]) > 1.15
    assert not usual.is_unusual_in_sweep(1.62, HERE)  # one of a hundred is as far apart
    assert usual.is_unusual_in_sweep(2.4, HERE)
    # A fifth of the tiles lie on folds: they do not count.
    folded = UsualSpread()
    for k in range(400):
        folded.learn(1.2 if k % 5 == 0 else 0.6, HERE)
    assert {spread for spread, *_ in folded.known} == {0.6}


def test_what_is_usual_is_that_of_the_nearest_tiles_on_either_side_of_a_border_of_stains() -> None:
    """Rows back and forth over two stains, of which one differs more within even tiles."""
    usual = UsualSpread()
    places = [
        (400.0 * k, 350.0 * row)
        for row in range(6)
        for k in (range(40) if row % 2 == 0 else range(39, -1, -1))
    ]
    for x_um, y_um in places:
        usual.learn(0.5 if x_um < 8_000.0 else 0.8, (x_um, y_um))
    here_um, beyond_um = (7_200.0, 2_100.0), (8_800.0, 2_100.0)
    assert not usual.is_unusual(0.8, beyond_um)
    assert usual.is_unusual(0.8, here_um)  # a fold in the other stain
    assert usual.is_unusual(1.1, beyond_um)
    assert usual.is_unusual_in_sweep(0.8, here_um)
    assert not usual.is_unusual_in_sweep(0.8, beyond_um)
    # A scan that goes on knows it too.
    assert UsualSpread(usual.known).is_unusual(0.8, here_um)


def test_in_a_sweep_content_that_looked_uneven_twice_and_proved_even_is_not_taken_again() -> None:
    usual = UsualSpread(USUAL)
    assert not usual.is_unusual_in_sweep(0.70, HERE)
    assert usual.is_unusual_in_sweep(0.80, HERE)
    usual.learn(0.90, HERE, is_even=True)  # one may be a fold that was mistaken
    assert usual.is_unusual_in_sweep(0.80, HERE)
    usual.learn(0.85, HERE, is_even=True)
    assert not usual.is_unusual_in_sweep(0.80, HERE)
    assert usual.is_unusual_in_sweep(0.88, HERE)
    assert usual.is_unusual(0.80, HERE)  # at rest it costs little to look


@pytest.mark.parametrize(
    ("spread", "doubt", "has_left", "is_asked"),
    [
        (0.70, None, False, True),
        (0.70, None, True, False),  # to come back costs too much for what has proved even twice
        (0.95, None, True, True),
        (0.70, "unexpected", True, True),  # it is gone back to anyway
        (0.70, "contradicting", True, True),
    ],
)
def test_to_content_that_looked_uneven_twice_and_proved_even_the_stage_does_not_come_back(
    spread: float, doubt: Doubt | None, has_left: bool, is_asked: bool
) -> None:
    usual, examine = UsualSpread(USUAL), Examined("even")
    for proven in (0.90, 0.85):
        usual.learn(proven, HERE, is_even=True)
    UnevenTiles(usual, examine).shape_of(SHOT, spread, HERE, doubt, has_left)
    assert examine.asked == is_asked


def test_an_uneven_tile_is_named_and_kept_as_a_composite_with_its_stack(
    scan: Scan, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    green = np.full((128, 160, 3), (10, 200, 30), np.uint8)

    def folded(
        _: UnevenTiles, shot: Shot, spread: float | None, __: Place, doubt: Doubt | None, ___: bool
    ) -> FieldShape | None:
        assert spread is None
        assert doubt in (None, "unexpected")
        is_fold = 20_015.0 < small.exposed_um[-1][0] < 20_025.0 and small.exposed_um[-1][1] > 9_985.0
        return FieldShape("uneven", "step", shot.z_um, (), 9, picture=green) if is_fold else None

    small = SmallSlide()
    monkeypatch.setattr(UnevenTiles, "shape_of", folded)
    scan(small, n_tiles=12, ways=Ways(composite=True, z_stack=True))
    tiles = {tile.path.stem: tile for tile in read_scan(out).tiles}
    uneven = [tile for tile in tiles.values() if tile.uneven]
    assert [(tile.row, tile.column) for tile in uneven] == [(1, 3)]  # of the first twelve
    for tile in uneven:
        assert "uneven: its focus lies 0.0 um apart" in (tile.reason or "")
        assert (rgb_from_file(tile.path) == green).all()
        stack = read_stack(stacks_folder(out) / tile.path.stem)
        assert len(stack.planes) >= 4
        assert stack.z_um[0] < tile.z_um < stack.z_um[-1]
    assert {each.name for each in stacks_folder(out).iterdir()} == {tile.path.stem for tile in uneven}
    # Without being asked for, a composite is not kept.
    scan(SmallSlide())
    assert (rgb_from_file(tiles["0000-0002"].path) != green).any()


@pytest.mark.parametrize("is_measured", [True, False])
def test_a_scan_with_stops_does_not_stop_for_the_planes_of_a_fold_if_the_trigger_was_measured(
    scan: Scan, monkeypatch: pytest.MonkeyPatch, is_measured: bool
) -> None:
    flashes = list[Flash]()

    def made(instrument: Instrument, config: Config, flash: Flash, light: Light) -> PlaneSweeper:
        flashes.append(flash)
        return PlaneSweeper(instrument, config, flash, light)

    monkeypatch.setattr("parfocal.edge.scan.tiling.job.PlaneSweeper", made)
    scan(SmallSlide(is_exposure_measured=is_measured), n_tiles=1)
    expected = [flash_like_rest(CONFIG, MEASURED)] if is_measured else []
    assert flashes == expected


def test_a_fold_out_of_focus_is_examined_at_once_and_kept_as_it_shows_most(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = Shot(2502.5, np.full((128, 160, 3), (10, 200, 30), np.uint8), CONFIG.focus)
    seen = list[float]()

    def is_fold() -> bool:
        x_um, y_um, _ = small.exposed_um[-1]
        return 20_015.0 < x_um < 20_025.0 and 9_985.0 < y_um < 10_015.0

    def examined(
        tiles: UnevenTiles, _: Shot, spread: float | None, place_um: Place, doubt: Doubt | None, ___: bool
    ) -> FieldShape | None:
        tiles.usual.learn(spread, place_um)
        if not is_fold():
            return None
        assert (spread, doubt) == (1.4, None)
        seen.append(small.exposed_um[-1][2])
        return FieldShape("uneven", "step", 2502.0, (), 9, best=best)

    small = SmallSlide(focus=lambda x, y: bent(x, y) + (4.0 if 20_015.0 < x < 20_025.0 else 0.0))
    monkeypatch.setattr(UnevenTiles, "shape_of", examined)
    monkeypatch.setattr(
        "parfocal.edge.scan.tiling.judging.judge.crispness_of",
        lambda *_: Crispness(1.0, 1.4 if is_fold() else 0.5),
    )
    taken = [done for done in scan(small) if done.tile.uneven]
    assert len(taken) == len(seen) >= 1  # by the first picture of each
    for done, stood_um in zip(taken, seen, strict=True):
        assert done.tile.reason == "uneven: its focus lies 0.0 um apart"
        assert (done.tile.retaken, done.tile.z_um, done.tile.focus_um) == (0, best.z_um, None)
        assert (rgb_from_file(done.tile.path) == best.pixels).all()
        assert done.error_um == pytest.approx(
            stood_um - small.focus(done.tile.x_um, done.tile.y_um) + best.z_um - stood_um, abs=0.7
        )


@pytest.mark.parametrize(("crispness", "doubt"), [(0.3, "contradicting"), (1.0, "unexpected")])
def test_a_tile_that_was_focused_and_is_still_blurred_is_examined(
    scan: Scan, monkeypatch: pytest.MonkeyPatch, crispness: float, doubt: Doubt
) -> None:
    """Half-way between the heights of a fold, all of it is as blurred as the rest: its parts do not differ."""

    def is_there() -> bool:
        x_um, y_um, _ = small.exposed_um[-1]
        return 20_015.0 < x_um < 20_025.0 and y_um > 10_015.0

    doubts = list[Doubt | None]()

    def examined(
        tiles: UnevenTiles, _: Shot, spread: float | None, place_um: Place, found: Doubt | None, ___: bool
    ) -> None:
        tiles.usual.learn(spread, place_um)
        doubts.extend([found] if is_there() else [])

    small = SmallSlide(
        focus=lambda x, y: bent(x, y) + (4.0 if 20_015.0 < x < 20_025.0 and y > 10_015 else 0.0)
    )
    monkeypatch.setattr(UnevenTiles, "shape_of", examined)
    monkeypatch.setattr(
        "parfocal.edge.scan.tiling.judging.judge.crispness_of",
        lambda *_: Crispness(crispness if is_there() else 1.0, 0.5),
    )
    scan(small)
    assert doubts
    assert doubts[0] == doubt
