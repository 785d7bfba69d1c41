"""A continuous scan ends with every tile on the disk, in focus, once; whatever was missed, blurred or interrupted."""

import itertools
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.board.errors import BoardError
from parfocal.board.own.board import Board
from parfocal.board.own.sweeping import Along
from parfocal.board.own.triggers import TriggeredFrame
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.camera.frame import Frame
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.focus.uneven.crispness import Crispness
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous import scanner
from parfocal.edge.scan.continuous.engagement import Engagement
from parfocal.edge.scan.continuous.plan import SweepPlan, sweep_plan
from parfocal.edge.scan.continuous.rows import Line, Row, line_of, rows_of
from parfocal.edge.scan.continuous.scanner import BLURRED, DARK, FOLDED, LOST, MISSED, ContinuousScanner
from parfocal.edge.scan.continuous.sweep import Caught, Sweeper
from parfocal.edge.scan.tiles import read_scan
from parfocal.edge.scan.tiling.heights import Expected, Heights
from parfocal.edge.scan.tiling.judging.judge import Judged, Seen, TileJudge
from parfocal.edge.scan.tiling.moving.going import Offset
from parfocal.edge.scan.tiling.plan import TilePlan, field_of, plan_tiles
from parfocal.edge.scan.tiling.registering import shift_px
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.tiling.writer import TileNotWritten
from parfocal.edge.simscope.bench import stub_of
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.edge.tissue.area import rectangle
from tests.edge.scan.conftest import PLAYS, REGION, Scan
from tests.edge.scan.tiling.small_slide import BRIGHT, CONFIG, UM_PER_PX, Knows, SmallSlide, bent


@pytest.fixture
def sweeps(plan: TilePlan) -> SweepPlan:
    return sweep_plan(plan, BRIGHT, PLAYS)


def errors_um(taken: list[TileDone]) -> list[float]:
    return [abs(done.error_um or 0.0) for done in taken if done.tile.tissue]


def test_a_camera_that_runs_free_is_refused_before_anything_moves(sweeps: SweepPlan) -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        at_um = instrument.board.x.position_um
        free = msgspec.structs.replace(instrument, triggered=None)
        with pytest.raises(
            ConfigError, match=r"this one runs free; nothing moved\. Set camera\.trigger_line"
        ):
            Sweeper(free, BRIGHT, sweeps)
        assert instrument.board.x.position_um == at_um


@pytest.mark.parametrize("along", ["x", "y"])
def test_every_tile_is_taken_in_focus_where_the_journal_says_while_the_stage_moves(
    scan: Scan, out: Path, along: Along
) -> None:
    small, ideal = SmallSlide(config=BRIGHT), SmallSlide()
    plan = plan_tiles(rectangle(*REGION), CONFIG, field_of(CONFIG.camera, UM_PER_PX), 0.1, along)
    taken = scan(small, sweeps=sweep_plan(plan, BRIGHT, PLAYS), tiles=plan)
    stored = read_scan(out)
    assert stored.is_complete
    assert tuple((t.row, t.column) for t in stored.tiles) == plan.places
    swept = [done for done in taken if done.tile.reason is None]
    assert len(swept) >= len(taken) - 2
    assert max(errors_um(taken)) < 0.96
    for parity in (0, 1):  # Z rises in one, and falls in the other
        z_off_um = [
            (done.error_um or 0.0) + ideal.focus(done.tile.x_um, done.tile.y_um) - done.tile.z_um
            for done in swept
            if (done.tile.row if along == "x" else done.tile.column) % 2 == parity
        ]
        assert abs(float(np.mean(z_off_um))) < 0.15
    for done in swept:
        tile = done.tile
        assert done.error_um is not None
        if tile.focus_um is not None:
            assert abs(done.error_um + tile.focus_um) < 0.6
        if tile.column >= 2:
            z_um = ideal.focus(tile.x_um, tile.y_um)
            pixels = rgb_from_file(tile.path)
            there = ideal.render(tile.x_um, tile.y_um, z_um + done.error_um, CONFIG.scan.lamp_duty)
            assert np.hypot(*shift_px(there, pixels)[:2]) < 0.5  # sharp and in its place
            assert pixels.mean() == pytest.approx(
                there.mean(), rel=0.03
            )  # and as bright as one taken at rest


@pytest.mark.parametrize("delay_s", [0.0004, 0.0013])
def test_a_flash_comes_when_the_camera_was_measured_to_expose_and_its_tile_lies_where_it_showed_the_stage(
    scan: Scan, out: Path, plan: TilePlan, delay_s: float
) -> None:
    # At 1.4 mm/s no step of 1.25 um and one; a flash as configured, after 0.01 ms, would be over by then.
    late = TriggerInUse(delay_s + 1e-5, 1e-5, 0.0075, datetime(2026, 11, 27, tzinfo=timezone.utc))
    told = list[str]()
    taken = scan(
        SmallSlide(config=BRIGHT, trigger_delay_s=delay_s),
        sweeps=sweep_plan(plan, BRIGHT, PLAYS, late),
        told=told,
    )
    assert sum(done.tile.reason is None for done in taken) >= len(taken) - 2
    assert told == []
    ideal = SmallSlide()
    for tile in read_scan(out).tiles:
        if tile.column >= 2:
            z_um = ideal.focus(tile.x_um, tile.y_um)
            there = ideal.render(tile.x_um, tile.y_um, z_um, CONFIG.scan.lamp_duty)
            assert np.hypot(*shift_px(there, rgb_from_file(tile.path))[:2]) < 0.3


def test_flashes_that_the_camera_misses_cost_a_second_pass_and_tell_what_is_due(
    scan: Scan, sweeps: SweepPlan
) -> None:
    told = list[str]()
    taken = scan(SmallSlide(config=BRIGHT, trigger_delay_s=0.0004), sweeps=sweeps, told=told)
    assert sum((done.tile.reason or "").startswith(DARK) for done in taken) >= 12
    assert max(errors_um(taken)) < 0.96
    (line,) = told
    assert "12 of 12 pictures of a sweep were dark" in line
    assert "Run `parfocal calibrate trigger`." in line


def test_what_came_out_blurred_is_taken_again_after_the_sweeps_and_learned_before(
    scan: Scan, sweeps: SweepPlan
) -> None:
    scan(SmallSlide(), n_tiles=1)
    # A step that no point of the survey has shown: three of its nine lie beyond it, and say that there is none.
    stepped = SmallSlide(focus=lambda x, y: bent(x, y) + (4.0 if y > 9_985.0 else 0.0), config=BRIGHT)
    taken = scan(stepped, sweeps=sweeps)
    again = [done for done in taken if (done.tile.reason or "").startswith(BLURRED)]
    # The first row beyond the step is blurred; some of the rows behind it start from what it has shown.
    assert 3 <= len(again) <= 12
    assert taken[-len(again) :] == again
    # Side by side they are swept again, a run in half the time of as many tiles at rest.
    swept = [done for done in again if (done.tile.reason, done.tile.retaken) == (BLURRED, 1)]
    assert len(swept) >= len(again) - 1
    assert sum(done.tile.elapsed_s for done in swept) < 0.16 * len(swept)
    assert all(done.tile.retaken >= 1 for done in again)
    assert max(errors_um(taken)) < 0.96


@pytest.mark.parametrize(("row", "play_sigma_um"), [(1, 0.3), (1, 3.0), (2, 3.0)])  # Z falls in one of them
def test_a_tile_that_stands_out_alone_is_taken_again_where_its_own_picture_has_shown_the_focus(
    scan: Scan,
    plan: TilePlan,
    sweeps: SweepPlan,
    monkeypatch: pytest.MonkeyPatch,
    row: int,
    play_sigma_um: float,
) -> None:
    plays = tuple(msgspec.structs.replace(play, uncertainty_um=play_sigma_um) for play in PLAYS)
    monkeypatch.setattr("tests.edge.scan.conftest.PLAYS", plays)
    scan(SmallSlide(), n_tiles=1)
    alone = next(tile for tile in plan.tiles if (tile.row, tile.column) == (row, 2))

    def bump(x_um: float, y_um: float) -> float:
        is_there = abs(x_um - alone.x_um) < 20.0 and abs(y_um - alone.y_um) < 20.0
        return bent(x_um, y_um) + (2.5 if is_there else 0.0)

    taken = scan(SmallSlide(focus=bump, single_sigma_um=0.05, config=BRIGHT), sweeps=sweeps)
    (done,) = (each for each in taken if (each.tile.row, each.tile.column) == (row, 2))
    # One more picture is enough, although its neighbours lead to expect it elsewhere.
    assert (done.tile.reason, done.tile.retaken) == (BLURRED, 1)
    assert abs(done.error_um or 0.0) < 0.48


def test_what_the_neighbours_have_shown_is_not_handed_on_to_others_as_news(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture tells its neighbours what it shows by itself, not what it was judged to be."""
    learn, judge = Heights.learn, TileJudge.judge
    learned, shown = list[float](), list[float]()

    def noted(heights: Heights, x_um: float, y_um: float, focus_z_um: float, sigma_um: float) -> None:
        learned.append(focus_z_um)
        learn(heights, x_um, y_um, focus_z_um, sigma_um)

    def seen(one: TileJudge, what: Seen, z_um: float, expected: Expected, share: float = 0.5) -> Judged:
        shown.append(z_um + (what.distance_um or np.nan))
        return judge(one, what, z_um, expected, share)

    monkeypatch.setattr(Heights, "learn", noted)
    monkeypatch.setattr(TileJudge, "judge", seen)
    taken = scan(SmallSlide(config=BRIGHT), sweeps=sweeps)
    assert sum(done.tile.tissue and done.tile.reason is None for done in taken) >= 10
    assert {*learned[9:]} <= {*shown}  # nine points of the survey come first


def test_what_is_known_of_the_play_brings_pictures_of_falling_z_into_focus(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SmallSlide(single_sigma_um=0.1, config=BRIGHT)
    small.bench = VirtualBench(stub_of(BRIGHT, 1, z_play_um=20.78))  # 20 um were measured
    monkeypatch.setattr(Engagement, "above_um", 0.78)  # two and a half steps: two are driven
    taken = scan(small, sweeps=sweeps)
    swept = [done for done in taken if done.tile.reason is None and done.tile.tissue]
    off_um = np.array([done.error_um or 0.0 for done in swept])
    is_even = np.array([done.tile.row % 2 == 0 for done in swept])  # Z rises in one, and falls in the other
    assert abs(off_um[is_even].mean() - off_um[~is_even].mean()) < 0.5
    height_um = [bent(done.tile.x_um, done.tile.y_um) - done.tile.z_um for done in swept] + off_um
    assert abs(height_um[is_even].mean() - height_um[~is_even].mean()) < 0.1


def test_a_single_shot_that_errs_in_a_sweep_does_not_leave_its_tile_out_of_focus(
    scan: Scan, plan: TilePlan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(SmallSlide(), n_tiles=1)
    at = next(tile for tile in plan.tiles if (tile.row, tile.column) == (1, 2))
    small = SmallSlide(single_sigma_um=0.1, config=BRIGHT)
    mistakes_um, infer = (
        [-0.8, -1.7],
        Knows.infer,
    )  # of the picture at rest, and before it of that of the sweep

    def errs(model: Knows, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        x_um, y_um, _ = small.exposed_um[-1]
        is_there = abs(x_um - at.x_um) < 20.0 and abs(y_um - at.y_um) < 20.0
        is_single = model.contract.name == "knows-one"
        off_um = mistakes_um.pop() if is_there and is_single and mistakes_um else 0.0
        return np.asarray(infer(model, batch) + np.float32(off_um), np.float32)

    monkeypatch.setattr(Knows, "infer", errs)
    (done,) = (each for each in scan(small, sweeps=sweeps) if (each.tile.row, each.tile.column) == (1, 2))
    assert not mistakes_um
    assert (done.tile.reason or "").startswith(BLURRED)
    assert abs(done.error_um or 0.0) < 0.96


def test_a_swept_tile_that_may_be_uneven_is_examined_at_rest_and_a_new_stain_is_learned(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SmallSlide(config=BRIGHT)

    def crisp(pixels: UInt8Array, min_contrast: float) -> Crispness:
        assert pixels.shape == (128, 160, 3)
        assert min_contrast == CONFIG.focus.blank_contrast
        return Crispness(1.0, next(spreads))

    spreads = itertools.chain([0.5] * 9, [1.4], [0.9] * 99)
    monkeypatch.setattr("parfocal.edge.scan.tiling.judging.judge.crispness_of", crisp)
    taken = scan(small, sweeps=sweeps)
    folded = [done for done in taken if (done.tile.reason or "").startswith(FOLDED)]
    swept = [done for done in taken if done.tile.reason is None]
    assert 2 <= len(folded) <= 7
    assert len(swept) >= len(taken) - len(folded) - 4
    assert not any(done.tile.uneven for done in taken)


def test_pictures_that_memory_has_no_room_for_are_taken_again(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    spreads = itertools.chain([0.5] * 9, [1.4] * 6, [0.9] * 99)
    seen = "parfocal.edge.scan.tiling.judging.judge.crispness_of"
    monkeypatch.setattr(seen, lambda _pixels, _min_contrast: Crispness(1.0, next(spreads)))
    monkeypatch.setattr(scanner, "MAX_SOFT_BYTES", 2 * 160 * 128 * 3)
    held, proven = list[int](), ContinuousScanner._proven

    def noted(one: ContinuousScanner, soft: list[Any], *given: Any) -> Any:  # noqa: ANN401  # as they came
        held.append(len(soft))
        return proven(one, soft, *given)

    monkeypatch.setattr(ContinuousScanner, "_proven", noted)
    taken = scan(SmallSlide(config=BRIGHT), sweeps=sweeps)
    assert len({(done.tile.row, done.tile.column) for done in taken}) == 20
    assert max(held) == 2
    assert len([done for done in taken if (done.tile.reason or "").startswith(FOLDED)]) > 2


def test_the_camera_is_armed_once_with_room_for_a_row_and_lost_frames_are_named(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms, n_disarmed, is_first = list[int](), 0, False
    arm, poll, disarm = TriggeredCamera.arm, TriggeredCamera.poll, TriggeredCamera.disarm

    def armed(camera: TriggeredCamera, n_frames: int) -> None:
        nonlocal is_first
        rooms.append(n_frames)
        is_first = n_frames > 1
        arm(camera, n_frames)

    def drops_first(camera: TriggeredCamera) -> Frame | None:
        nonlocal is_first
        frame = poll(camera)
        if frame is not None and is_first:
            is_first, frame = False, None
        return frame

    def disarmed(camera: TriggeredCamera) -> None:
        nonlocal n_disarmed
        n_disarmed += 1
        disarm(camera)

    def n_rows() -> int:
        return sum(room > 1 for room in rooms)

    monkeypatch.setattr(TriggeredCamera, "arm", armed)
    monkeypatch.setattr(TriggeredCamera, "poll", drops_first)
    monkeypatch.setattr(TriggeredCamera, "disarm", disarmed)
    monkeypatch.setattr(TriggeredCamera, "n_lost", property(lambda _: int(n_rows() == 2)))
    taken = scan(SmallSlide(config=BRIGHT), sweeps=sweeps)
    assert n_disarmed == 1  # at the end
    assert n_rows() >= 3
    assert all(room == 1 or room >= 4 for room in rooms)
    reasons = [done.tile.reason or "" for done in taken]
    assert sum(reason.startswith(LOST) for reason in reasons) == 1  # of the second row
    assert sum(reason.startswith(MISSED) for reason in reasons) == n_rows() - 1


def test_a_missed_trigger_frame_or_flash_costs_its_tile_a_second_pass_and_shifts_no_other(
    scan: Scan, out: Path, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, poll = Board.take_triggered_frames, TriggeredCamera.poll
    n_grabbed = 0

    def lossy(board: Board) -> tuple[TriggeredFrame, ...]:
        return tuple(each for each in take(board) if each.index != 2)  # an event that the cable lost

    def drops(camera: TriggeredCamera) -> Frame | None:
        nonlocal n_grabbed
        frame = poll(camera)
        if frame is None:
            return None
        n_grabbed += 1
        if n_grabbed == 14:
            return Frame(frame.exposure_start_s, lambda: np.zeros((128, 160, 3), np.uint8))
        return None if n_grabbed in (4, 9) else frame  # a frame that the camera has dropped

    monkeypatch.setattr(Board, "take_triggered_frames", lossy)
    monkeypatch.setattr(TriggeredCamera, "poll", drops)
    taken = scan(SmallSlide(config=BRIGHT), sweeps=sweeps)
    reasons = [done.tile.reason or "" for done in taken]
    assert sum(reason.startswith(MISSED) for reason in reasons) >= 5
    assert sum(reason.startswith(DARK) for reason in reasons) == 1
    ideal = SmallSlide()
    for tile in read_scan(out).tiles:
        if tile.column >= 2:
            there = ideal.render(
                tile.x_um, tile.y_um, ideal.focus(tile.x_um, tile.y_um), CONFIG.scan.lamp_duty
            )
            assert np.hypot(*shift_px(there, rgb_from_file(tile.path))[:2]) < 0.7


def test_a_sweep_that_was_interrupted_goes_on_with_the_tiles_that_are_not_finished(
    scan: Scan, out: Path, plan: TilePlan, sweeps: SweepPlan
) -> None:
    rebooting = SmallSlide(config=BRIGHT)
    rebooting.reboot_at(7)
    with pytest.raises(BoardError):
        scan(rebooting, sweeps=sweeps)
    before = {tile.path.name: tile.digest for tile in read_scan(out).tiles}
    assert 4 < len(before) < len(plan.tiles)
    moved = SmallSlide(moved_um=(4.4, -3.1, 1.0), config=BRIGHT)
    taken = scan(moved, sweeps=sweeps)
    stored = read_scan(out)
    assert stored.is_complete
    assert len(before) + len(taken) == len(plan.tiles)
    assert {t.path.name: t.digest for t in stored.tiles if t.path.name in before} == before
    assert max(errors_um(taken)) < 0.96
    ideal = SmallSlide()
    for done in taken:
        tile = done.tile
        if tile.column >= 2:
            there = ideal.render(
                tile.x_um, tile.y_um, ideal.focus(tile.x_um, tile.y_um), CONFIG.scan.lamp_duty
            )
            assert np.hypot(*shift_px(there, rgb_from_file(tile.path))[:2]) < 0.7


def first_row(plan: TilePlan, sweeps: SweepPlan) -> tuple[Row, Line]:
    """A row of five tiles, and the line over it."""
    row = rows_of(plan.tiles)[0][0]
    flat = Expected(2500.0, 0.1)
    return row, line_of(
        row, lambda _x_um, _y_um: flat, sweeps.ends, sweeps.costs(CONFIG.board.z), 0.96, 0.3125
    )


def test_pictures_are_looked_at_while_the_stage_goes_on(plan: TilePlan, sweeps: SweepPlan) -> None:
    row, line = first_row(plan, sweeps)
    with SmallSlide(config=BRIGHT).instrument(PLAYS) as instrument:
        instrument.board.home()
        clock, sweeper, lasted_s = instrument.clock, Sweeper(instrument, BRIGHT, sweeps), list[float]()
        for look_s in (0.0, 0.02):  # of the 36 ms from one tile to the next
            seen = list[Caught]()

            def see(caught: Caught, look_s: float = look_s, seen: list[Caught] = seen) -> None:
                seen.append(caught)
                clock.sleep_s(look_s)

            sweeper.sweep_seeing(row, line, Offset(), lambda _: None)
            began_s = clock.now_s()
            sweeper.sweep_seeing(row, line, Offset(), see)
            lasted_s.append(clock.now_s() - began_s)
            assert tuple(caught.tile for caught in seen) == row.tiles
        assert (
            lasted_s[1] - lasted_s[0] < 2.5 * 0.02
        )  # that of the last picture, and one in the way of the end


def test_what_a_look_at_a_picture_raises_ends_the_sweep_when_the_stage_is_at_rest(
    plan: TilePlan, sweeps: SweepPlan
) -> None:
    row, line = first_row(plan, sweeps)
    with SmallSlide(config=BRIGHT).instrument(PLAYS) as instrument:
        instrument.board.home()
        sweeper, seen = Sweeper(instrument, BRIGHT, sweeps), list[Caught]()

        def full(caught: Caught) -> None:
            seen.append(caught)
            raise TileNotWritten("the disk is full")

        with pytest.raises(TileNotWritten):
            sweeper.sweep_seeing(row, line, Offset(), full)
        assert [caught.tile for caught in seen] == [row.tiles[0]]
        assert isinstance(instrument.board, Board)
        assert not instrument.board.state().moving
        assert instrument.board.x.stage_um == pytest.approx(line.end_um, abs=1.0)
        sweeper.sweep_seeing(row, line, Offset(), seen.append)
        assert len(seen) == 6


def test_a_camera_that_sends_nothing_ends_the_scan(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TriggeredCamera, "poll", lambda _: None)
    with pytest.raises(CameraFailed, match="no trigger within 1 s"):
        scan(SmallSlide(config=BRIGHT), sweeps=sweeps)


def test_a_camera_that_begins_late_ends_the_scan_and_says_how_late(
    scan: Scan, sweeps: SweepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll, disarm = TriggeredCamera.poll, TriggeredCamera.disarm
    disarmed = list[TriggeredCamera]()

    def noted(self: TriggeredCamera) -> None:
        disarmed.append(self)
        disarm(self)

    monkeypatch.setattr(TriggeredCamera, "disarm", noted)

    def late(self: TriggeredCamera) -> Frame | None:
        frame = poll(self)
        return None if frame is None else Frame(frame.exposure_start_s + 0.02, lambda: frame.pixels)

    monkeypatch.setattr(TriggeredCamera, "poll", late)
    with pytest.raises(
        CameraFailed, match=r"none of them with its trigger: the nearest began \S+ ms after one"
    ):
        scan(SmallSlide(config=BRIGHT), sweeps=sweeps)
    assert len(disarmed) == 1  # a camera that failed runs freely again


def test_without_a_single_shot_model_rows_tell_each_other_how_far_the_surface_is_off(scan: Scan) -> None:
    region = rectangle(19_890.0, 9_940.0, 20_070.0, 10_020.0)
    plan = plan_tiles(region, CONFIG, field_of(CONFIG.camera, UM_PER_PX), 0.3)
    higher = SmallSlide(focus=lambda x, y: bent(x, y) + 1.0, config=BRIGHT, has_single=False)
    higher.blur_px_per_um = 0.5  # its sharpness falls as that of tissue at 20x
    taken = scan(higher, sweeps=sweep_plan(plan, BRIGHT, PLAYS), tiles=plan)
    rows = [[d for d in taken if d.tile.row == row] for row in range(1 + max(t.row for t in plan.tiles))]
    # Nothing is beside the first row, which lies below where the survey has put the focus.
    first_um = [z_um - bent(x_um, y_um) for x_um, y_um, z_um in higher.exposed_um[: len(rows[0])]]
    assert float(np.median(first_um)) == pytest.approx(-0.29, abs=0.15)
    # It tells the second one how far the survey is off, and so on.
    assert max(abs(float(np.mean([d.error_um or 0.0 for d in row]))) for row in rows[1:]) < 0.6
