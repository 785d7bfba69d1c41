"""A USB camera through OpenCV, locked so that two shots can be compared. The only user of `cv2.VideoCapture`."""

import contextlib
import functools
import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from parfocal.edge.camera import v4l2
from parfocal.edge.camera.devices import device_number
from parfocal.edge.camera.frame import UNCALIBRATED, CameraSettings, Frame, overtaken
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.jpeg import chroma_of
from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array

# Compressed frames are the last choice: compression changes fine detail from shot to shot.
COMPRESSED = "MJPG"
QUARTERED = "4:2:0"
QUARTERED_FORMATS = tuple(cv2.VideoWriter.fourcc(*name) for name in ("YU12", "YV12", "NV12", "NV21"))
UNKNOWN = -1.0  # what OpenCV reads from a control that the camera does not have
EXPOSURE_UNIT_S = 1e-4  # V4L2: exposure_time_absolute
# Many cameras round the exposure to their own steps. Beyond this share the brightness is off.
EXPOSURE_TOLERANCE_SHARE = 0.1
PERIOD_TOLERANCE_SHARE = 0.1
MODES_SHOWN = 6


class _Found(NamedTuple):
    """What a camera makes of a size and a frame rate: its size, px, and period, s; None where it does not say it."""

    size: tuple[int, int]
    period_s: float | None


def device_path(config: CameraConfig) -> Path:
    """Device file of the configured camera. Raises CameraFailed for a name that no camera or several have."""
    return Path(f"/dev/video{device_number(config.device)}")


class VideoCamera:
    """A V4L2 camera with exposure, gain, white balance and focus set to manual.

    A gain that drifts between two shots would swamp their difference. `notes` lists, a sentence each, what is not
    ideal but does not prevent use.
    """

    def __init__(self, config: CameraConfig, locked: CameraSettings = UNCALIBRATED) -> None:
        """Open and lock the camera. `locked`: calibrated gain and white balance. Raises CameraFailed."""
        self._config = config
        self._exposure_s, self._locked = config.exposure_s, locked
        self._notes: list[str] = []
        self._n_grabbed = 0
        with silenced():
            self._capture = cv2.VideoCapture(device_number(config.device), cv2.CAP_V4L2)
            try:
                self._check_open()
                self._choose_mode()
                self._lock()
                self._note_colours()
            except CameraFailed:
                self.close()
                raise

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the images of this camera, a sentence each."""
        return tuple(self._notes)

    def grab(self) -> Frame:
        """The next frame the driver has queued. Raises CameraFailed."""
        with silenced():
            is_there = self._capture.grab()
        if not is_there:
            self.close()
            raise CameraFailed(
                f"camera {self._config.device} gave no frame. Unplug it, plug it in again, and start again."
            )
        # V4L2 stamps a buffer with CLOCK_MONOTONIC when it is complete, so the exposure began at least one exposure
        # time before. Readout takes up to a frame period more: a frame may look older than it is, never younger.
        complete_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        start_s = complete_s - self._exposure_s - self._config.frame_period_s
        self._n_grabbed += 1
        return Frame(start_s, functools.partial(self._decoded, self._n_grabbed))

    def settings(self) -> CameraSettings:
        """Exposure, gain and white balance as the camera reports them; None for a control that it does not have."""
        found = {
            key: self._capture.get(key)
            for key in (cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_GAIN, cv2.CAP_PROP_WB_TEMPERATURE)
        }
        exposure, gain, white = (None if value == UNKNOWN else value for value in found.values())
        return CameraSettings(None if exposure is None else exposure * EXPOSURE_UNIT_S, gain, white)

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure, s; returns the one that the camera rounds it to. Raises CameraFailed without a control."""
        found = self._written(cv2.CAP_PROP_EXPOSURE, exposure_s / EXPOSURE_UNIT_S)
        if found is None:
            raise CameraFailed(
                f"camera {self._config.device} has no control for its exposure. Set it by hand, and camera.exposure_s "
                "to the same value."
            )
        self._exposure_s = found * EXPOSURE_UNIT_S
        return self._exposure_s

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _decoded(self, number: int) -> UInt8Array:
        """The pixels of frame `number`. Raises RuntimeError if it is not the newest, the only one OpenCV can decode."""
        if number != self._n_grabbed:
            raise overtaken()
        try:
            _, pixels = self._capture.retrieve()
            # For a frame that it cannot decode, `retrieve` returns no pixels but still reports success.
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        except cv2.error as error:
            raise CameraFailed(
                f"camera {self._config.device} gave a frame that OpenCV could not decode. Check the cable."
            ) from error

    def _check_open(self) -> None:
        if self._capture.isOpened():
            return
        path = device_path(self._config)
        if path.exists():
            raise CameraFailed(
                f"camera {self._config.device} ({path}) exists but cannot be opened. Close any program that uses it, "
                "make sure that this user is in the group `video`, or set camera.device if this is not the camera."
            )
        raise CameraFailed(f"camera {self._config.device} not found. Plug it in, or set camera.device.")

    def _choose_mode(self) -> None:
        """Set the configured size, uncompressed if the camera offers it and it is quick enough, else compressed.

        Frames that came more slowly than configured would look younger than they are.
        """
        asked = (self._config.width_px, self._config.height_px)
        uncompressed = found = self._tried(asked)
        if not self._is_met(found):
            # USB 2 carries a large uncompressed frame a few times a second, a compressed one many times.
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*COMPRESSED))
            found = self._tried(asked)
        if not self._is_met(found):
            raise self._refused([mode for mode in (uncompressed, found) if mode.size == asked], found)
        if found.period_s is None:
            self._notes.append("it does not report its frame rate; camera.frame_period_s is used unchecked")
        if self._is_compressed():
            is_slow = uncompressed is not found and uncompressed.size == asked
            slow = (
                f"; uncompressed they would come every {uncompressed.period_s:.3g} s only" if is_slow else ""
            )
            self._notes.append(
                f"frames of this size are compressed ({COMPRESSED}), which changes fine detail{slow}; "
                f"uncompressed ones are better{self._modes_in_words(self._uncompressed())}"
            )

    def _tried(self, asked: tuple[int, int]) -> _Found:
        """Set size and frame rate in the present pixel format; returns what the camera makes of them."""
        size = self._sized(asked)
        self._capture.set(cv2.CAP_PROP_FPS, max(1.0, 1.0 / self._config.frame_period_s))
        rate_hz = self._capture.get(cv2.CAP_PROP_FPS)
        return _Found(size, 1.0 / rate_hz if math.isfinite(rate_hz) and rate_hz > 0.0 else None)

    def _is_met(self, found: _Found) -> bool:
        """Whether a mode has the configured size, and frames as often as configured as far as it is known."""
        config = self._config
        longest_s = config.frame_period_s * (1.0 + PERIOD_TOLERANCE_SHARE)
        is_quick = found.period_s is None or found.period_s <= longest_s
        return is_quick and found.size == (config.width_px, config.height_px)

    def _refused(self, of_size: list[_Found], last: _Found) -> CameraFailed:
        """The error where no mode will do. `of_size`: those of the configured size, which are too slow."""
        config = self._config
        if of_size:
            period_s = min(mode.period_s for mode in of_size if mode.period_s is not None)
            return CameraFailed(
                f"camera {config.device} gives a frame every {period_s:.3g} s in this mode, not every "
                f"{config.frame_period_s:.3g} s. Set camera.frame_period_s = {period_s:.3g}, or a smaller "
                "mode."
            )
        return CameraFailed(
            f"camera {config.device} has no frames of {config.width_px} x {config.height_px} px; it gives "
            f"{last.size[0]} x {last.size[1]}. Set camera.width_px and camera.height_px to a mode of this camera"
            f"{self._modes_in_words(v4l2.modes_at(device_path(config)))}."
        )

    def _is_compressed(self) -> bool:
        return self._capture.get(cv2.CAP_PROP_FOURCC) == cv2.VideoWriter.fourcc(*COMPRESSED)

    def _note_colours(self) -> None:
        """Note a camera that keeps a quarter of the colours, in which a single shot has most of its direction.

        The USB Video Class asks for half of them, 4:2:2, in JPEG. What the camera does is in the header of its frames.
        """
        if self._is_compressed():
            keeps_a_quarter = self._chroma_of_jpeg() == QUARTERED
        else:
            keeps_a_quarter = self._capture.get(cv2.CAP_PROP_FOURCC) in QUARTERED_FORMATS
        if keeps_a_quarter:
            self._notes.append(
                f"its frames keep one colour for four pixels ({QUARTERED}), where those of most USB cameras keep two "
                "(4:2:2): single shots err more, and more often in their direction; pairs of shots do not"
            )

    def _chroma_of_jpeg(self) -> str | None:
        self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0.0)
        # Where no frame comes, the first `grab` says so.
        frame = self._capture.retrieve()[1] if self._capture.grab() else None
        self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 1.0)
        return None if frame is None else chroma_of(frame.tobytes())

    def _uncompressed(self) -> list[v4l2.Mode]:
        """The uncompressed modes, where the driver lists them."""
        return [mode for mode in v4l2.modes_at(device_path(self._config)) if not mode.is_compressed]

    @staticmethod
    def _modes_in_words(modes: list[v4l2.Mode]) -> str:
        """The first of these modes, in brackets; empty without any."""
        listed = ", ".join(map(str, modes[:MODES_SHOWN]))
        more = f" and {len(modes) - MODES_SHOWN} more" if len(modes) > MODES_SHOWN else ""
        return f" ({listed}{more})" if modes else ""

    def _sized(self, asked: tuple[int, int]) -> tuple[int, int]:
        """Set a frame size; returns the one in effect, the nearest that the camera has.

        OpenCV passes a size to the driver only after both sides are set: read between, it is still the old size.
        """
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, float(asked[0]))
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, float(asked[1]))
        return (
            round(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            round(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def _lock(self) -> None:
        """Set exposure, gain, white balance and focus to manual and read them back. Raises CameraFailed."""
        self._end_mains_filter()
        self._switch_off("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, 1.0)  # V4L2: 1 is manual
        self._set_exposure()
        self._switch_off("white balance", cv2.CAP_PROP_AUTO_WB, 0.0)
        self._hold("gain", cv2.CAP_PROP_GAIN, self._locked.gain)
        if self._locked.white_balance is not None:
            self._hold("white balance", cv2.CAP_PROP_WB_TEMPERATURE, self._locked.white_balance)
        if self._capture.get(cv2.CAP_PROP_AUTOFOCUS) != UNKNOWN:  # a lens of its own, as webcams have
            self._switch_off("focus", cv2.CAP_PROP_AUTOFOCUS, 0.0)
            self._hold("focus", cv2.CAP_PROP_FOCUS, None)

    def _end_mains_filter(self) -> None:
        """Switch off the filter against flicker of mains light: some cameras round the exposure to it.

        OpenCV has no name for this control, so the kernel is asked. Without one there is nothing to do.
        """
        with contextlib.suppress(OSError), v4l2.opened(device_path(self._config)) as call:
            if v4l2.control(call, v4l2.POWER_LINE_FREQUENCY):
                found = v4l2.set_control(call, v4l2.POWER_LINE_FREQUENCY, 0)
                if found:
                    self._notes.append(
                        f"its filter for mains light of {50 if found == 1 else 60} Hz cannot be switched off; it may "
                        "change the exposure"
                    )

    def _switch_off(self, name: str, key: int, manual: float) -> None:
        found = self._written(key, manual)
        if found is None:
            self._notes.append(f"it has no control for automatic {name}, so {name} may drift")
        elif found != manual:
            raise CameraFailed(
                f"camera {self._config.device} keeps its automatic {name} ({found:.0f} instead of {manual:.0f}): "
                f"its shots cannot be compared. {self._by_hand()}"
            )

    def _set_exposure(self) -> None:
        """Set the exposure; frames are dated with the value that the camera rounds it to."""
        asked_s = self._config.exposure_s
        found = self._written(cv2.CAP_PROP_EXPOSURE, asked_s / EXPOSURE_UNIT_S)
        if found is None:
            self._notes.append("its exposure cannot be set; camera.exposure_s is used unchecked")
            return
        found_s = found * EXPOSURE_UNIT_S
        if abs(found_s - asked_s) > EXPOSURE_TOLERANCE_SHARE * asked_s:
            raise CameraFailed(
                f"camera {self._config.device} has no exposure of {asked_s:.4g} s; the nearest is {found_s:.4g} s. "
                f"Set camera.exposure_s = {found_s:.4g}."
            )
        self._exposure_s = max(found_s, asked_s)

    def _hold(self, name: str, key: int, calibrated: float | None) -> None:
        """Write a control: the calibrated value, or the present one back. A camera keeps what was written."""
        there = self._capture.get(key) if calibrated is None else calibrated
        found = self._written(key, there)
        if found is None:
            self._notes.append(f"its {name} cannot be locked: it has no control for it")
        elif found != there and calibrated is None:
            raise CameraFailed(
                f"camera {self._config.device} changed its {name} from {there:.0f} to {found:.0f} when it was locked: "
                f"its shots cannot be compared. {self._by_hand()}"
            )
        elif found != there:
            raise CameraFailed(
                f"camera {self._config.device} does not take the calibrated {name} of {there:.0f}, it has {found:.0f}. "
                "Run `parfocal calibrate camera`."
            )

    def _by_hand(self) -> str:
        device = device_path(self._config)
        return f"Switch it to manual (`v4l2-ctl -d {device} --list-ctrls-menus`), or use another camera."

    def _written(self, key: int, value: float) -> float | None:
        """Set a control; returns its value afterwards, None if the camera does not have it."""
        # Read back, because a driver may clamp a value and report success.
        self._capture.set(key, value)
        found = self._capture.get(key)
        return None if found == UNKNOWN else found
