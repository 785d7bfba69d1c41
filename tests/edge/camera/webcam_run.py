"""Drives the webcam of fake_v4l2.c through the real OpenCV, and prints what came as JSON. Run by test_webcam.py."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from parfocal.edge.camera import v4l2
from parfocal.edge.camera.devices import VideoDevice
from parfocal.edge.camera.frame import frame_after
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.cli.setting_up.answers import SCREWS, axes_from_screws
from parfocal.edge.cli.setting_up.found import FoundCamera
from parfocal.edge.cli.setting_up.written import Instrument, toml_of
from parfocal.edge.config import CameraConfig, config_from_toml
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

NUMBER = 63


def written(mode: v4l2.Mode, modes: list[v4l2.Mode]) -> CameraConfig:
    """What `parfocal init` writes for a mode of the webcam."""
    found = FoundCamera(VideoDevice(NUMBER, "", ""), tuple(modes))
    axes = axes_from_screws(dict(SCREWS), None)
    text = toml_of(Instrument(None, found, mode, "20x/0.75", 0.345, dict(SCREWS), axes))
    return config_from_toml(text, "written").camera


def content(pixels: UInt8Array) -> int:
    """The number of a frame, of 24: its luminance rises by 8 of 219 from one to the next."""
    return round(float(pixels.mean()) / (8 * 255 / 219))


def error_of(fails: Callable[[], object]) -> str:
    """The error of something that fails; empty if it does not."""
    try:
        fails()
    except CameraFailed as error:
        return str(error)
    return ""


def main() -> None:
    """Open every mode, look at times, unplug and plug in again."""
    told: dict[str, object] = {}
    modes = v4l2.modes_at(Path(f"/dev/video{NUMBER}"))
    told["modes"] = [str(mode) for mode in modes]
    opened = told["opened"] = list[object]()
    for mode in modes:
        camera = VideoCamera(written(mode, modes))
        opened.append([*camera.grab().pixels.shape[:2], list(camera.notes)])
        told["settings"] = [camera.settings().exposure_s, camera.settings().gain]
        camera.close()
    os.environ["FAKE_JPEG"] = os.environ["OTHER_JPEG"]
    large = next(mode for mode in modes if mode.width_px == 1920)
    camera = VideoCamera(written(large, modes))
    pixels = camera.grab().pixels
    told["quartered"] = [*pixels.shape[:2], float(pixels.mean()), list(camera.notes)]
    camera.close()
    small = next(mode for mode in modes if mode.width_px == 640)
    camera = VideoCamera(written(small, modes))
    frames = []
    for k in range(10):
        if k == 4:
            time.sleep(0.3)  # the driver goes on and fills its buffers
        frame = camera.grab()
        frames.append((frame.exposure_start_s, content(frame.pixels)))
    told["frames"] = frames
    settled_s = time.monotonic()
    fresh = frame_after(camera, settled_s)
    told["fresh"] = [settled_s, fresh.exposure_start_s, content(fresh.pixels), frames[-1]]
    Path(os.environ["FAKE_GONE"]).touch()
    told["errors"] = [
        error_of(lambda: [camera.grab() for _ in range(9)]),
        error_of(lambda: VideoCamera(written(small, modes))),
    ]
    Path(os.environ["FAKE_GONE"]).unlink()
    camera = VideoCamera(written(small, modes))
    told["back"] = camera.grab().pixels.shape[:2]
    camera.close()
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
