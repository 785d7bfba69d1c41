"""Beside a tile whose fold was measured, one that looks folded in a sweep is taken by planes alone."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.focus.shots import Shot
from parfocal.edge.focus.uneven.field import FieldShape, Passed, UnevenField
from parfocal.edge.focus.uneven.height_map import HeightMap
from parfocal.edge.scan.continuous.plan import SweepPlan, sweep_plan
from parfocal.edge.scan.continuous.scanner import FOLDED
from parfocal.edge.scan.tiling.judging.judge import Seen, TileJudge
from parfocal.edge.scan.tiling.moving.ahead import Ahead
from parfocal.edge.scan.tiling.plan import PlannedTile, TilePlan
from parfocal.edge.scan.tiling.taken import TileDone
from tests.edge.scan.conftest import PLAYS, Scan
from tests.edge.scan.tiling.small_slide import BRIGHT, CONFIG, SmallSlide

HIGH_UM = 4.0  # above where the slide is without the fold
PIXELS = np.full((128, 160, 3), (10, 200, 30), np.uint8)


class Rise(msgspec.Struct, frozen=True):
    """Where the stage stood when planes were asked for, and between which heights, um."""

    x_um: float
    y_um: float
    z_um: float
    low_um: float
    high_um: float


class Folded:
    """The small slide with tiles that look folded in a sweep, and what was done about them."""

    def __init__(self, patch: pytest.MonkeyPatch, places: Sequence[tuple[int, int]]) -> None:
        self.small, self.places = SmallSlide(config=BRIGHT), set(places)
        self.rises = list[Rise]()
        self.n_examined = 0
        self._shown: float | None = HIGH_UM
        seen_folded = list[Shot]()
        look = TileJudge.look

        def looked(
            judge: TileJudge, shot: Shot, place_um: tuple[float, float], tile: PlannedTile | None = None
        ) -> Seen:
            seen = look(judge, shot, place_um, tile)
            is_folded = tile is not None and (tile.row, tile.column) in self.places
            if is_folded:
                seen_folded.append(shot)
            return msgspec.structs.replace(seen, crispness_spread=1.6 if is_folded else 0.5)

        def examined(_: UnevenField, shot: Shot) -> FieldShape:
            if not any(shot is one for one in seen_folded):
                return FieldShape("even", "even", shot.z_um, (), 1)
            return self._examined()

        def through(field: UnevenField, low_um: float, high_um: float) -> Passed | None:
            return self._through(field, low_um, high_um)

        patch.setattr(TileJudge, "look", looked)
        patch.setattr(UnevenField, "examine_and_stay", examined)
        patch.setattr(UnevenField, "through", through)

    def shows(self, high_um: float | None) -> None:
        """What planes show: a fold that is so high, or nothing."""
        self._shown = high_um

    def _examined(self) -> FieldShape:
        self.n_examined += 1
        z_um = self.small.focus(*self.small.exposed_um[-1][:2])
        cells_um = np.tile([z_um, z_um + HIGH_UM], (8, 4))
        cut = np.zeros(cells_um.shape, np.bool_)
        heights = HeightMap(cells_um, np.full(cells_um.shape, 0.1), cut, cut)
        return FieldShape("uneven", "step", z_um, (), 9, heights, best=Shot(z_um, PIXELS, CONFIG.focus))

    def _through(self, field: UnevenField, low_um: float, high_um: float) -> Passed | None:
        axis = field._shots._axis
        assert axis.engagement is Engagement.UP
        assert axis.position_um == pytest.approx(field.begin_um(low_um, high_um), abs=0.16)
        x_um, y_um, _ = self.small.bench.true_um(self.small.bench.clock.now_s())
        self.rises.append(Rise(x_um, y_um, axis.position_um, low_um, high_um))
        if self._shown is None:
            return None
        z_um = self.small.focus(x_um, y_um)
        range_um = (z_um, z_um + self._shown)
        return Passed(range_um, self._shown > 1.0, Shot(z_um + 1.0, PIXELS, CONFIG.focus))


def taken_of(done: Sequence[TileDone], folded: Folded) -> list[TileDone]:
    return [each for each in done if (each.tile.row, each.tile.column) in folded.places]


@pytest.fixture(scope="module")
def sweeps(plan: TilePlan) -> SweepPlan:
    return sweep_plan(plan, BRIGHT, PLAYS)


COLUMN = [(row, 3) for row in range(4)]


def test_the_second_tile_of_a_fold_is_taken_by_planes_between_the_heights_of_the_first(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, COLUMN)
    done = taken_of(scan(folded.small, sweeps=sweeps), folded)
    assert folded.n_examined == 1
    assert len(folded.rises) == len(done) - 1 == 3
    for rise in folded.rises:
        focus_um = folded.small.focus(rise.x_um, rise.y_um)
        assert rise.low_um == pytest.approx(focus_um, abs=0.7)
        assert rise.high_um == pytest.approx(focus_um + HIGH_UM, abs=0.7)
        assert rise.z_um < rise.low_um
    places_um = {(round(rise.x_um / 5.0), round(rise.y_um / 5.0)) for rise in folded.rises}
    assert len(places_um) == 3
    for each in done:
        assert each.tile.uneven
        assert (each.tile.retaken, each.tile.focus_um) == (1, None)
        assert each.tile.reason == f"{FOLDED}; then uneven: its focus lies {HIGH_UM:.1f} um apart"
    # Kept is the plane that shows most of it.
    risen = [each for each in done if each.error_um == pytest.approx(1.0, abs=0.3)]
    assert len(risen) == 3
    for each in risen:
        focus_um = folded.small.focus(each.tile.x_um, each.tile.y_um)
        assert each.tile.z_um == pytest.approx(focus_um + 1.0, abs=0.3)


def test_the_heights_of_a_fold_go_with_the_slope_of_the_slide(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, [(2, column) for column in (1, 2, 3, 4)])
    scan(folded.small, sweeps=sweeps)
    assert len(folded.rises) == 3
    off_um = [rise.low_um - folded.small.focus(rise.x_um, rise.y_um) for rise in folded.rises]
    # From one of these tiles to the next it rises by 0.3 um.
    assert off_um == pytest.approx([0.0] * 3, abs=0.12)


def test_from_the_end_of_the_last_row_on_the_nearest_one_is_taken_first(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, [(1, 4), (3, 2)])
    done = scan(folded.small, sweeps=sweeps)
    assert (done[-3].tile.row, done[-3].tile.column) == (3, 1)  # there the last row ends
    assert [each.tile.row for each in taken_of(done, folded)] == [3, 1]


def test_a_tile_that_looked_folded_and_has_one_focus_by_planes_is_taken_there_at_rest(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, COLUMN)
    folded.shows(0.5)
    done = taken_of(scan(folded.small, sweeps=sweeps), folded)
    risen = [each for each in done if each.tile.reason == FOLDED]
    assert len(risen) == len(folded.rises) == 2
    for each in risen:
        assert (each.tile.uneven, each.tile.retaken) == (False, 1)
        assert each.error_um == pytest.approx(0.25, abs=0.3)
    # Two were enough to show that such content is even: the last one stays as it was swept.
    assert sum(each.tile.reason is None for each in done) == 1


def test_what_planes_do_not_tell_two_shots_do(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, COLUMN)
    folded.shows(None)
    done = taken_of(scan(folded.small, sweeps=sweeps), folded)
    assert folded.n_examined == len(done) == 4
    assert len(folded.rises) == 3


def test_in_a_scan_with_stops_planes_follow_the_first_picture_at_once(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = dict[float, list[bool]]()
    saves_time = Ahead.saves_time

    def noted(ahead: Ahead, sigma_um: float, is_at_fold: bool) -> bool:
        x_um, _, _ = folded.small.bench.true_um(folded.small.bench.clock.now_s())
        told.setdefault(round(x_um / 10.0), []).append(is_at_fold)
        return saves_time(ahead, sigma_um, is_at_fold)

    monkeypatch.setattr(Ahead, "saves_time", noted)
    folded = Folded(monkeypatch, COLUMN)
    done = taken_of(scan(folded.small), folded)
    # At first it is not known what is usual, and two shots tell of every tile.
    assert (folded.n_examined, len(folded.rises)) == (2, 2)
    # About an uneven tile the stage does not go on before a picture was looked at, elsewhere it may.
    by_column = [told[x] for x in sorted(told)]
    assert by_column[0] == [False] * 3  # the last tile has none to go on to
    assert by_column[3] == [False, True, True, True]
    assert (sum(by_column[2]), sum(by_column[4])) == (3, 4)
    for each in done:
        assert (each.tile.uneven, each.tile.retaken) == (True, 0)
        assert each.tile.reason == f"uneven: its focus lies {HIGH_UM:.1f} um apart"


def test_in_a_scan_with_stops_an_even_tile_keeps_its_first_picture(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, COLUMN)
    folded.shows(0.5)
    done = taken_of(scan(folded.small), folded)
    even = [each for each in done if not each.tile.uneven]
    assert len(even) == len(folded.rises) == 2
    assert folded.n_examined == 2  # the last one is like content that proved even: two shots tell of it
    for each in even:
        assert (each.tile.reason, each.tile.retaken) == (None, 0)
        assert each.error_um == pytest.approx(0.0, abs=0.6)


def test_another_fold_is_not_taken_by_the_heights_of_one_farther_off(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = Folded(monkeypatch, [(2, 1), (2, 4)])
    done = taken_of(scan(folded.small, sweeps=sweeps), folded)
    assert folded.n_examined == len(done) == 2
    assert folded.rises == []
