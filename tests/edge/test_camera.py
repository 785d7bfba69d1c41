"""The real camera's driver against a V4L2 device that is not there."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.edge.camera import VideoCamera
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed

CONFIG = CameraConfig(width_px=640, height_px=480, exposure_s=0.01, frame_period_s=0.05)


class Device:
    """What OpenCV shows of a camera; `modes` maps a property asked for to what the camera makes of it."""

    there = True
    gives_frames = True
    modes: dict[float, float] = {}  # noqa: RUF012

    def __init__(self, number: int, api: int) -> None:
        assert api == cv2.CAP_V4L2
        self.number = number
        self.properties: dict[int, float] = {cv2.CAP_PROP_POS_MSEC: 12_345.0}
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.there

    def set(self, key: int, value: float) -> bool:
        self.properties[key] = self.modes.get(value, value)
        return True

    def get(self, key: int) -> float:
        return self.properties[key]

    def grab(self) -> bool:
        return self.gives_frames

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        return True, np.dstack([np.full((480, 640), v, np.uint8) for v in (10, 20, 30)])

    def release(self) -> None:
        self.released = True


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> type[Device]:
    class Here(Device):
        pass

    monkeypatch.setattr(cv2, "VideoCapture", Here)
    return Here


def test_a_frame_is_rgb_and_began_an_exposure_and_a_read_out_before_it_was_complete() -> None:
    frame = VideoCamera(CONFIG).grab()
    assert frame.exposure_start_s == pytest.approx(12.345 - 0.01 - 0.05)
    assert tuple(frame.pixels[0, 0]) == (30, 20, 10)


def test_exposure_and_white_balance_are_taken_off_automatic() -> None:
    properties = VideoCamera(CONFIG)._capture.properties  # type: ignore[attr-defined]
    assert properties[cv2.CAP_PROP_AUTO_EXPOSURE] == 1.0
    assert properties[cv2.CAP_PROP_EXPOSURE] == pytest.approx(100.0)
    assert properties[cv2.CAP_PROP_AUTO_WB] == 0.0


def test_a_camera_that_is_not_there_is_told(device: type[Device]) -> None:
    device.there = False
    with pytest.raises(CameraFailed, match="camera 0 not found"):
        VideoCamera(CONFIG)


def test_a_mode_the_camera_does_not_have_is_refused_with_what_it_gives(device: type[Device]) -> None:
    device.modes = {480.0: 360.0}
    with pytest.raises(CameraFailed, match="height of 480 px and gives 360"):
        VideoCamera(CONFIG)


def test_a_camera_unplugged_in_the_middle_is_told(device: type[Device]) -> None:
    camera = VideoCamera(CONFIG)
    device.gives_frames = False
    with pytest.raises(CameraFailed, match="gave no frame"):
        camera.grab()
