"""The real camera's driver against a V4L2 device that is not there."""

import contextlib
import errno
import struct
from pathlib import Path

import cv2
import pytest

from parfocal.edge.camera import v4l2
from parfocal.edge.camera import video as camera
from parfocal.edge.camera.frame import CameraSettings
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from tests.edge.camera.v4l2 import Capture, Control, Device, colour_of, time_s_of

CONFIG = CameraConfig(width_px=1224, height_px=1024, exposure_s=0.01, frame_period_s=0.05)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()

    def capture(_number: int, api: int) -> Capture:
        return Capture(made, api)

    monkeypatch.setattr(cv2, "VideoCapture", capture)
    return made


def test_a_frame_is_rgb_and_began_an_exposure_and_a_read_out_before_it_was_complete(device: Device) -> None:
    frame = VideoCamera(CONFIG).grab()
    assert frame.exposure_start_s == pytest.approx(time_s_of(device.n_frames) - 0.01 - 0.05)
    assert tuple(frame.pixels[0, 0]) == colour_of(device.n_frames)


def test_calibrated_gain_and_white_balance_are_written_and_read_back(device: Device) -> None:
    device.controls[cv2.CAP_PROP_WB_TEMPERATURE] = Control(4600, 2800, 6500)
    opened = VideoCamera(CONFIG, CameraSettings(gain=30.0, white_balance=5000.0))
    assert opened.settings() == CameraSettings(0.01, 30.0, 5000.0)
    assert opened.set_exposure(0.02) == 0.02
    assert opened.settings().exposure_s == 0.02
    with pytest.raises(
        CameraFailed, match=r"the calibrated gain of 200, it has 100\. Run `parfocal calibrate cam"
    ):
        VideoCamera(CONFIG, CameraSettings(gain=200.0))


def test_a_camera_without_controls_says_so_of_its_settings(device: Device) -> None:
    device.controls.clear()
    opened = VideoCamera(CONFIG)
    assert opened.settings() == CameraSettings()
    with pytest.raises(CameraFailed, match="no control for its exposure"):
        opened.set_exposure(0.02)


def test_exposure_and_white_balance_are_taken_off_automatic_and_the_gain_is_held(device: Device) -> None:
    opened = VideoCamera(CONFIG)
    assert device.written == {
        cv2.CAP_PROP_AUTO_EXPOSURE: 1,
        cv2.CAP_PROP_EXPOSURE: 100,
        cv2.CAP_PROP_AUTO_WB: 0,
        cv2.CAP_PROP_GAIN: 24,
    }
    assert opened.notes == ()


@pytest.mark.parametrize(
    ("key", "broken", "told"),
    [
        (
            cv2.CAP_PROP_AUTO_EXPOSURE,
            Control(3, 0, 3, menu=(1, 3), is_stuck=True),
            r"keeps its automatic exposure \(3 instead of 1\)",
        ),
        (cv2.CAP_PROP_AUTO_EXPOSURE, Control(3, 0, 3, menu=(0, 3)), r"\(3 instead of 1\)"),
        (
            cv2.CAP_PROP_AUTO_WB,
            Control(1, 0, 1, is_stuck=True),
            r"keeps its automatic white balance \(1 instead of 0\)",
        ),
        (cv2.CAP_PROP_GAIN, Control(24, 0, 100, drifts=True), "changed its gain from 25 to 26"),
    ],
)
def test_a_camera_that_cannot_be_locked_is_refused_with_what_it_does_instead(
    device: Device, key: int, broken: Control, told: str
) -> None:
    device.controls[key] = broken
    with pytest.raises(CameraFailed, match=told):
        VideoCamera(CONFIG)
    assert not device.is_open


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (cv2.CAP_PROP_AUTO_EXPOSURE, "no control for automatic exposure"),
        (cv2.CAP_PROP_AUTO_WB, "no control for automatic white balance"),
        (cv2.CAP_PROP_EXPOSURE, "exposure cannot be set"),
        (cv2.CAP_PROP_GAIN, "gain cannot be locked"),
    ],
)
def test_a_control_that_the_camera_does_not_have_is_told_and_the_camera_opens(
    device: Device, key: int, told: str
) -> None:
    device.controls[cv2.CAP_PROP_AUTO_EXPOSURE].value = 1
    del device.controls[key]
    (note,) = VideoCamera(CONFIG).notes
    assert told in note


@pytest.mark.parametrize(
    ("step", "taken", "dated_s"), [(9, 104, 0.0104), (6, 101, 0.0101), (11, 104, 0.0104), (8, 101, 0.0101)]
)
def test_frames_are_dated_with_the_exposure_that_the_camera_takes(
    device: Device, step: int, taken: int, dated_s: float
) -> None:
    device.controls[cv2.CAP_PROP_EXPOSURE] = Control(5, 5, 5000, step=step)
    frame = VideoCamera(CONFIG).grab()
    assert device.controls[cv2.CAP_PROP_EXPOSURE].value == taken
    assert frame.exposure_start_s == pytest.approx(time_s_of(device.n_frames) - dated_s - 0.05)


def test_an_exposure_that_the_camera_does_not_have_is_refused_with_the_one_it_takes(device: Device) -> None:
    device.controls[cv2.CAP_PROP_EXPOSURE] = Control(312, 312, 5000)
    with pytest.raises(
        CameraFailed, match=r"no exposure of 0\.01 s; the nearest is 0\.0312 s\. Set camera\.exposure_s"
    ):
        VideoCamera(CONFIG)


def test_frames_that_come_more_slowly_than_configured_are_refused(device: Device) -> None:
    device.rates = (5,)
    with pytest.raises(
        CameraFailed, match=r"every 0\.2 s in this mode, not every 0\.05 s\. .*period_s = 0\.2,"
    ):
        VideoCamera(CONFIG)
    assert VideoCamera(CameraConfig(frame_period_s=0.2)).notes == ()


def test_a_camera_that_tells_no_rate_opens_and_that_is_told(device: Device) -> None:
    device.rates = ()
    assert "frame rate" in VideoCamera(CONFIG).notes[0]


def test_a_camera_that_is_not_there_is_told(device: Device) -> None:
    device.is_there = False
    with pytest.raises(CameraFailed, match="camera 0 not found"):
        VideoCamera(CONFIG)


def test_a_camera_that_is_there_and_does_not_open_is_not_told_to_be_plugged_in(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device.is_there = False
    (tmp_path / "video0").touch()
    monkeypatch.setattr(camera, "device_path", lambda _config: tmp_path / "video0")
    with pytest.raises(CameraFailed, match=r"exists but cannot be opened\. Close any program"):
        VideoCamera(CONFIG)


@pytest.mark.parametrize("size", [(640, 480), (800, 600), (1280, 960), (1224, 1024), (320, 240)])
def test_every_mode_that_the_camera_has_opens_and_gives_frames_of_its_size(
    device: Device, size: tuple[int, int]
) -> None:
    device.sizes = {"YUYV": ((640, 480), (320, 240), (800, 600), (1280, 960), (1224, 1024))}
    opened = VideoCamera(CameraConfig(width_px=size[0], height_px=size[1]))
    assert opened.grab().pixels.shape == (size[1], size[0], 3)


def test_a_mode_that_only_comes_compressed_opens(device: Device) -> None:
    device.sizes = {"YUYV": ((640, 480), (800, 600)), "MJPG": ((640, 480), (1920, 1080))}
    opened = VideoCamera(CameraConfig(width_px=1920, height_px=1080))
    assert opened.grab().pixels.shape == (1080, 1920, 3)
    assert "compressed (MJPG)" in opened.notes[0]


def test_a_size_that_comes_too_slowly_uncompressed_is_taken_compressed(device: Device) -> None:
    size = (4208, 3120)
    device.sizes = {"YUYV": ((640, 480), size), "MJPG": ((640, 480), size)}
    device.rates_of = {("YUYV", size): (1,), ("MJPG", size): (20, 10)}
    config = CameraConfig(width_px=size[0], height_px=size[1], exposure_s=0.01, frame_period_s=0.05)
    (note,) = VideoCamera(config).notes
    assert device.palette == "MJPG"
    assert "compressed (MJPG), which changes fine detail; uncompressed they would come every 1 s only" in note
    patient = CameraConfig(width_px=size[0], height_px=size[1], exposure_s=0.01, frame_period_s=1.0)
    assert VideoCamera(patient).notes == ()
    assert device.palette == "YUYV"


@pytest.mark.parametrize("compressed", [((640, 480),), ((640, 480), (1224, 1024))])
def test_a_size_that_comes_too_slowly_in_every_format_is_refused_with_the_quickest(
    device: Device, compressed: tuple[tuple[int, int], ...]
) -> None:
    device.sizes = {"YUYV": ((640, 480), (1224, 1024)), "MJPG": compressed}
    device.rates_of = {("YUYV", (1224, 1024)): (2, 1), ("MJPG", (1224, 1024)): (5,)}
    quickest = r"0\.2" if (1224, 1024) in compressed else r"0\.5"
    with pytest.raises(
        CameraFailed, match=rf"a frame every {quickest} s .* Set camera\.frame_period_s = {quickest},"
    ):
        VideoCamera(CONFIG)
    assert not device.is_open


def test_a_camera_whose_jpeg_quarters_the_colours_says_so(device: Device) -> None:
    device.sizes = {"YUYV": ((640, 480),), "MJPG": ((1224, 1024),)}
    assert not [note for note in VideoCamera(CONFIG).notes if "4:2:0" in note]
    device.jpeg_sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    opened = VideoCamera(CONFIG)
    assert "its frames keep one colour for four pixels (4:2:0)" in opened.notes[1]
    assert tuple(opened.grab().pixels[0, 0]) == colour_of(device.n_frames)


@pytest.mark.parametrize(
    ("palette", "is_told"), [("YU12", True), ("NV12", True), ("YUYV", False), ("RGB3", False)]
)
def test_an_uncompressed_format_that_quarters_the_colours_is_told(
    device: Device, palette: str, is_told: bool
) -> None:
    device.sizes = {palette: ((1224, 1024),)}
    assert [("4:2:0" in note) for note in VideoCamera(CONFIG).notes] == [True] * is_told


def test_a_camera_that_compresses_and_gives_no_frame_opens_and_fails_when_it_is_asked_for_one(
    device: Device,
) -> None:
    device.sizes, device.gives_frames = {"MJPG": ((1224, 1024),)}, False
    opened = VideoCamera(CONFIG)
    assert len(opened.notes) == 1
    with pytest.raises(CameraFailed, match="gave no frame"):
        opened.grab()


def test_a_mode_that_also_comes_raw_is_taken_raw(device: Device) -> None:
    device.sizes = {"MJPG": ((640, 480), (800, 600)), "YUYV": ((640, 480), (800, 600))}
    assert VideoCamera(CameraConfig(width_px=800, height_px=600)).notes == ()
    assert device.palette == "YUYV"


def test_a_mode_the_camera_does_not_have_is_refused_with_what_it_gives(device: Device) -> None:
    device.sizes = {"YUYV": ((640, 480),), "MJPG": ((640, 480), (1280, 1024))}
    with pytest.raises(CameraFailed, match="of 1224 x 1024 px; it gives 1280 x 1024"):
        VideoCamera(CONFIG)
    assert not device.is_open


def test_a_frame_that_was_overtaken_never_shows_the_picture_of_another(device: Device) -> None:
    opened = VideoCamera(CONFIG)
    first = opened.grab()
    second = opened.grab()
    with pytest.raises(RuntimeError, match="before the next `grab`"):
        _ = first.pixels
    assert tuple(second.pixels[0, 0]) == colour_of(device.n_frames)


def test_pixels_that_were_looked_at_stay_those_of_their_frame(device: Device) -> None:
    opened = VideoCamera(CONFIG)
    first = opened.grab()
    seen, number = first.pixels, device.n_frames
    _ = opened.grab().pixels
    assert first.pixels is seen
    assert tuple(seen[0, 0]) == colour_of(number)


def test_a_damaged_frame_is_told(device: Device) -> None:
    device.damaged_frames = (2,)
    with pytest.raises(CameraFailed, match="OpenCV could not decode"):
        _ = VideoCamera(CONFIG).grab().pixels


def test_a_camera_unplugged_in_the_middle_is_told(device: Device) -> None:
    opened = VideoCamera(CONFIG)
    device.gives_frames = False
    with pytest.raises(CameraFailed, match="gave no frame"):
        opened.grab()


# --- what only the kernel knows


class Calls:
    """The kernel's side of a camera: two modes, and a filter for mains light."""

    def __init__(self, mains: int, is_stuck: bool = False) -> None:
        self.mains, self.is_stuck = mains, is_stuck

    def __call__(self, request: int, buffer: bytearray) -> None:
        index = int.from_bytes(buffer[:4], "little")
        if request == v4l2.ENUM_FMT and index < 2:
            buffer[8:12], buffer[44:48] = bytes((index, 0, 0, 0)), (b"YUYV", b"MJPG")[index]
        elif request == v4l2.ENUM_FRAMESIZES and index == 0:
            width, height = ((640, 480), (1920, 1080))[bytes(buffer[4:8]) == b"MJPG"]
            struct.pack_into("<3I", buffer, 8, 1, width, height)
        elif request == v4l2.G_CTRL and index == v4l2.POWER_LINE_FREQUENCY:
            struct.pack_into("<i", buffer, 4, self.mains)
        elif request == v4l2.S_CTRL and index == v4l2.POWER_LINE_FREQUENCY:
            self.mains = self.mains if self.is_stuck else struct.unpack_from("<i", buffer, 4)[0]
        else:
            raise OSError(errno.EINVAL, "Invalid argument")


def with_kernel(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> None:
    monkeypatch.setattr(v4l2, "opened", lambda _: contextlib.nullcontext(calls))


def test_the_modes_of_a_camera_are_listed_when_the_configured_one_is_missing(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_kernel(monkeypatch, Calls(0))
    device.sizes = {"YUYV": ((640, 480),), "MJPG": ((1920, 1080),)}
    listed = r"to a mode of this camera \(640 x 480 YUYV, 1920 x 1080 MJPG\)"
    with pytest.raises(CameraFailed, match=listed):
        VideoCamera(CONFIG)
    compressed = CameraConfig(width_px=1920, height_px=1080, exposure_s=0.01, frame_period_s=0.05)
    (note,) = VideoCamera(compressed).notes
    assert note.endswith("uncompressed ones are better (640 x 480 YUYV)")


def test_the_filter_for_mains_light_is_switched_off_or_told(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(1)
    with_kernel(monkeypatch, calls)
    assert (VideoCamera(CONFIG).notes, calls.mains) == ((), 0)
    with_kernel(monkeypatch, Calls(2, is_stuck=True))
    (note,) = VideoCamera(CONFIG).notes
    assert "its filter for mains light of 60 Hz cannot be switched off" in note
    assert device.is_open


def test_a_lens_with_autofocus_is_held_where_it_is(device: Device) -> None:
    device.controls[cv2.CAP_PROP_AUTOFOCUS] = Control(1, 0, 1)
    device.controls[cv2.CAP_PROP_FOCUS] = Control(120, 0, 250)
    VideoCamera(CONFIG)
    assert (device.written[cv2.CAP_PROP_AUTOFOCUS], device.written[cv2.CAP_PROP_FOCUS]) == (0, 120)
    device.controls[cv2.CAP_PROP_AUTOFOCUS] = Control(1, 0, 1, is_stuck=True)
    with pytest.raises(CameraFailed, match="keeps its automatic focus"):
        VideoCamera(CONFIG)


def test_a_camera_is_opened_by_its_serial_number(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "device_number", lambda asked: {"FDC01": 4}[asked])
    opened: list[int] = []
    make = cv2.VideoCapture

    def noted(number: int, api: int) -> Capture:
        opened.append(number)
        return make(number, api)  # type: ignore[return-value]

    monkeypatch.setattr(cv2, "VideoCapture", noted)
    VideoCamera(CameraConfig(device="FDC01", exposure_s=0.01, frame_period_s=0.05))
    assert opened == [4]
    assert device.is_open
