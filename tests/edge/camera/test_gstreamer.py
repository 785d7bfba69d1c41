"""Cameras behind a GStreamer pipeline, with its own test source. Skipped where the system's PyGObject is not seen."""

import ctypes
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from parfocal.edge.camera.frame import frame_after
from parfocal.edge.camera.gstreamer import GstreamerCamera, gstreamer
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed

# PyGObject 3.42 loads its modules in a way that Python 3.11 warns of.
pytestmark = pytest.mark.filterwarnings("ignore::ImportWarning", "ignore::DeprecationWarning")
# 101 px: a row of RGB pixels is not a multiple of four bytes.
CONFIG = CameraConfig(
    kind="gstreamer",
    pipeline="videotestsrc is-live=true pattern=red ! video/x-raw,framerate=50/1",
    width_px=101,
    height_px=60,
    exposure_s=0.002,
    frame_period_s=0.02,
)


def with_pipeline(pipeline: str) -> CameraConfig:
    return msgspec.structs.replace(CONFIG, pipeline=pipeline)


@pytest.fixture
def _gst() -> None:
    try:
        gstreamer()
    except CameraFailed as error:
        pytest.skip(str(error))


@pytest.fixture
def camera(_gst: None) -> Iterator[GstreamerCamera]:
    opened = GstreamerCamera(CONFIG)
    yield opened
    opened.close()


def test_a_frame_is_rgb_of_the_configured_size_and_keeps_its_pixels(camera: GstreamerCamera) -> None:
    first = camera.grab()
    camera.grab()
    assert first.pixels.shape == (60, 101, 3)
    assert first.pixels.dtype == np.uint8
    assert np.ptp(first.pixels.reshape(-1, 3), axis=0).max() <= 2
    red, green, blue = first.pixels[30, 100]
    assert red > 240
    assert max(green, blue) < 15


def test_a_frame_after_a_rest_began_after_it_on_the_clock_of_the_board(camera: GstreamerCamera) -> None:
    camera.grab()
    settled_s = time.monotonic()
    frame = frame_after(camera, settled_s)
    now_s = time.monotonic()
    # Stamped when complete, and dated an exposure and a read-out earlier.
    assert settled_s <= frame.exposure_start_s <= now_s - CONFIG.exposure_s - CONFIG.frame_period_s
    assert now_s - settled_s < 2.0


@pytest.mark.usefixtures("_gst")
def test_a_genicam_camera_comes_through_aravis() -> None:
    """USB3 Vision and GigE Vision cameras: the fake camera of Aravis."""
    try:
        import gi

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis
    except (ImportError, ValueError):
        pytest.skip("no Aravis here: `apt install gir1.2-aravis-0.8`")
    Aravis.enable_interface("Fake")
    pipeline = "aravissrc camera-name=Fake_1 exposure-auto=off exposure=8000 gain-auto=off gain=0"
    config = msgspec.structs.replace(with_pipeline(pipeline), width_px=512, height_px=512)
    camera = GstreamerCamera(config)
    settled_s = time.monotonic()
    frame = frame_after(camera, settled_s)
    assert settled_s <= frame.exposure_start_s <= time.monotonic()
    assert frame.pixels.shape == (512, 512, 3)
    camera.close()


@pytest.mark.usefixtures("_gst")
@pytest.mark.parametrize(
    ("pipeline", "told"),
    [
        ("nosuchsource", r"camera\.pipeline is invalid: no element \"nosuchsource\""),
        ("videotestsrc num-buffers=0", r"no frame of 101 x 60 px within 10\.0 s \(its stream has ended\)"),
        ("videotestsrc ! identity error-after=1", r"within 10\.0 s \(Failed after iterations as requested\)"),
        ("videotestsrc ! video/x-raw,width=7", r"could not link .* must have 101 x 60 px"),
    ],
)
def test_a_pipeline_without_frames_says_why(pipeline: str, told: str) -> None:
    with pytest.raises(CameraFailed, match=told):
        GstreamerCamera(with_pipeline(pipeline))


@pytest.mark.usefixtures("_gst")
def test_a_camera_that_ends_is_an_error_and_not_an_old_frame() -> None:
    camera = GstreamerCamera(with_pipeline("videotestsrc num-buffers=3"))
    with pytest.raises(CameraFailed, match="its stream has ended"):
        [camera.grab() for _ in range(4)]


def test_a_machine_without_gstreamer_is_told_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(CameraFailed, match="apt install python3-gi gir1.2-gstreamer-1.0"):
        GstreamerCamera(CONFIG)


@pytest.mark.parametrize("fields", [{"kind": "gstreamer"}, {"pipeline": "libcamerasrc"}])
def test_a_pipeline_and_its_kind_come_together(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="kind = 'gstreamer' needs a pipeline"):
        CameraConfig(**fields)  # type: ignore[arg-type]


def test_libgcc_is_loaded_before_gstreamer_brings_its_own_unwinder(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, int]] = []
    monkeypatch.setitem(sys.modules, "gi", None)
    monkeypatch.setattr(ctypes, "CDLL", lambda name, mode: loaded.append((name, mode)))
    with pytest.raises(CameraFailed):
        gstreamer()
    assert loaded == [("libgcc_s.so.1", ctypes.RTLD_GLOBAL)]


@pytest.mark.usefixtures("_gst")
def test_an_engine_opens_in_a_process_that_has_gstreamer() -> None:
    program = (
        "from parfocal.edge.camera.gstreamer import gstreamer; gstreamer()\n"
        "from parfocal.edge.config import FocusConfig\n"
        "from parfocal.edge.engine import opened_engine; print(opened_engine(FocusConfig()).description)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "difference-20x" in done.stdout
