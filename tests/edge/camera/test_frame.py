import numpy as np
import pytest

from parfocal.edge.camera.frame import Frame, frame_after
from parfocal.edge.errors import CameraFailed


class Queue:
    """A camera that gives the frames of a list, then the last one again and again."""

    def __init__(self, starts_s: list[float]) -> None:
        self._starts_s = starts_s
        self.decoded: list[float] = []

    def grab(self) -> Frame:
        start_s = self._starts_s.pop(0) if len(self._starts_s) > 1 else self._starts_s[0]
        return Frame(start_s, lambda: self._decode(start_s))

    def _decode(self, start_s: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        self.decoded.append(start_s)
        return np.zeros((2, 2, 3), np.uint8)

    def close(self) -> None:
        pass


def test_frames_exposed_before_the_stage_settled_are_thrown_away_undecoded() -> None:
    camera = Queue([1.0, 1.03, 1.06, 1.09])
    frame = frame_after(camera, 1.05)
    assert frame.exposure_start_s == 1.06
    assert frame.pixels is frame.pixels
    assert camera.decoded == [1.06]


def test_a_frame_that_begins_just_when_the_stage_settled_counts() -> None:
    assert frame_after(Queue([1.0, 2.0]), 1.0).exposure_start_s == 1.0


def test_a_camera_that_has_stopped_is_told_with_both_times() -> None:
    with pytest.raises(CameraFailed, match=r"after 5\.000 s.* one of 2\.000 s"):
        frame_after(Queue([1.0, 2.0]), 5.0)
