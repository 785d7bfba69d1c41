"""Time stamps of a camera on the clock of this machine."""

import pytest

from parfocal.edge.camera.vision.device_clock import DeviceClock


def test_a_late_arrival_does_not_change_when_a_frame_was_exposed() -> None:
    clock = DeviceClock()
    assert clock.host_s(500.0, 10.002) == pytest.approx(10.002)
    assert clock.host_s(500.1, 10.152) == pytest.approx(10.102)  # 50 ms late
    assert clock.host_s(500.2, 10.201) == pytest.approx(10.201)  # the least late one so far
    assert clock.host_s(500.3, 10.350) == pytest.approx(10.301)


def test_a_clock_that_runs_fast_is_followed() -> None:
    clock = DeviceClock()
    for k in range(600):
        clock.host_s(k * 1.0001, float(k))
    assert clock.host_s(600 * 1.0001, 600.0) == pytest.approx(600.0, abs=0.002)


def test_a_camera_without_a_clock_is_dated_by_its_arrivals() -> None:
    clock = DeviceClock()
    assert clock.host_s(0.0, 10.0) == 10.0
    assert clock.host_s(0.0, 10.7) == 10.7


def test_a_clock_that_begins_anew_is_put_onto_ours_anew() -> None:
    clock = DeviceClock()
    clock.host_s(500.0, 10.0)
    assert clock.host_s(1.0, 20.0) == pytest.approx(20.0)
    assert clock.host_s(1.5, 20.6) == pytest.approx(20.5)
