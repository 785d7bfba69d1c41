"""Frames of a sweep, taken while it goes on and after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import pytest

from parfocal.board.own.triggers import TriggeredFrame
from parfocal.edge.camera.frame import Frame, overtaken
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.frames import FramesOfSweep, Triggers, armed

SIX = Triggers(count=6, apart_s=0.1, flash_middle_s=0.01)


def told(*indices: int) -> list[TriggeredFrame]:
    return [TriggeredFrame(index, 10.0 + 0.1 * index) for index in indices]


class ArmedCamera:
    """Hands out the frames that have come. As with every camera here, only the newest frame has pixels."""

    n_lost = 0
    is_armed = True

    def __init__(self, come_s: Iterable[float] = ()) -> None:
        self.come_s = deque(come_s)
        self.armed_for: list[int] = []
        self._n_grabbed = 0

    def arm(self, n_frames: int) -> None:
        self.is_armed = True
        self.armed_for.append(n_frames)

    def disarm(self) -> None:
        self.is_armed = False

    def poll(self) -> Frame | None:
        if not self.come_s:
            return None
        self._n_grabbed += 1
        number, start_s = self._n_grabbed, self.come_s.popleft()

        def decoded() -> UInt8Array:
            if number != self._n_grabbed:
                raise overtaken()
            return np.full((2, 2, 3), round(10.0 * (start_s - 10.0)), np.uint8)

        return Frame(start_s, decoded)

    def grab(self, timeout_s: float = 1.0) -> Frame:
        frame = self.poll()
        if frame is None:
            raise CameraFailed(f"no frame within {timeout_s} s")
        return frame


class Sweep:
    """What has come so far: frames, and what the board has told."""

    def __init__(self) -> None:
        self.camera, self.events = ArmedCamera(), list[TriggeredFrame]()
        self.frames = FramesOfSweep(self.camera, self._take_told, SIX)

    def _take_told(self) -> list[TriggeredFrame]:
        taken, self.events = self.events, []
        return taken

    def came(self, *frames_s: float, told: Iterable[TriggeredFrame] = ()) -> list[int]:
        """Indices of the frames that are ready after these have come."""
        self.camera.come_s.extend(frames_s)
        self.events += told
        ready = list[int]()
        while (found := self.frames.ready()) is not None:
            assert found.pixels[0, 0, 0] == found.index
            assert found.flash_s == pytest.approx(10.01 + 0.1 * found.index)
            ready.append(found.index)
        return ready

    def others(self) -> list[int]:
        """Indices of those that are left after the sweep."""
        found = list(self.frames.others())
        assert [each.pixels[0, 0, 0] for each in found] == [each.index for each in found]
        return [each.index for each in found]


def test_frames_are_handed_out_while_the_sweep_goes_on_and_the_others_after_it() -> None:
    sweep = Sweep()
    assert sweep.came() == []
    assert sweep.came(10.0, told=told(0)) == [0]
    assert sweep.came(told=told(1)) == []
    assert sweep.came(10.1, 10.2, told=told(2)) == [1, 2]
    sweep.came(told=told(3, 4, 5))
    sweep.camera.come_s.extend((10.3, 10.4, 10.5))
    assert sweep.others() == [3, 4, 5]


def test_a_frame_waits_for_an_event_that_is_late_and_keeps_its_pixels() -> None:
    sweep = Sweep()
    assert sweep.came(10.0, 10.1, told=told(0)) == [0]
    assert sweep.came(10.2) == []  # neither its own event nor the one before has come
    assert sweep.came(told=told(1)) == [1]
    assert sweep.came(told=told(2)) == [2]


def test_a_frame_waits_for_its_own_event_and_is_not_taken_for_the_one_before_whose_frame_was_lost() -> None:
    sweep = Sweep()
    assert sweep.came(10.1, told=told(0)) == []
    assert sweep.came(10.2, told=told(1, 2)) == [1, 2]
    assert sweep.others() == []


def test_a_frame_whose_event_was_lost_and_one_of_no_trigger_are_left_out() -> None:
    sweep = Sweep()
    assert sweep.came(10.0, 10.05, 10.1, told=told(0)) == [0]
    assert sweep.came(10.2, 10.3, told=told(2, 3)) == [2, 3]
    sweep.came(told=told(3, 4, 5, 9))  # one came twice, one is not of this sweep
    sweep.camera.come_s.extend((10.5, 10.9))
    assert sweep.others() == [5]
    assert list(sweep.camera.come_s) == [10.9]  # nobody waits for more than was told


@pytest.mark.parametrize("frames_s", [(10.05, 10.15), (10.05, 10.95)])
def test_frames_of_which_none_fits_end_the_sweep_and_say_how_late_they_are(
    frames_s: tuple[float, ...],
) -> None:
    sweep = Sweep()
    assert sweep.came(frames_s[0], told=told(0)) == []
    assert sweep.came(told=told(1)) == []
    sweep.camera.come_s.extend(frames_s[1:])
    with pytest.raises(CameraFailed, match=r"2 frames came for 2 triggers, none of them with its trigger"):
        sweep.others()


def test_a_camera_without_any_frame_ends_the_sweep_and_without_triggers_there_is_nothing_to_wait_for() -> (
    None
):
    sweep = Sweep()
    assert sweep.others() == []
    sweep.came(told=told(0))
    with pytest.raises(CameraFailed, match="no frame within"):
        sweep.others()


def test_a_camera_that_was_armed_stays_armed() -> None:
    camera = ArmedCamera()
    states = list[bool]()
    with armed(camera, 7):
        pass
    states.append(camera.is_armed)
    camera.disarm()
    with pytest.raises(ValueError, match="failed"), armed(camera, 8):
        raise ValueError("failed")
    assert [*states, camera.is_armed] == [True, False]
    assert camera.armed_for == [7, 8]
