"""Cameras through Aravis, with its own GigE Vision camera. Skipped where PyGObject and Aravis are not seen."""

import gc
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from parfocal.edge.camera.frame import frame_after
from parfocal.edge.camera.opened import open_camera, triggered_of
from parfocal.edge.camera.vision.aravis import AravisCamera, aravis, size_and_inputs
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from tests.edge.camera.gige import ADDRESS, GigeCamera

# PyGObject 3.42 loads its modules in a way that Python 3.11 warns of.
pytestmark = pytest.mark.filterwarnings("ignore::ImportWarning", "ignore::DeprecationWarning")
CONFIG = CameraConfig(
    kind="aravis",
    device=ADDRESS,
    width_px=64,
    height_px=48,
    exposure_s=0.002,
    frame_period_s=0.02,
    trigger_line="Line1",
)
SLOW_S = 5.0  # on a busy machine this camera may take half a second for a pulse


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> GigeCamera:
    try:
        aravis()
    except CameraFailed as error:
        pytest.skip(str(error))
    return GigeCamera(tmp_path_factory.mktemp("camera"), least_delay_us=20)


@pytest.fixture
def camera(device: GigeCamera) -> Iterator[AravisCamera]:
    assert not device.is_waiting
    opened = AravisCamera(CONFIG)
    yield opened
    opened.close()


def test_frames_are_rgb_of_the_configured_size_and_never_look_younger_than_they_are(
    camera: AravisCamera,
) -> None:
    first = camera.grab()
    assert first.pixels.shape == (48, 64, 3)
    assert first.pixels.dtype == np.uint8
    settled_s = time.monotonic()
    frame = frame_after(camera, settled_s)
    assert settled_s <= frame.exposure_start_s <= time.monotonic() - CONFIG.exposure_s - CONFIG.frame_period_s
    camera.grab()
    with pytest.raises(RuntimeError, match="are gone"):
        frame.pixels  # noqa: B018  # asking for them is the test


def test_armed_it_exposes_once_for_each_pulse_and_dates_the_frame_by_its_pulse(
    camera: AravisCamera, device: GigeCamera
) -> None:
    camera.arm(3)
    assert device.is_waiting
    with pytest.raises(CameraFailed, match="no frame for a trigger at Line1"):
        camera.grab(0.05)  # none of the frames from before
    for _ in range(2):
        pulsed_s = time.monotonic()
        device.pulse()
        frame = camera.grab(SLOW_S)
        # This camera sends a frame at once, and the exposure before it is only said.
        assert pulsed_s - CONFIG.exposure_s <= frame.exposure_start_s <= time.monotonic() - CONFIG.exposure_s
        assert frame.pixels.shape == (48, 64, 3)
    assert camera.n_lost == 0
    camera.disarm()
    camera.grab()


def test_disarmed_it_runs_freely(camera: AravisCamera, device: GigeCamera) -> None:
    camera.arm(1)
    camera.disarm()
    assert not device.is_waiting
    assert time.monotonic() - camera.grab().exposure_start_s < 1.0


def test_frames_wait_in_their_order_until_they_are_asked_for(
    camera: AravisCamera, device: GigeCamera
) -> None:
    camera.arm(3)
    pulses_s = []
    for _ in range(3):
        pulses_s.append(time.monotonic())
        device.pulse()
        answered(device)
    starts_s = [camera.grab(SLOW_S).exposure_start_s for _ in range(3)]
    assert starts_s == sorted(starts_s)
    assert all(pulsed_s - 0.005 < start_s for pulsed_s, start_s in zip(pulses_s, starts_s, strict=True))
    camera.disarm()


def test_a_frame_is_there_or_not_and_nobody_waits(camera: AravisCamera, device: GigeCamera) -> None:
    was_armed = camera.is_armed
    camera.arm(2)
    assert (was_armed, camera.is_armed) == (False, True)
    began_s = time.monotonic()
    assert camera.poll() is None
    assert time.monotonic() - began_s < 0.5 * SLOW_S
    device.pulse()
    answered(device)
    deadline_s = time.monotonic() + SLOW_S
    while (frame := camera.poll()) is None:
        assert time.monotonic() < deadline_s
    assert frame.pixels.shape == (48, 64, 3)
    assert camera.poll() is None
    camera.disarm()


def test_armed_again_it_drops_the_frames_from_before_and_goes_on_waiting_for_triggers(
    camera: AravisCamera, device: GigeCamera
) -> None:
    camera.arm(2)
    for _ in range(2):
        device.pulse()
        answered(device)
    camera.grab(SLOW_S)  # and the other one is there, or on its way
    camera.arm(12)  # more than there is room for in the free run
    assert device.is_waiting
    assert camera.poll() is None
    for _ in range(12):
        device.pulse()
        answered(device)
    for _ in range(12):
        camera.grab(SLOW_S)
    assert camera.n_lost == 0
    camera.disarm()
    assert not device.is_waiting


def test_a_frame_for_which_there_was_no_room_is_noticed_by_the_next_ones_id(
    camera: AravisCamera, device: GigeCamera
) -> None:
    camera.arm(1)
    n_room = 8  # of the free run
    for _ in range(n_room + 3):  # the last one may find room again
        device.pulse()
        answered(device)
    for _ in range(n_room):
        camera.grab(SLOW_S)
    assert camera.n_lost == 0  # nobody knows of it yet
    device.pulse()
    camera.grab(SLOW_S)
    n_lost = camera.n_lost
    assert n_lost in (2, 3)
    camera.disarm()
    assert camera.n_lost == n_lost  # until it is armed anew
    camera.arm(1)
    assert camera.n_lost == 0


def test_a_delay_that_another_program_left_is_set_to_the_least(
    camera: AravisCamera, device: GigeCamera
) -> None:
    device.set_delay(700)
    camera.arm(1)
    assert device.delay_us == 20


def test_closing_it_while_it_is_armed_leaves_it_running_freely(device: GigeCamera) -> None:
    camera = AravisCamera(CONFIG)
    camera.arm(1)
    camera.close()
    assert not device.is_waiting
    camera.close()  # once more does no harm


def test_a_line_that_the_camera_does_not_have_is_refused_when_it_is_opened(device: GigeCamera) -> None:
    with pytest.raises(CameraFailed, match=r"no trigger input 'Line7'; it has Line0, Line1\. Set"):
        AravisCamera(msgspec.structs.replace(CONFIG, trigger_line="Line7"))
    gc.collect()
    assert not device.is_waiting


def test_a_size_beyond_the_sensor_and_an_unknown_name_are_refused(device: GigeCamera) -> None:
    del device
    with pytest.raises(CameraFailed, match=r"the camera has 2048 x 2048 px, and 4096 x 48 are configured"):
        AravisCamera(msgspec.structs.replace(CONFIG, width_px=4096))
    gc.collect()


def test_its_size_and_inputs_are_found_without_opening_it_for_frames(device: GigeCamera) -> None:
    del device
    assert size_and_inputs(ADDRESS) == ((2048, 2048), ("Line0", "Line1"))
    gc.collect()


def test_it_opens_by_its_kind_and_is_triggered_where_a_line_is_configured(device: GigeCamera) -> None:
    del device
    camera, notes = open_camera(CONFIG)
    triggered: object = triggered_of(camera, CONFIG)
    assert triggered is camera
    assert triggered_of(camera, msgspec.structs.replace(CONFIG, trigger_line="")) is None
    assert notes == ()
    camera.close()


def answered(device: GigeCamera) -> None:
    """Wait until the camera has seen the pulse."""
    deadline_s = time.monotonic() + SLOW_S
    while device.is_pulsed:
        assert time.monotonic() < deadline_s
