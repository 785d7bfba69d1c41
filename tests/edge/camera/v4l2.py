"""A V4L2 camera that is not there, behind what OpenCV shows of it.

Built from OpenCV's `modules/videoio/src/cap_v4l.cpp` (4.x and 5.0; the names in the comments are its functions) and,
for what the driver does, from Linux' `drivers/media/usb/uvc` and the V4L2 specification of S_FMT, S_PARM and S_CTRL.

Not modelled: multi-planar devices, buffers that run out.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]

# Pixel formats that OpenCV asks for, in its order (autosetup_capture_mode_v4l2); those a USB camera may have.
TRIED = ("BGR3", "RGB3", "YV12", "YU12", "YUYV", "UYVY", "NV12", "MJPG", "GREY")
DEFAULT_SIZE: Size = (640, 480)


@dataclass
class Control:
    """One control of the driver; `menu` holds the items that it has where it is a menu.

    Stuck: writing is accepted and changes nothing. It drifts: an automatic that OpenCV has no name for sets it.
    """

    value: int
    minimum: int = 0
    maximum: int = 255
    step: int = 1
    menu: tuple[int, ...] = ()
    is_stuck: bool = False
    drifts: bool = False

    def write(self, value: int) -> bool:
        """VIDIOC_S_CTRL: an integer is clamped and rounded to its step, a menu item that is not there refused."""
        if self.menu and value not in self.menu:
            return False
        if not self.is_stuck:
            clamped = min(max(value, self.minimum), self.maximum)
            self.value = self.minimum + round((clamped - self.minimum) / self.step) * self.step
        return True

    def read(self) -> int:
        """VIDIOC_G_CTRL."""
        self.value += self.drifts
        return self.value


def usual_controls() -> dict[int, Control]:
    """Those of a USB camera, as it comes: everything automatic."""
    return {
        cv2.CAP_PROP_AUTO_EXPOSURE: Control(3, 0, 3, menu=(1, 3)),  # 1 manual, 3 aperture priority
        cv2.CAP_PROP_EXPOSURE: Control(156, 1, 5000),
        cv2.CAP_PROP_GAIN: Control(24, 0, 100),
        cv2.CAP_PROP_AUTO_WB: Control(1, 0, 1),
    }


@dataclass
class Device:
    """The camera and its driver: sizes by pixel format, controls, and frames, which are numbered from 1.

    `rates`: frames a second in every mode that `rates_of` does not name.
    """

    is_there: bool = True
    gives_frames: bool = True
    damaged_frames: tuple[int, ...] = ()
    sizes: dict[str, tuple[Size, ...]] = field(default_factory=lambda: {"YUYV": ((640, 480), (1224, 1024))})
    controls: dict[int, Control] = field(default_factory=usual_controls)
    rates: tuple[int, ...] = (30, 20, 15, 10, 5)
    rates_of: dict[tuple[str, Size], tuple[int, ...]] = field(default_factory=dict)
    n_frames: int = 0
    is_open: bool = False
    palette: str = ""
    jpeg_sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422  # USB Video Class 1.5, Motion-JPEG payload
    written: dict[int, int] = field(default_factory=dict)

    def adapted(self, palette: str, size: Size) -> tuple[str, Size]:
        """VIDIOC_S_FMT: a format that is not there becomes the first one, a size the nearest (uvc_v4l2_try_format)."""
        format_ = palette if palette in self.sizes else next(iter(self.sizes))

        def apart(there: Size) -> int:
            both = min(there[0], size[0]) * min(there[1], size[1])
            return there[0] * there[1] + size[0] * size[1] - 2 * both

        return format_, min(self.sizes[format_], key=apart)

    def rate(self, form: tuple[str, Size], asked: int) -> float:
        """VIDIOC_S_PARM: of the periods of this format and size the nearest one (uvc_try_frame_interval)."""
        rates = self.rates_of.get(form, self.rates)
        return min(rates, key=lambda rate: abs(1.0 / rate - 1.0 / asked)) if rates else -1.0

    def write(self, key: int, value: int) -> bool:
        """Exposure cannot be written while it is automatic (EACCES of uvc_ctrl_is_accessible)."""
        automatic = self.controls.get(cv2.CAP_PROP_AUTO_EXPOSURE)
        if key == cv2.CAP_PROP_EXPOSURE and automatic is not None and automatic.value not in (1, 2):
            return False
        self.written[key] = value
        return self.controls[key].write(value)


class Capture:
    """`cv2.VideoCapture` on the V4L2 backend (CvCaptureCAM_V4L)."""

    def __init__(self, device: Device, api: int) -> None:
        assert api == cv2.CAP_V4L2
        self._device = device
        self._size, self._palette, self._fps = DEFAULT_SIZE, "", 30
        self._width_set = self._height_set = 0
        self._form: tuple[str, Size] = ("", (0, 0))
        self._streams, self._held, self._time_s = False, 0, 0.0
        self._converts = True
        self._frame: NDArray[np.uint8] = np.zeros((0,), np.uint8)
        device.is_open = device.is_there and self._init_capture()

    def isOpened(self) -> bool:  # noqa: N802
        return self._device.is_open

    def release(self) -> None:
        self._device.is_open = False

    def set(self, key: int, value: float) -> bool:
        """setProperty: never raises, tells only whether a call was refused."""
        asked = round(value)  # cvRound
        if key == cv2.CAP_PROP_FRAME_WIDTH:
            return self._set_frame_size(asked, 0)
        if key == cv2.CAP_PROP_FRAME_HEIGHT:
            return self._set_frame_size(0, asked)
        if key == cv2.CAP_PROP_FOURCC:
            return self._set_palette("".join(chr(asked >> 8 * k & 0xFF) for k in range(4)))
        if key == cv2.CAP_PROP_FPS:
            self._fps = asked
            return True
        if key == cv2.CAP_PROP_CONVERT_RGB:
            self._converts = bool(asked)
            return True
        return key in self._device.controls and self._device.write(key, asked)

    def get(self, key: int) -> float:
        """getProperty: size and format are the driver's, not what was asked for; -1 for a control that is not there."""
        if key == cv2.CAP_PROP_FRAME_WIDTH:
            return self._form[1][0]
        if key == cv2.CAP_PROP_FRAME_HEIGHT:
            return self._form[1][1]
        if key == cv2.CAP_PROP_FOURCC:
            return float(cv2.VideoWriter.fourcc(*self._palette))
        if key == cv2.CAP_PROP_FPS:
            return self._device.rate(self._form, self._fps)
        if key == cv2.CAP_PROP_POS_MSEC:
            return 1000.0 * self._time_s if self._streams else 0.0
        return self._device.controls[key].read() if key in self._device.controls else -1.0

    def grab(self) -> bool:
        """grabFrame: takes the next buffer; the one held before goes back to the driver, its picture with it."""
        if not self._device.gives_frames:
            return False
        if not self._streams:
            self._streams = True
            self._device.n_frames += 1  # the first one is often damaged and is skipped
        self._device.n_frames += 1
        self._held = self._device.n_frames
        self._time_s = time_s_of(self._held)
        return True

    def retrieve(self) -> tuple[bool, NDArray[np.uint8]]:
        """retrieveFrame: decodes the buffer held NOW; without one it gives the picture before once more.

        Unless it converts, it gives the bytes as they came from the driver, one row of them.
        """
        if self._held:
            width, height = self._form[1]
            self._frame = np.full((height, width, 3), colour_of(self._held)[::-1], np.uint8)
            if not self._converts:
                self._frame = self._as_it_came(self._frame)
            if self._held in self._device.damaged_frames:
                self._frame = np.zeros((0,), np.uint8)
            self._held = 0
        return True, self._frame.copy()

    def _as_it_came(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert self._palette == "MJPG"
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, self._device.jpeg_sampling]
        return cv2.imencode(".jpg", pixels, options)[1].reshape(1, -1).astype(np.uint8, copy=False)

    def _set_frame_size(self, width: int, height: int) -> bool:
        """icvSetFrameSize: one side alone is only noted down; both together are asked of the driver."""
        self._width_set, self._height_set = width or self._width_set, height or self._height_set
        if self._width_set <= 0 or self._height_set <= 0:
            return True
        self._size, self._width_set, self._height_set = (self._width_set, self._height_set), 0, 0
        return self._reset()

    def _set_palette(self, palette: str) -> bool:
        """True even where the camera has no such format: initCapture then takes another one."""
        self._palette = palette
        return self._reset()

    def _reset(self) -> bool:
        """v4l2_reset: the stream ends and buffers are asked for anew."""
        self._streams, self._held = False, 0
        return self._init_capture()

    def _init_capture(self) -> bool:
        """initCapture: the format there was if the driver still has it, else the first of its own order."""
        for palette in (self._palette, *TRIED) if self._palette else TRIED:
            self._form = self._device.adapted(palette, self._size)
            if self._form[0] == palette:
                self._palette = self._device.palette = palette
                return True
        return False


def time_s_of(number: int) -> float:
    """When frame ``number`` was complete, s of CLOCK_MONOTONIC."""
    return 12.0 + number / 30.0


def colour_of(number: int) -> tuple[int, int, int]:
    """Red, green, blue of frame ``number``: every frame has its own."""
    return (10 * number % 256, 20, 30)
