"""The camera that the board triggers: one frame a position, where and as bright as the flash was."""

from __future__ import annotations

import numpy as np
import pytest

from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.board.stub.virtual_bench import VirtualBench
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera
from parfocal.edge.simscope.triggered_camera import TriggeredCamera

CONFIG = CameraConfig(exposure_s=0.004, frame_period_s=0.005)


def black(*_: float) -> UInt8Array:
    return np.zeros((2, 2, 3), np.uint8)


def camera_of(bench: VirtualBench, render: Render = black, brightness: float = 1.0) -> TriggeredCamera:
    free = SimulatedCamera(bench, bench.clock, CONFIG, render)
    return TriggeredCamera(free, bench, bench.clock, CONFIG, render, brightness)


def test_a_sweep_gives_one_frame_at_each_position_lit_by_its_flash_alone() -> None:
    seen: list[tuple[float, float]] = []

    def render(_x_um: float, _y_um: float, z_um: float, duty: float) -> UInt8Array:
        seen.append((z_um, duty))
        return np.zeros((2, 2, 3), np.uint8)

    bench = VirtualBench()
    with bench.open_board() as board:
        board.home(("z",))
        board.z.move_to(100.0)
        camera = camera_of(bench, render)
        at_um = board.trigger_at("z", TriggerPositions(120.0, 10.0, 8), Flash(0.002, 0.001, 0.8))
        board.z.move_to(250.0)
        frames = board.take_triggered_frames()
        speed_um_per_s = 10.0 / (frames[4].trigger_s - frames[3].trigger_s)
        for shot, expected_um in zip(frames, at_um, strict=True):
            frame = camera.grab()
            assert frame.exposure_start_s == pytest.approx(shot.trigger_s, abs=3e-4)
            assert frame.pixels.shape == (2, 2, 3)
            z_um, duty = seen[-1]
            assert z_um == pytest.approx(expected_um + 0.0025 * speed_um_per_s, abs=0.4)
            assert duty == pytest.approx(0.8 * 0.001 / 0.004)
        with pytest.raises(CameraFailed, match=r"no trigger within 0.5 s. Arm the board"):
            camera.grab(timeout_s=0.5)


def test_a_triggered_frame_is_there_a_frame_period_after_its_exposure() -> None:
    bench = VirtualBench()
    camera = camera_of(bench)
    with bench.open_board() as board:
        camera.arm(1)
        board.trigger_camera()
        frame = camera.grab()
        assert bench.clock.now_s() == pytest.approx(frame.exposure_start_s + 0.004 + 0.005, abs=1e-5)
        board.trigger_camera()
        bench.clock.sleep_s(0.0075)
        assert camera.poll() is None
        bench.clock.sleep_s(0.002)
        assert camera.poll() is not None


def test_a_trigger_during_an_exposure_is_ignored() -> None:
    bench = VirtualBench()
    camera = camera_of(bench)
    with bench.open_board() as board:
        board.strobe(count=6, period_s=0.003, delay_s=0.0, width_s=0.001, duty=0.5)
        bench.clock.sleep_s(0.1)
        starts_s = [camera.grab().exposure_start_s for _ in range(3)]
        assert np.diff(starts_s) == pytest.approx([0.006, 0.006])
        with pytest.raises(CameraFailed):
            camera.grab(timeout_s=0.1)


def test_a_row_at_40x_that_takes_half_a_minute_hands_its_frames_out_after_it() -> None:
    bench = VirtualBench()
    camera = camera_of(bench)
    with bench.open_board() as board:
        board.strobe(count=2, period_s=0.1, delay_s=0.0, width_s=0.001, duty=0.5)
        bench.clock.sleep_s(30.0)
        assert camera.grab().pixels.shape == (2, 2, 3)
