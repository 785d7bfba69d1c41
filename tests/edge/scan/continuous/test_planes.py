"""Planes through a fold while Z rises without a stop."""

from datetime import datetime, timezone

import msgspec
import numpy as np
import pytest

from parfocal.board.motion.gear import Engagement
from parfocal.edge.camera.frame import Frame, frame_after
from parfocal.edge.config import Config
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.focus.uneven.field import FOR_HEIGHTS, FieldShape
from parfocal.edge.measured.trigger_in_use import TriggerInUse
from parfocal.edge.scan.continuous.plan import SweepPlan, flash_like_rest, sweep_plan
from parfocal.edge.scan.continuous.planes import PlaneSweeper, flash_of_planes
from parfocal.edge.scan.on_demand import on_demand
from parfocal.edge.scan.tiling.moving.light import Light
from parfocal.edge.scan.tiling.plan import field_of, plan_tiles
from parfocal.edge.simscope.triggered_camera import TriggeredCamera
from parfocal.edge.tissue.area import rectangle
from tests.edge.focus.uneven.field_stand import FOCUS_Z_UM, STEP, Field
from tests.edge.scan.conftest import PLAYS, REGION
from tests.edge.scope import with_scan

HEIGHTS_UM = [FOCUS_Z_UM - 5.0 + 1.25 * k for k in range(9)]


def planned(field: Field) -> SweepPlan:
    tiles = plan_tiles(rectangle(*REGION), field.config, field_of(field.config.camera, 0.345), 0.1)
    return sweep_plan(tiles, field.config, PLAYS)


def sweeper_of(field: Field) -> PlaneSweeper:
    light = Light(field.instrument, field.config.scan.lamp_duty, only_exposed=True)
    return PlaneSweeper(field.instrument, field.config, planned(field).flash, light)


def examined(field: Field, is_passed: bool) -> tuple[FieldShape, float]:
    """The shape of a field, and the time that it took, s."""
    with on_demand(field.instrument, field.config.camera) as field.instrument:  # as a scan does
        uneven = field.passed_by(sweeper_of(field) if is_passed else None)
        began_s = field.bench.clock.now_s()
        shape = uneven.examine()
        assert shape is not None
        return shape, field.bench.clock.now_s() - began_s


def test_planes_show_the_stage_where_they_say_from_below_and_as_bright_as_at_rest() -> None:
    field = Field()
    at_rest = frame_after(field.instrument.camera, field.axis.approach_up(HEIGHTS_UM[4])).pixels
    field.exposed_um.clear()
    began_s = field.bench.clock.now_s()
    planes = sweeper_of(field)(HEIGHTS_UM)
    elapsed_s = field.bench.clock.now_s() - began_s
    assert [plane.z_um for plane in planes] == pytest.approx(HEIGHTS_UM, abs=0.16)
    # Engaged the other way they would lie 20 um beside it, and in a swing of the stage 0.015 um.
    assert [plane.z_um for plane in planes] == pytest.approx(field.exposed_um, abs=0.01)
    assert planes[4].pixels.mean() == pytest.approx(at_rest.mean(), rel=0.03)
    assert field.axis.engagement is Engagement.UP
    # A frame each, and one more until the last is read out: at rest a plane takes three. A camera is not triggered
    # faster than it runs.
    period_s = field.config.camera.frame_period_s
    assert elapsed_s < 0.25 + 1.1 * (len(planes) + 1) * period_s
    assert np.diff(field.bench.triggers_s(began_s)).min() > period_s
    # The light of the next exposure is on again, and the camera runs freely.
    assert field.board.state().lamp_duty == pytest.approx(field.config.scan.lamp_duty, abs=1e-3)
    assert frame_after(field.instrument.camera, field.bench.clock.now_s()).pixels.mean() > 50.0


def test_a_fold_has_the_same_heights_in_less_time() -> None:
    stopping, stopped_s = examined(Field(), is_passed=False)
    passing, passed_s = examined(Field(), is_passed=True)
    assert passing.verdict == stopping.verdict == "uneven"
    assert passing.heights is not None
    assert stopping.heights is not None
    apart_um = np.abs(passing.heights.z_um - stopping.heights.z_um)
    assert np.nanpercentile(apart_um, 90) < 0.4
    assert passed_s < 0.8 * stopped_s
    assert passing.best is not None


def test_a_plane_whose_frame_was_lost_is_taken_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = examined(Field(planes=FOR_HEIGHTS), is_passed=True)
    poll, n_grabbed = TriggeredCamera.poll, 0

    def lossy(camera: TriggeredCamera) -> Frame | None:
        nonlocal n_grabbed
        frame = poll(camera)
        n_grabbed += frame is not None
        return None if n_grabbed == 4 else frame

    monkeypatch.setattr(TriggeredCamera, "poll", lossy)
    shape, _ = examined(Field(planes=FOR_HEIGHTS), is_passed=True)
    assert shape.images == whole.images
    assert shape.heights is not None
    assert whole.heights is not None
    assert np.nanpercentile(np.abs(shape.heights.z_um - whole.heights.z_um), 90) < 0.4


def test_a_camera_that_gives_no_frame_ends_the_sweep_with_the_light_on_and_no_trigger_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field = Field()
    monkeypatch.setattr(TriggeredCamera, "poll", lambda _: None)
    with pytest.raises(CameraFailed, match="no trigger within 1 s"):
        sweeper_of(field)(HEIGHTS_UM)
    assert field.board.state().lamp_duty > 0.0
    assert frame_after(field.instrument.camera, field.bench.clock.now_s()).pixels.mean() > 50.0


def test_a_stage_that_has_come_below_the_planes_goes_up_at_once() -> None:
    """So X and Y may move meanwhile."""
    field = Field(planes=FOR_HEIGHTS)
    uneven = field.passed_by(sweeper_of(field))
    field.axis.approach_up(uneven.begin_um(FOCUS_Z_UM, FOCUS_Z_UM + 3.5))
    began_s = field.bench.clock.now_s()
    with on_demand(field.instrument, field.config.camera) as field.instrument:
        passed = uneven.through(FOCUS_Z_UM, FOCUS_Z_UM + 3.5)
    assert passed is not None
    assert passed.is_uneven
    ended_s = field.bench.clock.now_s()
    stood_um = [field.bench.true_um(time_s)[2] for time_s in np.linspace(began_s, ended_s, 100)]
    assert np.diff(stood_um).min() > -0.2  # it swings; through the play it would go 20 um down
    assert ended_s - began_s < 0.2 + 1.1 * len(field.exposed_um) * field.config.camera.frame_period_s


def test_near_a_limit_the_stage_stops_for_its_planes() -> None:
    field = Field(STEP, max_um=FOCUS_Z_UM + 7.0, planes=FOR_HEIGHTS)
    last_um = field.axis.limits_um[1]
    assert sweeper_of(field)([last_um - 2.5, last_um - 1.25, last_um]) == []
    assert field.exposed_um == []
    shape, _ = examined(field, is_passed=True)
    assert shape.verdict in ("uneven", "not confirmed")
    assert max(field.exposed_um) <= last_um + 0.5


def test_planes_need_a_camera_that_is_triggered() -> None:
    field = Field()
    free = msgspec.structs.replace(field.instrument, triggered=None)
    light = Light(free, field.config.scan.lamp_duty, only_exposed=True)
    with pytest.raises(ConfigError, match="this one runs free"):
        PlaneSweeper(free, field.config, planned(field).flash, light)


MEASURED = TriggerInUse(
    0.0001, 0.00004, 0.0079, datetime(2026, 11, 28, tzinfo=timezone.utc), exposed_s=0.0081
)


@pytest.mark.parametrize("brightness", [1.0, 2.5, 340.0, 1e5])
def test_a_flash_for_planes_gives_the_light_of_a_picture_at_rest_as_briefly_as_it_can(
    brightness: float,
) -> None:
    config = with_scan(Config(), flash_brightness=brightness)
    flash = flash_like_rest(config, MEASURED)
    assert flash is not None
    at_rest_s = config.camera.exposure_s * config.scan.lamp_duty / brightness
    assert flash.width_s * flash.duty == pytest.approx(at_rest_s)
    assert flash.width_s == pytest.approx(max(at_rest_s, 2e-6), abs=1e-6)
    assert flash.width_s == pytest.approx(round(1e6 * flash.width_s) / 1e6)  # the wire counts us
    assert (flash.delay_s, flash.duty <= 1.0) == (MEASURED.delay_s, True)


def test_without_a_measured_trigger_or_room_for_the_flash_the_stage_stops_for_planes() -> None:
    config = Config()
    assert flash_like_rest(config, None) is None
    assert flash_like_rest(config, TriggerInUse(config.scan.flash_delay_s)) is None  # only configured
    short = msgspec.structs.replace(MEASURED, room_s=0.9 * 0.6 * 0.008)
    assert flash_like_rest(config, short) is None
    assert flash_like_rest(with_scan(config, flash_brightness=2.0), short) is not None


@pytest.mark.parametrize("lacking", ["nothing", "camera", "board", "lamp", "measured"])
def test_planes_of_a_scan_with_stops_are_passed_where_everything_for_it_is_there(
    lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = Field()
    instrument = msgspec.structs.replace(field.instrument, trigger=MEASURED)
    if lacking == "camera":
        instrument = msgspec.structs.replace(instrument, triggered=None)
    elif lacking == "measured":
        instrument = msgspec.structs.replace(instrument, trigger=None)
    elif lacking in ("board", "lamp"):
        name = {"board": "has_strobe", "lamp": "has_lamp"}[lacking]
        told = msgspec.structs.replace(field.board.capabilities, **{name: False})
        monkeypatch.setattr(field.board, "capabilities", told)
    assert (flash_of_planes(instrument, field.config) is None) == (lacking != "nothing")


def test_planes_in_the_light_of_a_plain_lamp_are_those_at_rest() -> None:
    """Without a bright flash: 4.8 ms at full duty instead of 8 ms at 0.6, while Z goes on."""
    field = Field(flash_brightness=1.0)
    at_rest = frame_after(field.instrument.camera, field.axis.approach_up(HEIGHTS_UM[4])).pixels
    flash = flash_like_rest(field.config, MEASURED)
    assert flash is not None
    light = Light(field.instrument, field.config.scan.lamp_duty, only_exposed=False)
    field.exposed_um.clear()
    planes = PlaneSweeper(field.instrument, field.config, flash, light)(HEIGHTS_UM)
    assert [plane.z_um for plane in planes] == pytest.approx(field.exposed_um, abs=0.1)
    assert planes[4].pixels.mean() == pytest.approx(at_rest.mean(), rel=0.03)
    assert field.board.state().lamp_duty == pytest.approx(field.config.scan.lamp_duty, abs=1e-3)
