"""A camera that was touched since its calibration is noticed by a run's own pictures."""

import numpy as np
import pytest
from numpy.typing import NDArray

from parfocal.calib.camera.seen_light import MeasuredLight
from parfocal.calib.camera.view import View
from parfocal.edge.camera.frame import CameraSettings, Frame
from parfocal.edge.scan.watch import KEPT, CameraWatch
from tests.edge.scan.conftest import Scan
from tests.edge.scan.tiling.small_slide import UM_PER_PX, SmallSlide
from tests.stains import ihc

STEP_PX = 100


def visited(watch: CameraWatch, picture: NDArray[np.uint8], n: int = 9) -> None:
    """Fields of 120 x 120 px along a snake of three columns."""
    for k in range(n):
        row, column = divmod(k, 3)
        column = column if row % 2 == 0 else 2 - column
        top, left = STEP_PX * row, STEP_PX * column
        watch.seen(float(left), float(top), picture[top : top + 120, left : left + 120])


class FakeCamera:
    """A camera whose gain may be changed by another program."""

    def __init__(self) -> None:
        self.gain = 4.0

    def settings(self) -> CameraSettings:
        return CameraSettings(0.008, self.gain)

    def set_exposure(self, exposure_s: float) -> float:
        return exposure_s

    def grab(self) -> Frame:
        raise NotImplementedError

    def close(self) -> None:
        pass


def test_a_turned_camera_is_told_once_and_a_right_one_confirmed() -> None:
    turned, right = CameraWatch(View(1.0, 4.0)), CameraWatch(View(1.0))
    visited(turned, ihc())
    visited(right, ihc())
    (due,) = turned.due
    assert due.part == "stage"
    assert "Run `parfocal calibrate stage`." in due.told
    assert not turned.confirmed
    assert (right.due, right.confirmed) == ((), {"stage"})


def test_blank_and_distant_fields_raise_no_alarm() -> None:
    watch = CameraWatch(View(1.0, 4.0))
    visited(watch, np.full((512, 512, 3), 235, np.uint8))
    for k in range(KEPT):
        watch.seen(5000.0 * k, 0.0, ihc()[20 * k : 20 * k + 120, :120])
    assert watch.due == ()


def test_an_empty_field_between_two_others_parts_them() -> None:
    watch, picture = CameraWatch(View(1.0)), ihc()
    for k in range(4 * KEPT):  # a field, an empty one, a field that lies elsewhere
        top, left = 97 * k % 380, 61 * k % 380
        watch.seen(200.0 * k, 0.0, picture[top : top + 120, left : left + 120])
        watch.seen_empty(np.full((120, 120, 3), 235, np.uint8))
        watch.seen(200.0 * k + 100.0, 0.0, picture[380 - top : 500 - top, 380 - left : 500 - left])
        watch.seen_empty(np.full((120, 120, 3), 235, np.uint8))
    assert watch.due == ()


def test_neighbours_without_anything_in_common_are_told() -> None:
    watch, picture = CameraWatch(View(1.0)), ihc()
    rng = np.random.default_rng(5)
    for k in range(KEPT + 2):
        top, left = rng.integers(0, 390, 2)
        watch.seen(100.0 * k, 0.0, picture[top : top + 120, left : left + 120])
    (due,) = watch.due
    assert "show nothing in common" in due.told


def test_settings_that_another_program_changes_are_told() -> None:
    camera = FakeCamera()
    watch = CameraWatch(View(1.0), camera=camera)
    watch.check_settings()
    assert not watch.due
    camera.gain = 6.0
    watch.check_settings()
    due = watch.due[0]
    assert "the camera's gain went from 4 to 6 during the run" in due.told


def test_flashes_that_were_seen_settle_an_earlier_note_and_one_missed_flash_says_nothing() -> None:
    watch = CameraWatch(View(1.0))
    watch.seen_flash(is_dark=True)
    for _ in range(KEPT):
        watch.seen_flash(is_dark=False)
    assert (watch.due, watch.confirmed) == ((), {"trigger"})


def test_light_that_changed_is_told_by_empty_fields() -> None:
    flat = MeasuredLight(((1.0,) * 9,) * 9, 0.02, (220.0, 220.0, 220.0), knows_level=True)
    watch = CameraWatch(View(1.0), flat)
    for _ in range(5):
        watch.seen_empty(np.full((120, 120, 3), 140, np.uint8))
    (due,) = watch.due
    assert due.part == "camera"
    assert "36 % darker than calibrated" in due.told


@pytest.mark.parametrize(("angle_deg", "n_due"), [(0.0, 0), (5.0, 1)])
def test_a_scan_tells_what_is_due(scan: Scan, angle_deg: float, n_due: int) -> None:
    small = SmallSlide(view=View(UM_PER_PX, angle_deg))
    told: list[str] = []
    scan(small, told=told)
    assert len(told) == n_due
