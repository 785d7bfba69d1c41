"""A scan with stops whose pictures are looked at on the way to the next tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from parfocal.edge.camera.frame import Frame
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling.judging.judge import Seen, TileJudge
from parfocal.edge.scan.tiling.judging.uneven_tiles import UsualSpread
from parfocal.edge.scan.tiling.moving.ahead import Ahead
from parfocal.edge.scan.tiling.moving.going import Going
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.plan import TilePlan
from parfocal.edge.scan.tiling.registering import shift_px
from parfocal.edge.scan.tiling.scanner import Scanner
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.engines.errors import EngineError
from tests.edge.scan.conftest import Scan
from tests.edge.scan.tiling.small_slide import BRIGHT, CONFIG, SmallSlide, bent

LOOK_S = 0.06
SIGMA_UM = 0.2
READ_OUT_S = BRIGHT.camera.frame_period_s

Slow = Callable[[SmallSlide], SmallSlide]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    """A computer that looks at each picture for `LOOK_S`."""
    look = TileJudge.look

    def slowed(small: SmallSlide) -> SmallSlide:
        def slow_look(judge: TileJudge, *given: object) -> Seen:
            small.bench.clock.sleep_s(LOOK_S)
            return look(judge, *given)  # type: ignore[arg-type]

        monkeypatch.setattr(TileJudge, "look", slow_look)
        # As after some tiles: at first every one is examined.
        monkeypatch.setattr(UsualSpread, "is_unusual", lambda *_: False)
        return small

    return slowed


def farthest_px(taken: list[TileDone]) -> float:
    """How far a picture lies from the place that its tile names, px; of tiles with tissue all over."""
    ideal, off_px = SmallSlide(), list[float]()
    for done in taken:
        tile = done.tile
        if tile.column >= 2:
            pixels = ideal.render(tile.x_um, tile.y_um, ideal.focus(tile.x_um, tile.y_um), 0.5)
            off_px.append(float(np.hypot(*shift_px(pixels, rgb_from_file(tile.path))[:2])))
    return max(off_px)


def test_what_is_computed_passes_on_the_way_and_tiles_lie_where_they_were_taken(
    scan: Scan, out: Path, plan: TilePlan, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    went = list[float]()
    go_on = Going.go_on

    def noted(going: Going, x_um: float, y_um: float, z_um: float) -> None:
        went.append(x_um)
        go_on(going, x_um, y_um, z_um)

    monkeypatch.setattr(Going, "go_on", noted)
    small = slow(SmallSlide(single_sigma_um=0.05))
    taken = scan(small)
    assert len(went) > len(taken) / 2
    assert max(abs(done.error_um or 0.0) for done in taken if done.tile.tissue) < 0.96
    ideal = SmallSlide()
    for done in taken:
        tile = done.tile
        there = next(each for each in plan.tiles if (each.row, each.column) == (tile.row, tile.column))
        assert np.hypot(tile.x_um - there.x_um, tile.y_um - there.y_um) < 3.0
        if tile.column >= 2:
            pixels = ideal.render(
                tile.x_um, tile.y_um, ideal.focus(tile.x_um, tile.y_um), CONFIG.scan.lamp_duty
            )
            assert np.hypot(*shift_px(pixels, rgb_from_file(tile.path))[:2]) < 0.5
    assert read_scan(out).is_complete


def test_a_scan_takes_less_time_so(
    scan: Scan, out: Path, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = slow(SmallSlide(single_sigma_um=0.05))
    ahead_s = sum(done.tile.elapsed_s for done in scan(small) if done.tile.retaken == 0)
    out.rename(out.with_name("ahead"))
    monkeypatch.setattr(Ahead, "saves_time", lambda *_: False)
    staying = slow(SmallSlide(single_sigma_um=0.05))
    taken = scan(staying)
    staying_s = sum(done.tile.elapsed_s for done in taken if done.tile.retaken == 0)
    assert ahead_s < staying_s - 0.4 * LOOK_S * len(taken)


def test_what_was_out_of_focus_is_gone_back_to(
    scan: Scan, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ahead, "saves_time", lambda *_: True)
    stepped = slow(SmallSlide(focus=lambda x, y: bent(x, y) + (4.0 if y > 9_985.0 else 0.0)))
    taken = scan(stepped)
    again = [done for done in taken if done.tile.retaken]
    assert len(again) >= 2
    tissue = [done for done in taken if done.tile.tissue]
    assert max(abs(done.error_um or 0.0) for done in tissue) < 0.96
    ideal = SmallSlide()
    for done in again:
        there = ideal.render(done.tile.x_um, done.tile.y_um, ideal.focus(done.tile.x_um, done.tile.y_um), 0.5)
        if done.tile.column >= 2:
            assert np.hypot(*shift_px(there, rgb_from_file(done.tile.path))[:2]) < 0.7


def test_a_model_that_fails_on_the_way_ends_the_scan_at_rest(
    scan: Scan, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = slow(SmallSlide())
    slow_look, n_looked = TileJudge.look, 0

    def fails(judge: TileJudge, *given: object) -> Seen:
        nonlocal n_looked
        n_looked += 1
        if n_looked == 8:
            raise EngineError("the device is gone")
        return slow_look(judge, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TileJudge, "look", fails)
    with pytest.raises(EngineError, match="the device is gone"):
        scan(small)
    at_um = small.bench.true_um(small.bench.clock.now_s())
    small.bench.clock.sleep_s(0.2)
    assert small.bench.true_um(small.bench.clock.now_s()) == pytest.approx(
        at_um, abs=0.05
    )  # it still swings a little


def test_a_picture_is_read_out_on_the_way_and_shows_the_tile_at_rest(
    scan: Scan, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UsualSpread, "is_unusual", lambda *_: False)  # as after some tiles

    def seconds(is_measured: bool) -> float:
        out.rename(out.with_name("before")) if out.exists() else None
        small = SmallSlide(single_sigma_um=0.05, config=BRIGHT, is_exposure_measured=is_measured)
        taken = scan(small)
        assert max(abs(done.error_um or 0.0) for done in taken if done.tile.tissue) < 0.96
        assert farthest_px(taken) < 0.5
        return sum(done.tile.elapsed_s for done in taken if done.tile.retaken == 0) / len(taken)

    waiting_s, going_s = seconds(is_measured=False), seconds(is_measured=True)
    assert going_s < waiting_s - 0.6 * READ_OUT_S


def test_a_frame_that_is_lost_on_its_way_is_taken_again_where_it_belongs(
    scan: Scan, out: Path, plan: TilePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UsualSpread, "is_unusual", lambda *_: False)
    monkeypatch.setattr(Ahead, "saves_time", lambda *_: True)
    poll, n_come = TriggeredCamera.poll, 0

    def loses(camera: TriggeredCamera) -> Frame | None:
        nonlocal n_come
        frame = poll(camera)
        n_come += frame is not None
        return None if n_come % 5 == 0 else frame

    monkeypatch.setattr(TriggeredCamera, "poll", loses)
    small = SmallSlide(single_sigma_um=0.05, config=BRIGHT, is_exposure_measured=True)
    taken = scan(small)
    assert n_come > len(taken)
    places_um = {(tile.row, tile.column): (tile.x_um, tile.y_um) for tile in plan.tiles}
    for tile in (done.tile for done in taken):
        x_um, y_um = places_um[tile.row, tile.column]
        assert np.hypot(tile.x_um - x_um, tile.y_um - y_um) < 3.0
    assert farthest_px(taken) < 0.5
    assert read_scan(out).is_complete


@pytest.mark.parametrize(
    ("look_s", "move_s", "n_back", "saves"),
    [
        (0.0, 0.2, 0, False),  # nothing to gain
        (0.03, 0.2, 0, True),
        (0.03, 0.2, 5, True),
        (0.03, 0.2, 7, False),  # to stop, go back and come to rest takes longer than to look
        (0.15, 0.2, 7, True),  # but never more than two ways
        (0.03, 0.2, 20, False),
        (0.5, 0.2, 3, True),
    ],
)
def test_the_stage_goes_on_where_that_saves_more_than_going_back_costs(
    look_s: float, move_s: float, n_back: int, saves: bool
) -> None:
    small = SmallSlide()
    with small.instrument() as instrument:
        ahead = Ahead(instrument)
        for k in range(100):
            ahead.moved(move_s)
            ahead.seen(lambda: instrument.clock.sleep_s(look_s), None)
            ahead.judged(k % 40 >= n_back, SIGMA_UM, is_at_fold=False)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=False) is saves
        still = Ahead(msgspec.structs.replace(instrument, board=object()))
        still.moved(move_s)
        still.seen(lambda: instrument.clock.sleep_s(look_s), None)
        assert not still.saves_time(SIGMA_UM, is_at_fold=False)


def test_the_stage_stays_where_the_focus_is_as_uncertain_as_where_it_had_to_go_back() -> None:
    with SmallSlide().instrument() as instrument:
        ahead = Ahead(instrument)
        ahead.moved(0.2)
        ahead.seen(lambda: instrument.clock.sleep_s(0.05), None)
        for k in range(200):
            is_uncertain = k % 2 == 1
            ahead.judged(not is_uncertain or k % 8 < 6, 0.5 if is_uncertain else 0.2, is_at_fold=False)
        assert [ahead.saves_time(sigma_um, is_at_fold=False) for sigma_um in (0.15, 0.25, 0.45, 2.0)] == [
            True,
            True,
            False,
            False,
        ]
        for _ in range(40):  # later ones count more than those before
            ahead.judged(is_good=True, sigma_um=0.5, is_at_fold=False)
        assert ahead.saves_time(0.5, is_at_fold=False)


def test_beside_a_fold_the_stage_stays_until_it_is_known_that_it_need_not() -> None:
    with SmallSlide().instrument() as instrument:
        ahead = Ahead(instrument)
        for _ in range(20):
            ahead.moved(0.2)
            ahead.seen(lambda: instrument.clock.sleep_s(0.05), None)
            ahead.judged(True, SIGMA_UM, is_at_fold=False)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=False)
        assert not ahead.saves_time(SIGMA_UM, is_at_fold=True)
        for _ in range(60):
            ahead.judged(True, SIGMA_UM, is_at_fold=True)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=True)
        for _ in range(60):
            ahead.judged(False, SIGMA_UM, is_at_fold=True)
        assert not ahead.saves_time(SIGMA_UM, is_at_fold=True)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=False)  # folds say nothing of the others


def test_a_motion_does_not_wait_for_a_picture_that_has_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ahead, "saves_time", lambda *_: True)
    with SmallSlide().instrument() as instrument:
        instrument.board.home()
        comes, happened = [False, False, True], list[str]()

        def has_come() -> bool:
            happened.append("asked")
            return comes.pop(0)

        def go() -> None:
            instrument.board.arrive(x_um=20_000.0, y_um=10_000.0, z_um=2500.0)
            happened.append("there")

        Ahead(instrument).seen(lambda: happened.append("looked"), go, has_come)
        assert happened == ["asked", "asked", "asked", "looked", "there"]
        happened.clear()
        Ahead(instrument).seen(
            lambda: happened.append("looked"), lambda: happened.append("there"), lambda: False
        )
        assert happened == ["there", "looked"]


def test_the_stage_keeps_going_on_though_it_no_longer_waits_for_pictures() -> None:
    with SmallSlide().instrument() as instrument:
        board, clock = instrument.board, instrument.clock
        board.home()
        ahead, look_s, way_um = Ahead(instrument), 0.1, 400.0
        for _ in range(30):
            ahead.moved(0.15)
            ahead.seen(lambda: clock.sleep_s(look_s), None)
            ahead.judged(True, SIGMA_UM, is_at_fold=False)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=False)
        for number in range(30):
            comes_s = clock.now_s() + look_s

            def go(x_um: float = 20_000.0 + way_um * (number % 2)) -> None:
                board.arrive(x_um=x_um, y_um=10_000.0, z_um=2500.0)

            def has_come(comes_s: float = comes_s) -> bool:
                return clock.now_s() >= comes_s

            ahead.seen(lambda: None, go, has_come)
        assert ahead.saves_time(SIGMA_UM, is_at_fold=False)


def test_the_stage_is_stopped_on_its_way_from_a_tile_that_is_not_good() -> None:
    with SmallSlide().instrument() as instrument:
        board, clock = instrument.board, instrument.clock
        board.home()
        board.arrive(x_um=20_000.0, y_um=10_000.0, z_um=2500.0)
        ahead, began_s = Ahead(instrument), clock.now_s()

        def go() -> None:
            board.arrive(x_um=20_422.0, y_um=10_000.0, z_um=2500.0)

        def has_come() -> bool:
            return clock.now_s() >= began_s + 0.033

        assert ahead.seen(lambda: "blurred", go, has_come, lambda seen: seen == "sharp") == "blurred"
        assert clock.now_s() - began_s < 0.09
        assert 20_010.0 < board.x.position_um < 20_300.0
        began_s = clock.now_s()
        assert ahead.seen(lambda: "sharp", go, has_come, lambda seen: seen == "sharp") == "sharp"
        assert board.x.position_um == pytest.approx(20_422.0, abs=0.7)


def test_a_tile_that_two_shots_have_to_settle_is_gone_back_to(
    scan: Scan, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ahead, "saves_time", lambda *_: True)
    monkeypatch.setattr(TileJudge, "is_ready", False)  # so every tile has to be focused
    went, focus_near = list[float](), Scanner.focus_near
    small = slow(SmallSlide())

    def noted(scanner: Scanner, pivot_um: float) -> FocusResult:
        went.append(scanner.going.place_um[0])
        return focus_near(scanner, pivot_um)

    monkeypatch.setattr(Scanner, "focus_near", noted)
    taken = [done for done in scan(small, n_tiles=8) if done.tile.tissue]
    assert len(taken) >= 4
    assert went == pytest.approx([done.tile.x_um for done in taken], abs=3.0)
    assert max(abs(done.error_um or 0.0) for done in taken) < 0.96


def test_the_stage_is_where_it_has_gone_on_to_at_rest_and_nowhere_else() -> None:
    small = SmallSlide()
    with small.instrument() as instrument:
        instrument.board.home()
        instrument.board.lamp(CONFIG.scan.lamp_duty)
        light = Light(instrument, CONFIG.scan.lamp_duty, only_exposed=False)
        going = Going(instrument, CONFIG, light, same_um=0.24)
        one, other = (19_950.0, 10_000.0, 2500.0), (20_000.0, 10_030.0, 2501.25)
        going.take_at(*one)
        going.go_on(*other)
        has_gone_on, moved_s = [going.has_gone_on], instrument.clock.now_s()
        going.take_at(other[0], other[1], other[2] + 0.2)
        assert [*has_gone_on, going.has_gone_on] == [True, False]
        assert small.exposed_um[-1] == pytest.approx(other, abs=0.1)  # it no longer swings
        assert instrument.clock.now_s() - moved_s < 0.12 + READ_OUT_S
        going.take_at(*one)
        going.take_at(*other)  # it was elsewhere since
        assert small.exposed_um[-1] == pytest.approx(other, abs=0.1)
        going.go_on(*one)
        going.take_at(one[0], one[1], one[2] + 2.0)  # the height is another one by now
        assert small.exposed_um[-1] == pytest.approx((one[0], one[1], one[2] + 2.0), abs=0.2)
        going.go_on(*other)
        going.be_back(*one)
        assert small.bench.true_um(instrument.clock.now_s()) == pytest.approx(one, abs=0.1)
        going.go_on(*other)
        going.take_at(*one)
        going.take_at(*other)
        assert small.exposed_um[-1] == pytest.approx(other, abs=0.1)
