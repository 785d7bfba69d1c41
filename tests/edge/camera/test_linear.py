"""A triggered camera whose gamma is undone is the same camera otherwise."""

import numpy as np

from parfocal.edge.camera.frame import Frame
from parfocal.edge.camera.linear import table_of
from parfocal.edge.instrument import calibrated_trigger
from parfocal.edge.measured.calibration import CameraInUse


class Triggered:
    """A camera that notes what it was asked."""

    n_lost = 3
    is_armed = True

    def __init__(self) -> None:
        self.asked: list[object] = []

    def arm(self, n_frames: int) -> None:
        self.asked.append(("arm", n_frames))

    def grab(self, timeout_s: float = 1.0) -> Frame:
        self.asked.append(("grab", timeout_s))
        return Frame(12.5, lambda: np.full((2, 2, 3), 128, np.uint8))

    def poll(self) -> Frame | None:
        return None if "poll" in self.asked else self.grab()

    def disarm(self) -> None:
        self.asked.append("disarm")


def test_a_measured_gamma_is_undone_in_triggered_frames_too() -> None:
    raw = Triggered()
    camera = calibrated_trigger(raw, CameraInUse(gamma=0.5, dark_level=10.0))
    assert camera is not None
    camera.arm(7)
    frame = camera.grab(0.25)
    camera.disarm()
    assert (frame.pixels == table_of(0.5, 10.0)[128]).all()
    assert frame.exposure_start_s == 12.5
    assert (camera.n_lost, camera.is_armed) == (3, True)
    assert raw.asked == [("arm", 7), ("grab", 0.25), "disarm"]
    polled = camera.poll()
    assert polled is not None
    assert (polled.pixels == frame.pixels).all()
    raw.asked.append("poll")
    assert camera.poll() is None


def test_a_camera_with_a_straight_response_or_none_is_left_as_it_is() -> None:
    raw = Triggered()
    assert calibrated_trigger(raw, CameraInUse()) is raw
    assert calibrated_trigger(None, CameraInUse(gamma=0.5)) is None
