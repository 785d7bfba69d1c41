"""OpenCV's log does not appear beside our errors."""

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
def no_log_level_from_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENCV_LOG_LEVEL", raising=False)


def cut_image(tmp_path: Path) -> Path:
    path = tmp_path / "cut.png"
    cv2.imwrite(str(path), tissue(200))
    path.write_bytes(path.read_bytes()[:2000])
    return path


def test_a_missing_camera_gives_our_error_only(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraFailed, match="camera 250 not found"):
        VideoCamera(CameraConfig(device=250))
    assert capfd.readouterr().err == ""


def test_a_truncated_image_gives_our_error_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not an image"):
        rgb_from_file(cut_image(tmp_path))
    assert capfd.readouterr().err == ""


def test_the_log_appears_when_its_level_is_set(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "WARNING")
    with pytest.raises(ValueError, match="not an image"):
        rgb_from_file(cut_image(tmp_path))
    assert "PNG" in capfd.readouterr().err


def test_the_previous_level_is_restored() -> None:
    set_level = opencv_log._level_setter()
    before = set_level(2)
    with pytest.raises(RuntimeError), opencv_log.silenced():
        raise RuntimeError
    assert set_level(before) == 2
