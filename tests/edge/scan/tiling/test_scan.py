"""A scan ends with every tile on the disk, in focus, once; however often it was interrupted."""

import contextlib
import errno
import os
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
import pytest

from parfocal.board.errors import BoardError
from parfocal.edge.camera.frame import Frame
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.focus.result import FocusResult
from parfocal.edge.images.rgb import rgb_from_file
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.tiles import journal_path, read_scan, scan_folder, tiles_folder
from parfocal.edge.scan.tiling import job
from parfocal.edge.scan.tiling.journal import digest_of
from parfocal.edge.scan.tiling.judging.judge import TileJudge
from parfocal.edge.scan.tiling.moving.ahead import Ahead
from parfocal.edge.scan.tiling.moving.going import ScanAborted
from parfocal.edge.scan.tiling.plan import TilePlan
from parfocal.edge.scan.tiling.registering import shift_px
from parfocal.edge.scan.tiling.request import kept_request
from parfocal.edge.scan.tiling.scanner import Scanner
from parfocal.edge.scan.tiling.taken import TileDone
from parfocal.edge.scan.tiling.writer import TileNotWritten
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from tests.edge.scan.conftest import REGION, Scan, Surveyed
from tests.edge.scan.tiling.small_slide import CONFIG, SmallSlide, bent, drawn


def raised(error: BaseException) -> NoReturn:
    raise error


def errors_um(taken: list[TileDone]) -> list[float]:
    return [abs(done.error_um or 0.0) for done in taken if done.tile.tissue]


def test_every_tile_is_on_the_disk_in_focus_with_its_measurement(
    scan: Scan, out: Path, plan: TilePlan
) -> None:
    taken = scan(SmallSlide())
    stored = read_scan(out)
    assert stored.is_complete
    assert tuple((t.row, t.column) for t in stored.tiles) == plan.places
    assert {p.name for p in tiles_folder(out).iterdir()} == {t.path.name for t in stored.tiles}
    for done, tile, planned in zip(taken, stored.tiles, plan.tiles, strict=True):
        assert digest_of(tile.path.read_bytes()) == tile.digest
        assert (tile.x_um, tile.y_um) == pytest.approx((planned.x_um, planned.y_um), abs=0.63)
        assert done.tile.z_um == tile.z_um
        assert tile.elapsed_s > 0.0
    # The left column shows glass: it is kept, has no focus, and nothing was taken again there.
    glass = [t for t in stored.tiles if not t.tissue]
    assert glass
    assert {t.column for t in glass} == {0}
    assert all(t.focus_um is None and not t.retaken and t.reason is None for t in glass)
    measured = [d for d in taken if d.tile.focus_um is not None]
    assert len(measured) == len(taken) - len(glass)
    for done in measured:
        assert done.error_um is not None
        assert abs(done.error_um) < 0.7
        # What the tile says of its focus is true to within its uncertainty.
        assert abs(done.error_um + (done.tile.focus_um or 0.0)) < 0.6
    # Neighbours show the same tissue in their overlap.
    at = {(t.row, t.column): t for t in stored.tiles}
    left, right = at[1, 2], at[1, 3]
    step_px = round((right.x_um - left.x_um) / 0.345)
    a = rgb_from_file(left.path)[:, step_px:].astype(float)
    b = rgb_from_file(right.path)[:, : a.shape[1]].astype(float)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8


def test_a_step_of_the_slide_is_seen_in_the_picture_focused_and_learned(scan: Scan) -> None:
    def stepped(x_um: float, y_um: float) -> float:
        return bent(x_um, y_um) + (4.0 if y_um > 9_985.0 else 0.0)

    small = SmallSlide(focus=stepped)
    flat = SmallSlide()  # surveyed without the step
    scan(flat, n_tiles=1)
    taken = scan(small)
    again = [d for d in taken if d.tile.retaken]
    # The first tile beyond the step is taken again; its neighbours and the rows behind start from what it has shown.
    assert 1 <= len(again) <= 2
    assert max(errors_um(taken)) < 0.96
    assert all("its picture was out of focus" in (d.tile.reason or "") for d in again)


def test_a_prediction_that_does_not_hold_is_settled_by_two_shots(scan: Scan) -> None:
    small = SmallSlide()
    scan(small, n_tiles=1)
    wrong = SmallSlide(focus=lambda x, y: bent(x, y) + (4.0 if y > 9_985.0 else 0.0))
    # Single shots point the wrong way.
    assert wrong.eyes.single is not None
    infer = wrong.eyes.single.runner.infer
    wrong.eyes.single.runner.infer = lambda batch: -1.4 - infer(batch)  # type: ignore[method-assign]
    taken = scan(wrong)
    settled = [d for d in taken if "out of focus; focused" in (d.tile.reason or "")]
    assert settled
    assert all(abs(d.error_um or 0.0) < 0.7 for d in settled)


def test_a_tile_that_is_empty_where_two_shots_look_has_no_focus_and_says_so(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def empty(scanner: Scanner, pivot_um: float) -> FocusResult:
        return msgspec.structs.replace(focus_near(scanner, pivot_um), outcome="blank")

    focus_near = Scanner.focus_near
    monkeypatch.setattr(Scanner, "focus_near", empty)
    small = SmallSlide(has_single=False, focus=lambda x, y: bent(x, y) + (6.0 if x > 20_020.0 else 0.0))
    taken = scan(small)
    blank = [d.tile for d in taken if (d.tile.reason or "").endswith("; blank")]
    assert blank
    assert all(tile.uneven and tile.focus_um is None for tile in blank)


def test_a_prediction_that_falls_short_is_followed_by_another_and_not_by_two_shots(scan: Scan) -> None:
    scan(SmallSlide(), n_tiles=1)
    short = SmallSlide(focus=lambda x, y: bent(x, y) + (4.0 if y > 9_985.0 else 0.0), single_sigma_um=0.01)
    # Single shots say too little of the distance; 0.7 um is what they are off by on this slide.
    assert short.eyes.single is not None
    infer = short.eyes.single.runner.infer
    short.eyes.single.runner.infer = lambda batch: 0.65 * (infer(batch) + 0.7) - 0.7  # type: ignore[method-assign]
    taken = scan(short)
    moved = [d for d in taken if "moved by +2." in (d.tile.reason or "") and ", +" in (d.tile.reason or "")]
    assert moved
    # The second picture counts for more than the first one's word about it.
    assert all(d.tile.retaken == 2 and abs(d.error_um or 0.0) < 0.96 for d in moved)


def test_a_blurred_tile_is_noticed_by_its_sharpness_without_a_single_shot_model(scan: Scan) -> None:
    def bump(x_um: float, y_um: float) -> float:
        return bent(x_um, y_um) + (6.0 if x_um > 20_020.0 and y_um > 10_005.0 else 0.0)

    scan(SmallSlide(has_single=False), n_tiles=1)
    taken = scan(SmallSlide(focus=bump, has_single=False))
    beyond = [d for d in taken if "less sharp than its neighbours" in (d.tile.reason or "")]
    assert beyond
    assert all(abs(d.error_um or 0.0) < 0.7 for d in beyond)


def test_z_always_arrives_upwards_and_x_and_y_are_at_rest(scan: Scan, plan: TilePlan) -> None:
    small = SmallSlide(single_sigma_um=0.01)
    taken = scan(small)
    assert len(small.exposed_um) == len(taken)
    for done, planned, (x_um, y_um, z_um) in zip(taken, plan.tiles, small.exposed_um, strict=True):
        # 20 um of play would show if Z had come from above.
        assert z_um == pytest.approx(done.tile.z_um, abs=0.2)
        assert (x_um, y_um) == pytest.approx((planned.x_um, planned.y_um), abs=1.0)


def test_the_lamp_is_dark_while_nothing_is_exposed(scan: Scan) -> None:
    small = SmallSlide()
    duties: list[float] = []
    render = small.render

    def watched(x_um: float, y_um: float, z_um: float, duty: float) -> UInt8Array:
        duties.append(small.bench.lamp_duty(small.bench.clock.now_s() - 0.1))
        return render(x_um, y_um, z_um, duty)

    small.render = watched  # type: ignore[method-assign]
    taken = scan(small, only_exposed=True)
    n_surveyed = len(duties) - len(small.exposed_um)
    # A tenth of a second before an exposure the stage still moved, and the lamp was off.
    assert set(duties[n_surveyed:]) <= {0.0, small.config.scan.lamp_duty}
    assert duties[n_surveyed:].count(0.0) >= len(taken)
    assert max(errors_um(taken)) < 0.96


def test_a_scan_that_was_ended_goes_on_where_it_was_and_redoes_nothing(
    scan: Scan, out: Path, plan: TilePlan
) -> None:
    first = scan(SmallSlide(), n_tiles=9)
    digests = {t.path.name: t.digest for t in read_scan(out).tiles}
    assert len(digests) == 9
    second = scan(SmallSlide())
    stored = read_scan(out)
    assert stored.is_complete
    assert len(first) + len(second) == len(plan.tiles)
    assert {t.path.name: t.digest for t in stored.tiles[:9]} == digests


@pytest.mark.parametrize("codec", ["jpg", "webp"])
def test_the_slide_is_known_again_by_tiles_of_every_codec(scan: Scan, out: Path, codec: str) -> None:
    scan(SmallSlide(), n_tiles=9, codec=codec)
    scan(SmallSlide(), codec=codec)
    assert read_scan(out).is_complete


def test_what_was_learned_before_a_scan_was_ended_is_not_learned_anew(scan: Scan) -> None:
    first = scan(SmallSlide(), n_tiles=15, known=())
    assert [done for done in first if "learned" in (done.tile.reason or "")]
    second = scan(SmallSlide(), known=())
    assert not [done for done in second if "learned" in (done.tile.reason or "")]


def test_a_scan_ended_before_its_journal_was_made_goes_on(
    scan: Scan, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ended:
        ended.setattr(job, "Journal", lambda *_: raised(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            scan(SmallSlide())
    assert kept_request(out).codec == "png"
    assert len(scan(SmallSlide())) == 20


def test_a_tile_that_the_disk_cannot_read_is_taken_again(
    scan: Scan, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = scan(SmallSlide(), n_tiles=9)[4].tile.path
    read = Path.read_bytes

    def fails(path: Path) -> bytes:
        return raised(OSError(errno.EIO, "Input/output error")) if path == damaged else read(path)

    with monkeypatch.context() as bad_sector:
        bad_sector.setattr(Path, "read_bytes", fails)
        again = scan(SmallSlide(), n_tiles=1)
    assert [(done.tile.row, done.tile.column) for done in again] == [(0, 4)]
    assert len(read_scan(out).tiles) == 9


@pytest.mark.parametrize("at", [7, 12, 18])
def test_a_picture_after_a_pause_in_the_dark_is_lit(
    scan: Scan, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    small, look = SmallSlide(), TileJudge.look

    def slow(judge: TileJudge, *given: Any, **named: Any) -> Any:  # noqa: ANN401  # as they came
        small.bench.clock.sleep_s(0.08)  # what a look takes on a real computer
        return look(judge, *given, **named)

    def pause(instrument: Instrument, n_taken: int) -> None:
        if n_taken == at:
            instrument.board.lamp(0.0)
            instrument.clock.sleep_s(60.0)
            instrument.shine(small.config.scan.lamp_duty)

    monkeypatch.setattr(TileJudge, "look", slow)
    assert len(scan(small, is_free=True, each=pause)) == 20


def test_with_a_lamp_that_is_dark_between_a_second_focus_at_the_same_height_is_lit(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, look, settled, outcomes = SmallSlide(), TileJudge.look, Scanner._settled, list[str]()

    def slow(judge: TileJudge, *given: Any, **named: Any) -> Any:  # noqa: ANN401  # as they came
        small.bench.clock.sleep_s(0.2)
        return look(judge, *given, **named)

    def twice(scanner: Scanner, planned: Any, taken: Any) -> Any:  # noqa: ANN401  # as they came
        if taken.seen.tissue:
            scanner._be_back(planned, taken.shot)
            outcomes.append(scanner.focus_near(taken.shot.z_um).outcome)
        return settled(scanner, planned, taken)

    monkeypatch.setattr(TileJudge, "look", slow)
    monkeypatch.setattr(
        Ahead, "saves_time", lambda *_: False
    )  # the stage stays, so that no move dates the shots
    monkeypatch.setattr(Scanner, "_settled", twice)
    scan(small, only_exposed=True, is_free=True)
    assert set(outcomes) == {"focused"}


def test_a_scan_that_runs_keeps_another_one_out(scan: Scan, out: Path) -> None:
    def second(_instrument: Instrument, n_taken: int) -> None:
        if n_taken == 3:
            with pytest.raises(ConfigError, match="another program scans into .*; nothing moved"):
                scan(SmallSlide())

    scan(SmallSlide(), n_tiles=5, each=second)
    assert len(read_scan(out).tiles) == 5
    assert len(scan(SmallSlide())) == 15


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_a_damaged_journal_is_refused_with_what_is_wrong(
    scan: Scan, out: Path, content: bytes | None
) -> None:
    scan(SmallSlide(), n_tiles=2)
    path = journal_path(out)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    if content == b"":  # as a journal that was never begun
        assert len(scan(SmallSlide())) == 20
        return
    with pytest.raises(ConfigError, match="its journal .* cannot be used: .*; nothing moved"):
        scan(SmallSlide())


def test_after_the_slide_has_shifted_later_tiles_lie_on_the_coordinates_of_the_earlier_ones(
    scan: Scan, out: Path
) -> None:
    # The second session has all tiles of the first that show tissue, and moves by less than half a step of the motor,
    # so what it takes lies between the steps of the third, which is registered against it.
    ideal = SmallSlide()
    scan(SmallSlide(), n_tiles=3)
    scan(SmallSlide(moved_um=(0.6, -0.55, 0.3)), n_tiles=6)
    taken = scan(SmallSlide(moved_um=(11.3, -6.2, 3.4)))
    assert max(errors_um(taken)) < 0.96
    off_px = []
    for tile in read_scan(out).tiles:
        if tile.tissue and tile.column >= 2:
            there = ideal.render(
                tile.x_um, tile.y_um, ideal.focus(tile.x_um, tile.y_um), CONFIG.scan.lamp_duty
            )
            off_px.append(shift_px(there, rgb_from_file(tile.path))[:2])
    assert len(off_px) > 10
    away_px = np.hypot(*(np.array(off_px) - np.median(off_px, axis=0)).T)
    assert away_px.max() < 0.5


def test_another_slide_is_not_mixed_into_a_scan(scan: Scan, out: Path) -> None:
    scan(SmallSlide(), n_tiles=9)
    with pytest.raises(ScanAborted, match="not the one of this scan, or it was moved"):
        scan(SmallSlide(pixels=drawn(seed=8)))
    with pytest.raises(ConfigError, match="slide was A1, is B2"):
        scan(SmallSlide(), slide="B2")
    assert len(read_scan(out).tiles) == 9


def test_a_slide_changed_between_the_survey_and_the_first_tile_is_not_scanned(
    scan: Scan, out: Path, surveyed: Surveyed
) -> None:
    shutil.copytree(surveyed.folder, out)
    other = SmallSlide(pixels=drawn(seed=8))
    with pytest.raises(ScanAborted, match="not the one of this scan, or it was moved: 3 places looked at"):
        scan(other)
    assert read_scan(out).tiles == ()
    # The same slide, moved a little, is found and scanned where it lies now.
    (done,) = scan(SmallSlide(moved_um=(11.3, -6.2, 3.4)), n_tiles=1)
    assert done.tile.x_um == pytest.approx(REGION[0], abs=30.0)
    with contextlib.closing(sqlite3.connect(journal_path(out))) as journal:
        ((kept,),) = journal.execute("SELECT value FROM scan WHERE key = 'session 3'")
    assert msgspec.json.decode(kept)["offset"] == pytest.approx(
        {"x_um": 11.3, "y_um": -6.2, "z_um": 3.4}, abs=0.4
    )


def test_while_finished_tiles_show_glass_alone_the_slide_is_known_by_its_survey(
    scan: Scan, out: Path, surveyed: Surveyed
) -> None:
    shutil.copytree(surveyed.folder, out)
    (glass,) = scan(SmallSlide(), n_tiles=1)
    assert not glass.tile.tissue
    with pytest.raises(ScanAborted, match="not the one of this scan"):
        scan(SmallSlide(pixels=drawn(seed=8)))


def test_a_mark_of_the_survey_that_is_damaged_is_not_looked_at(
    scan: Scan, out: Path, surveyed: Surveyed
) -> None:
    shutil.copytree(surveyed.folder, out)
    torn = scan_folder(out) / "survey" / "0.png"
    torn.write_bytes(torn.read_bytes()[:500])
    with pytest.raises(ScanAborted, match="2 places looked at again"):
        scan(SmallSlide(pixels=drawn(seed=8)))


def test_a_torn_or_missing_picture_is_taken_again(scan: Scan, out: Path) -> None:
    scan(SmallSlide(), n_tiles=9)
    torn, missing = read_scan(out).tiles[3:5]
    torn.path.write_bytes(torn.path.read_bytes()[:500])
    missing.path.unlink()
    left = tiles_folder(out) / "0003-0003.png.part"
    left.write_bytes(b"torn")
    taken = scan(SmallSlide())
    assert [(d.tile.row, d.tile.column) for d in taken[:2]] == [
        (torn.row, torn.column),
        (missing.row, missing.column),
    ]
    stored = read_scan(out)
    assert stored.is_complete
    assert all(digest_of(t.path.read_bytes()) == t.digest for t in stored.tiles)
    assert not left.exists()


def test_a_full_disk_an_unplugged_camera_and_a_board_that_reboots_lose_no_tile(scan: Scan, out: Path) -> None:
    n_written = 0

    def full(path: Path, data: bytes) -> None:
        nonlocal n_written
        n_written += 1
        if n_written > 4:
            path.with_name(path.name + ".part").write_bytes(data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.write_bytes(data)

    with pytest.raises(TileNotWritten, match="No space left"):
        scan(SmallSlide(), write=full)
    assert len(read_scan(out).tiles) == 4

    poll, n_taken = TriggeredCamera.poll, 0

    def unplugged(camera: TriggeredCamera) -> Frame | None:
        nonlocal n_taken
        frame = poll(camera)
        n_taken += frame is not None
        if n_taken > 24:
            raise CameraFailed("camera 0 is gone. Plug it in.")
        return frame

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TriggeredCamera, "poll", unplugged)
        with pytest.raises(CameraFailed, match="camera 0 is gone"):
            scan(SmallSlide())
    assert 4 < len(read_scan(out).tiles) < 20

    small = SmallSlide()
    small.reboot_at(14)
    with pytest.raises(BoardError):
        scan(small)
    taken = scan(SmallSlide())
    stored = read_scan(out)
    assert stored.is_complete
    assert 0 < len(taken) < 20
    assert all(digest_of(t.path.read_bytes()) == t.digest for t in stored.tiles)


def test_a_black_picture_ends_the_scan_and_is_no_tile(scan: Scan, out: Path) -> None:
    scan(SmallSlide(), n_tiles=3)
    dark = SmallSlide()
    dark.render = lambda *_: np.zeros((128, 160, 3), np.uint8)  # type: ignore[method-assign]
    with pytest.raises(ScanAborted, match=f"black.*`parfocal scan --out {re.escape(str(out))} --resume`"):
        scan(dark)
    assert len(read_scan(out).tiles) == 3
