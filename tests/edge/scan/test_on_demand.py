"""Pictures at rest where the board triggers the camera: without a frame to wait for."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from parfocal.edge.camera.frame import Frame, expose_after, frame_after
from parfocal.edge.camera.linear import raw_camera
from parfocal.edge.camera.on_demand import OnDemandCamera, Triggering
from parfocal.edge.errors import CameraFailed
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from tests.edge.scan.conftest import Scan
from tests.edge.scan.tiling.small_slide import BRIGHT, SmallSlide

EXPOSURE_S, PERIOD_S = BRIGHT.camera.exposure_s, BRIGHT.camera.frame_period_s
READ_OUT_S = PERIOD_S  # as the simulated cameras read out


def at_home(instrument: Instrument) -> None:
    instrument.board.home()
    instrument.board.lamp(BRIGHT.scan.lamp_duty)


def test_a_picture_is_exposed_when_the_stage_is_at_rest_and_is_there_once_read_out() -> None:
    small = SmallSlide(config=BRIGHT)
    with small.instrument() as instrument:
        at_home(instrument)
        free = frame_after(instrument.camera, instrument.clock.now_s()).pixels
        with on_demand(instrument, BRIGHT.camera) as seeing:
            for after_s in (0.0, 0.05, 0.0623):
                settled_s = instrument.clock.now_s() + after_s
                frame = frame_after(seeing.camera, settled_s)
                assert frame.exposure_start_s == pytest.approx(settled_s, abs=0.003)
                assert frame.exposure_start_s >= settled_s
                assert instrument.clock.now_s() - settled_s < EXPOSURE_S + READ_OUT_S + 0.004
                assert frame.pixels.mean() == pytest.approx(free.mean(), rel=0.01)  # no flash, the same light
            assert (
                seeing.camera.grab().exposure_start_s
                >= instrument.clock.now_s() - EXPOSURE_S - READ_OUT_S - 0.004
            )
            with pytest.raises(CameraFailed, match="it waits for triggers"):
                instrument.camera.grab()
            assert raw_camera(seeing.camera) is instrument.camera  # whose settings are watched
        instrument.camera.grab()  # it runs freely again


def test_a_frame_that_is_left_over_from_before_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            old = frame_after(seeing.camera, instrument.clock.now_s())
            old_s, pixels = old.exposure_start_s, old.pixels
            poll, late = TriggeredCamera.poll, [Frame(old_s, lambda: pixels)]  # too late for its own turn
            monkeypatch.setattr(TriggeredCamera, "poll", lambda camera: late.pop() if late else poll(camera))
            instrument.clock.sleep_s(0.1)
            now_s = instrument.clock.now_s()
            assert frame_after(seeing.camera, now_s).exposure_start_s >= now_s
            assert not late


def test_a_trigger_that_the_camera_missed_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            assert isinstance(instrument.board, Triggering)
            instrument.board.trigger_camera()  # nobody has asked for a picture, and the next trigger comes too soon
            began_s = instrument.clock.now_s()
            frame = frame_after(seeing.camera, began_s)
            assert frame.exposure_start_s >= began_s
            poll = TriggeredCamera.poll
            monkeypatch.setattr(TriggeredCamera, "poll", lambda _: None)
            with pytest.raises(CameraFailed, match="no trigger within"):
                frame_after(seeing.camera, instrument.clock.now_s())
            monkeypatch.setattr(TriggeredCamera, "poll", poll)


def test_the_stage_may_go_on_when_the_lines_have_exposed_and_the_frame_comes_later() -> None:
    with SmallSlide(config=BRIGHT, is_exposure_measured=True).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            settled_s = instrument.clock.now_s() + 0.05
            coming = expose_after(seeing.camera, settled_s)
            ended_s = instrument.clock.now_s()
            assert settled_s + EXPOSURE_S <= ended_s < settled_s + EXPOSURE_S + 0.004
            assert not coming.has_come()
            frame = coming.frame()
            assert instrument.clock.now_s() == pytest.approx(ended_s + READ_OUT_S, abs=0.004)
            assert settled_s <= frame.exposure_start_s <= ended_s - EXPOSURE_S
            assert coming.has_come()
            assert coming.frame() is frame
            instrument.clock.sleep_s(PERIOD_S)
            later = expose_after(seeing.camera, instrument.clock.now_s())
            instrument.clock.sleep_s(1.1 * READ_OUT_S)
            assert later.has_come()


def test_where_it_is_not_known_when_lines_expose_the_stage_waits_for_the_frame() -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            settled_s = instrument.clock.now_s()
            coming = expose_after(seeing.camera, settled_s)
            assert coming.has_come()
            assert instrument.clock.now_s() > settled_s + EXPOSURE_S + READ_OUT_S
        settled_s = instrument.clock.now_s()
        free = expose_after(instrument.camera, settled_s)
        assert free.has_come()
        assert free.frame().exposure_start_s >= settled_s


def test_a_frame_that_is_left_over_has_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with SmallSlide(config=BRIGHT, is_exposure_measured=True).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            old = frame_after(seeing.camera, instrument.clock.now_s())
            coming = expose_after(seeing.camera, instrument.clock.now_s())
            poll = TriggeredCamera.poll
            monkeypatch.setattr(TriggeredCamera, "poll", lambda _: old)
            assert not coming.has_come()
            monkeypatch.setattr(TriggeredCamera, "poll", poll)
            assert coming.frame().exposure_start_s > old.exposure_start_s


def test_pictures_one_after_another_come_no_faster_than_the_camera_runs() -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            starts_s = [seeing.camera.grab().exposure_start_s for _ in range(4)]
            apart_s = [later - sooner for sooner, later in itertools.pairwise(starts_s)]
            # Each is exposed and read out before the next is asked for.
            until_there_s = EXPOSURE_S + READ_OUT_S
            assert all(PERIOD_S <= each_s < until_there_s + 0.004 for each_s in apart_s)


def test_a_picture_whose_frame_is_not_waited_for_is_triggered_when_the_camera_takes_it() -> None:
    with SmallSlide(config=BRIGHT, is_exposure_measured=True).instrument() as instrument:
        at_home(instrument)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            asked_s = instrument.clock.now_s()
            expose_after(seeing.camera, asked_s)  # its frame is on its way when the next one is asked for
            later = expose_after(seeing.camera, instrument.clock.now_s()).frame()
            assert PERIOD_S <= later.exposure_start_s - asked_s < 1.2 * PERIOD_S


def test_a_scan_with_stops_arms_the_camera_once_and_waits_for_no_frame(
    scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched, late_s = list[bool](), list[float]()
    switch, expose = TriggeredCamera._switch, OnDemandCamera.exposed_from

    def noted(camera: TriggeredCamera, *, waits_for_triggers: bool) -> None:
        if waits_for_triggers != camera.is_armed:
            switched.append(waits_for_triggers)
        switch(camera, waits_for_triggers=waits_for_triggers)

    def timed(camera: OnDemandCamera, settled_s: float) -> Frame:
        asked_s = max(settled_s, camera._clock.now_s())
        frame = expose(camera, settled_s)
        late_s.append(frame.exposure_start_s - asked_s)
        return frame

    monkeypatch.setattr(TriggeredCamera, "_switch", noted)
    monkeypatch.setattr(OnDemandCamera, "exposed_from", timed)
    taken = scan(SmallSlide(config=BRIGHT))
    assert switched == [True, False]
    assert len(late_s) >= len(taken)
    # Sooner than after a period the camera takes no other picture.
    assert 0.0 <= min(late_s) <= max(late_s) < 1.1 * PERIOD_S
    assert sorted(late_s)[-len(late_s) // 8] < PERIOD_S / 8.0


def test_a_board_that_does_not_trigger_leaves_the_camera_as_it_is() -> None:
    with SmallSlide(config=BRIGHT).instrument() as instrument:
        without = msgspec.structs.replace(instrument, triggered=None)
        with on_demand(without, BRIGHT.camera) as seeing:
            assert seeing is without
        board = instrument.board
        board.capabilities = msgspec.structs.replace(board.capabilities, has_strobe=False)
        with on_demand(instrument, BRIGHT.camera) as seeing:
            assert seeing is instrument
            seeing.camera.grab()
