"""OpenCV's log does not speak before our errors."""

from pathlib import Path

import cv2
import pytest

from parfocal.edge import opencv_log
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.images.rgb import rgb_from_file
from tests.edge.scope import tissue


@pytest.fixture(autouse=True)
def no_level_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENCV_LOG_LEVEL", raising=False)


def cut_image(tmp_path: Path) -> Path:
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), tissue(200))
    path.write_bytes(path.read_bytes()[:2000])
    return path


def test_a_camera_that_is_not_there_is_told_by_our_error_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraFailed, match="camera 250 not found"):
        VideoCamera(CameraConfig(device=250))
    assert capfd.readouterr().err == ""


def test_an_image_that_is_cut_short_is_told_by_our_error_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="not an image"):
        rgb_from_file(cut_image(tmp_path))
    assert capfd.readouterr().err == ""


def test_who_asks_for_the_log_of_opencv_gets_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "WARNING")
    with pytest.raises(ValueError, match="not an image"):
        rgb_from_file(cut_image(tmp_path))
    assert "PNG" in capfd.readouterr().err


def test_the_level_of_before_comes_back() -> None:
    set_level = opencv_log._level_setter()
    before = set_level(2)
    with pytest.raises(RuntimeError), opencv_log.silenced():
        raise RuntimeError
    assert set_level(before) == 2
