"""The real camera's driver against a V4L2 device that is not there."""

import cv2
import pytest

from parfocal.edge.camera import VideoCamera
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from tests.edge.v4l2 import Capture, Device, colour_of, time_s_of

CONFIG = CameraConfig(width_px=1224, height_px=1024, exposure_s=0.01, frame_period_s=0.05)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()

    def capture(_number: int, api: int) -> Capture:
        return Capture(made, api)

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    return made


def test_a_frame_is_rgb_and_began_an_exposure_and_a_read_out_before_it_was_complete(device: Device) -> None:
    frame = VideoCamera(CONFIG).grab()
    assert frame.exposure_start_s == pytest.approx(time_s_of(device.n_frames) - 0.01 - 0.05)
    assert tuple(frame.pixels[0, 0]) == colour_of(device.n_frames)


def test_exposure_and_white_balance_are_taken_off_automatic(device: Device) -> None:
    VideoCamera(CONFIG)
    assert device.controls[cv2.CAP_PROP_AUTO_EXPOSURE].value == 1
    assert device.controls[cv2.CAP_PROP_EXPOSURE].value == 100
    assert device.controls[cv2.CAP_PROP_AUTO_WB].value == 0


def test_a_camera_that_is_not_there_is_told(device: Device) -> None:
    device.is_there = False
    with pytest.raises(CameraFailed, match="camera 0 not found"):
        VideoCamera(CONFIG)


@pytest.mark.parametrize("size", [(640, 480), (800, 600), (1280, 960), (1224, 1024), (320, 240)])
def test_every_mode_that_the_camera_has_opens_and_gives_frames_of_its_size(
    device: Device, size: tuple[int, int]
) -> None:
    device.sizes = {"YUYV": ((640, 480), (320, 240), (800, 600), (1280, 960), (1224, 1024))}
    camera = VideoCamera(CameraConfig(width_px=size[0], height_px=size[1]))
    assert camera.grab().pixels.shape == (size[1], size[0], 3)


def test_a_mode_that_only_comes_compressed_opens(device: Device) -> None:
    device.sizes = {"YUYV": ((640, 480), (800, 600)), "MJPG": ((640, 480), (1920, 1080))}
    camera = VideoCamera(CameraConfig(width_px=1920, height_px=1080))
    assert camera.grab().pixels.shape == (1080, 1920, 3)


def test_a_mode_that_also_comes_raw_is_taken_raw(device: Device) -> None:
    device.sizes = {"MJPG": ((640, 480), (800, 600)), "YUYV": ((640, 480), (800, 600))}
    VideoCamera(CameraConfig(width_px=800, height_px=600))
    assert device.palette == "YUYV"


def test_a_mode_the_camera_does_not_have_is_refused_with_what_it_gives(device: Device) -> None:
    device.sizes = {"YUYV": ((640, 480),), "MJPG": ((640, 480), (1280, 1024))}
    with pytest.raises(CameraFailed, match="of 1224 x 1024 px and gives 1280 x 1024"):
        VideoCamera(CONFIG)
    assert not device.is_open


def test_a_camera_unplugged_in_the_middle_is_told(device: Device) -> None:
    camera = VideoCamera(CONFIG)
    device.gives_frames = False
    with pytest.raises(CameraFailed, match="gave no frame"):
        camera.grab()
