"""Cameras that Micro-Manager drives, with its own demo camera."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.foreign import mmcore
from parfocal.board.foreign.memory import NoFile
from parfocal.board.open import open_micromanager
from parfocal.edge.camera import micromanager
from parfocal.edge.camera.micromanager import rgb_from_image
from parfocal.edge.camera.opened import open_camera
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from tests.board.foreign.micromanager import DEVICES, UPWARDS, board_config, file_of


@pytest.fixture(autouse=True)
def adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = pytest.importorskip("mm_test_adapters")
    monkeypatch.setenv("MICROMANAGER_PATH", installed.device_adapter_path())


def config_of(file: str, **changes: object) -> CameraConfig:
    keys = {"width_px": 512, "height_px": 512, "exposure_s": 0.005} | changes
    return CameraConfig(kind="micromanager", micromanager=file, **keys)  # type: ignore[arg-type]


def test_a_frame_is_exposed_after_it_was_asked_for_and_has_its_own_pixels(tmp_path: Path) -> None:
    camera, notes = open_camera(config_of(file_of(tmp_path)))
    asked_s = time.monotonic()
    frames = [camera.grab(), camera.grab()]
    assert asked_s <= frames[0].exposure_start_s < frames[1].exposure_start_s <= time.monotonic()
    assert frames[0].pixels.shape == (512, 512, 3)
    assert frames[0].pixels.dtype == np.uint8
    assert any(frames[0].pixels.ravel() != frames[1].pixels.ravel())
    assert notes == ("gives grey images; the models were made for colour",)
    camera.close()
    assert not mmcore._open


def test_a_colour_camera_gives_red_green_blue(tmp_path: Path) -> None:
    colour = "Property,Camera,PixelType,32bitRGB\nProperty,Camera,Mode,Color Test Pattern\n"
    camera, notes = open_camera(config_of(file_of(tmp_path, DEVICES + colour)))
    pixels = camera.grab().pixels
    assert not notes
    assert pixels[10, 100].argmax() == 2  # its first stripe is the lowest byte of the core, which is blue
    camera.close()


def test_stage_and_camera_of_one_file_share_a_core_until_both_are_closed(tmp_path: Path) -> None:
    file = file_of(tmp_path, DEVICES + UPWARDS)
    board = open_micromanager(MonotonicClock(), board_config(file), NoFile())
    camera, _ = open_camera(config_of(file))
    assert len(mmcore._open) == 1
    board.close()
    assert camera.grab().pixels.shape == (512, 512, 3)
    camera.close()
    assert not mmcore._open


def test_wrong_size_or_label_says_what_to_set(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    with pytest.raises(CameraFailed, match=r"gives 512 x 512 px, and 640 x 512 .*camera\.width_px"):
        open_camera(config_of(file, width_px=640))
    with pytest.raises(CameraFailed, match=r"camera 'Z9' is not in .*camera\.device"):
        open_camera(config_of(file, device="Z9"))
    assert not mmcore._open


def test_a_camera_that_fails_or_hangs_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, _ = open_camera(config_of(file_of(tmp_path)))
    (shared,) = mmcore._open.values()

    def fail() -> None:
        raise RuntimeError('Error in device "Camera": Device not connected (17)')

    monkeypatch.setattr(shared.core, "snapImage", fail, raising=False)
    with pytest.raises(CameraFailed, match="Device not connected"):
        camera.grab()
    monkeypatch.setattr(micromanager, "ANSWER_S", 0.05)
    answers = threading.Event()
    monkeypatch.setattr(shared.core, "snapImage", answers.wait, raising=False)
    with pytest.raises(CameraFailed, match="did not answer within"):
        camera.grab()
    answers.set()
    camera.close()


def test_every_type_of_image_becomes_rgb_of_eight_bits() -> None:
    grey = np.array([[0, 255]], np.uint8)
    assert rgb_from_image(grey, 8).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    deep = np.array([[0, 4095, 2048]], np.uint16)
    assert rgb_from_image(deep, 12)[0, :, 0].tolist() == [0, 255, 128]
    assert rgb_from_image(np.array([[0x00112233]], np.uint32), 8).tolist() == [[[0x11, 0x22, 0x33]]]
    with pytest.raises(CameraFailed, match="not understood"):
        rgb_from_image(np.zeros((2, 2), np.float32), 32)
