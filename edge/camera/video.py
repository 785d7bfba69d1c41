"""The USB camera through OpenCV, locked so that two shots can be compared. The only user of `cv2.VideoCapture`."""

import functools
import math
from pathlib import Path

import cv2
import numpy as np

from parfocal.edge.camera.frame import Frame, overtaken
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.opencv_log import silenced
from parfocal.edge.pixels import UInt8Array

# Compressed frames, which OpenCV asks for last: raw ones first, as compression changes fine detail from shot to shot.
COMPRESSED = "MJPG"
UNKNOWN = -1.0  # what OpenCV reads of a control that the camera does not have
EXPOSURE_UNIT_S = 1e-4  # of V4L2's exposure
# Many cameras have an exposure in steps of their own; beyond this share pictures are not as bright as they should be.
EXPOSURE_TOLERANCE_SHARE = 0.1
PERIOD_TOLERANCE_SHARE = 0.1


def device_path(config: CameraConfig) -> Path:
    """Where V4L2 has the configured camera when it is plugged in."""
    return Path(f"/dev/video{config.device}")


class VideoCamera:
    """A V4L2 camera. Exposure, gain and white balance are taken off automatic: a gain that drifts between two
    shots swamps their difference (facts/optics).

    `notes` says in a sentence each what is not as it should be and yet does not keep the camera from being used.
    """

    def __init__(self, config: CameraConfig) -> None:
        """Open and lock the camera. Raises CameraFailed."""
        self._config = config
        self._exposure_s = config.exposure_s
        self._notes: list[str] = []
        self._n_grabbed = 0
        with silenced():
            self._capture = cv2.VideoCapture(config.device, cv2.CAP_V4L2)
            try:
                self._check_open()
                self._choose_mode()
                self._check_rate()
                self._lock()
            except CameraFailed:
                self.close()
                raise

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the pictures of this camera, a sentence each."""
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
        # V4L2 stamps a buffer with CLOCK_MONOTONIC when it is complete: the exposure began at least an exposure
        # before. Reading out takes time too; leaving it out of the account can only make a frame look older.
        complete_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        start_s = complete_s - self._exposure_s - self._config.frame_period_s
        self._n_grabbed += 1
        return Frame(start_s, functools.partial(self._decoded, self._n_grabbed))

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _decoded(self, number: int) -> UInt8Array:
        """The pixels of the frame grabbed as ``number``; OpenCV decodes the newest one, whichever was meant."""
        if number != self._n_grabbed:
            raise overtaken()
        try:
            _, pixels = self._capture.retrieve()
            # A frame that cannot be decoded comes without pixels, and is called a success.
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
        except cv2.error as error:
            raise CameraFailed(
                f"camera {self._config.device} gave a frame that cannot be decoded. Check the cable."
            ) from error

    def _check_open(self) -> None:
        if self._capture.isOpened():
            return
        path = device_path(self._config)
        if path.exists():
            raise CameraFailed(
                f"camera {self._config.device} is there ({path}) and cannot be opened. Close the program that uses it; "
                "if there is none, this user must be in the group `video`, or it is no camera: set camera.device."
            )
        raise CameraFailed(f"camera {self._config.device} not found. Plug it in, or set camera.device.")

    def _choose_mode(self) -> None:
        """Ask for the configured size, raw if the camera has it so, else compressed."""
        asked = (self._config.width_px, self._config.height_px)
        found = self._sized(asked)
        compressed = cv2.VideoWriter.fourcc(*COMPRESSED)
        if found != asked:
            self._capture.set(cv2.CAP_PROP_FOURCC, compressed)
            found = self._sized(asked)
        if found != asked:
            raise CameraFailed(
                f"camera {self._config.device} was asked for frames of {asked[0]} x {asked[1]} px and gives "
                f"{found[0]} x {found[1]}. Set camera.width_px and camera.height_px to a mode of this camera "
                "(`v4l2-ctl --list-formats-ext`)."
            )
        if self._capture.get(cv2.CAP_PROP_FOURCC) == compressed:
            self._notes.append(
                f"frames of this size come compressed ({COMPRESSED}), which changes fine detail; raw ones are better"
            )

    def _sized(self, asked: tuple[int, int]) -> tuple[int, int]:
        """Ask for frames of a width and a height; returns those of the camera, which takes the nearest it has.

        OpenCV passes a size on to the driver only when both sides were set: what is read between is the size before.
        """
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, float(asked[0]))
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, float(asked[1]))
        return (
            round(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            round(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def _check_rate(self) -> None:
        """Refuse frames that come more slowly than configured: they would look younger than they are."""
        config = self._config
        self._capture.set(cv2.CAP_PROP_FPS, max(1.0, 1.0 / config.frame_period_s))
        found_hz = self._capture.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(found_hz) and found_hz > 0.0):
            self._notes.append(
                "it does not tell how often a frame comes; camera.frame_period_s is taken as it is"
            )
        elif 1.0 / found_hz > config.frame_period_s * (1.0 + PERIOD_TOLERANCE_SHARE):
            raise CameraFailed(
                f"camera {config.device} was asked for a frame every {config.frame_period_s:.3g} s and gives one every "
                f"{1.0 / found_hz:.3g} s in this mode. Set camera.frame_period_s = {1.0 / found_hz:.3g}, or a smaller "
                "mode."
            )

    def _lock(self) -> None:
        """Take exposure, gain and white balance off automatic, and read back what came of it. Raises CameraFailed."""
        self._switch_off("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, 1.0)  # V4L2: 1 is manual
        self._set_exposure()
        self._switch_off("white balance", cv2.CAP_PROP_AUTO_WB, 0.0)
        self._hold_gain()

    def _switch_off(self, name: str, key: int, manual: float) -> None:
        found = self._written(key, manual)
        if found is None:
            self._notes.append(f"it has no switch for automatic {name}: whether it drifts cannot be told")
        elif found != manual:
            raise CameraFailed(
                f"camera {self._config.device} was asked to take its {name} off automatic (value {manual:.0f}) and "
                f"stays at {found:.0f}: two of its shots cannot be compared. {self._by_hand()}"
            )

    def _set_exposure(self) -> None:
        """Set the exposure; the camera's own value for it, which is near it, is what frames are dated with."""
        asked_s = self._config.exposure_s
        found = self._written(cv2.CAP_PROP_EXPOSURE, asked_s / EXPOSURE_UNIT_S)
        if found is None:
            self._notes.append("its exposure cannot be set; camera.exposure_s is taken as it is")
            return
        found_s = found * EXPOSURE_UNIT_S
        if abs(found_s - asked_s) > EXPOSURE_TOLERANCE_SHARE * asked_s:
            raise CameraFailed(
                f"camera {self._config.device} was asked for an exposure of {asked_s:.4g} s and takes {found_s:.4g} s. "
                f"Set camera.exposure_s to one that it has, as {found_s:.4g}."
            )
        self._exposure_s = max(found_s, asked_s)

    def _hold_gain(self) -> None:
        """Write the gain that there is: in a camera that writes it, it stays until it is written again."""
        there = self._capture.get(cv2.CAP_PROP_GAIN)
        found = self._written(cv2.CAP_PROP_GAIN, there)
        if found is None:
            self._notes.append("its gain cannot be locked, as it has no control for it")
        elif found != there:
            raise CameraFailed(
                f"camera {self._config.device} was asked to keep its gain at {there:.0f} and went to {found:.0f}: two "
                f"of its shots cannot be compared. {self._by_hand()}"
            )

    def _by_hand(self) -> str:
        device = device_path(self._config)
        return f"Switch it off by hand (`v4l2-ctl -d {device} --list-ctrls-menus`), or use another camera."

    def _written(self, key: int, value: float) -> float | None:
        """Set a control; what it is then, None where the camera has none of the kind."""
        # Whether it was taken is read, not believed: a driver may clamp a value and call that a success.
        self._capture.set(key, value)
        found = self._capture.get(key)
        return None if found == UNKNOWN else found
