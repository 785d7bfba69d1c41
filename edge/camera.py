"""The USB camera through OpenCV, locked so that two shots can be compared. The only user of `cv2.VideoCapture`."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.frame import Frame

UInt8Array = NDArray[np.uint8]

# Compressed frames, which OpenCV asks for last: raw ones first, as compression changes fine detail from shot to shot.
COMPRESSED = "MJPG"


def device_path(config: CameraConfig) -> Path:
    """Where V4L2 has the configured camera when it is plugged in."""
    return Path(f"/dev/video{config.device}")


class VideoCamera:
    """A V4L2 camera. Exposure, gain and white balance are taken off automatic: a gain that drifts between two
    shots swamps their difference (facts/optics).
    """

    def __init__(self, config: CameraConfig) -> None:
        """Open and lock the camera. Raises CameraFailed."""
        self._config = config
        self._capture = cv2.VideoCapture(config.device, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraFailed(f"camera {config.device} not found. Plug it in, or set camera.device.")
        try:
            self._choose_mode()
            self._lock()
        except CameraFailed:
            self.close()
            raise

    def grab(self) -> Frame:
        """The next frame the driver has queued. Raises CameraFailed."""
        if not self._capture.grab():
            self.close()
            raise CameraFailed(
                f"camera {self._config.device} gave no frame. Unplug it, plug it in again, and start again."
            )
        # V4L2 stamps a buffer with CLOCK_MONOTONIC when it is complete: the exposure began at least an exposure
        # before. Reading out takes time too; leaving it out of the account can only make a frame look older.
        complete_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
        start_s = complete_s - self._config.exposure_s - self._config.frame_period_s
        return Frame(start_s, self._decode)

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()

    def _decode(self) -> UInt8Array:
        ok, pixels = self._capture.retrieve()
        if not ok:
            raise CameraFailed(
                f"camera {self._config.device} gave a frame that cannot be decoded. Check the cable."
            )
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def _choose_mode(self) -> None:
        """Ask for the configured size, raw if the camera has it so, else compressed."""
        asked = (self._config.width_px, self._config.height_px)
        found = self._sized(asked)
        if found != asked:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*COMPRESSED))
            found = self._sized(asked)
        if found != asked:
            raise CameraFailed(
                f"camera {self._config.device} was asked for frames of {asked[0]} x {asked[1]} px and gives "
                f"{found[0]} x {found[1]}. Set camera.width_px and camera.height_px to a mode of this camera "
                "(`v4l2-ctl --list-formats-ext`)."
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

    def _lock(self) -> None:
        self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1.0)  # V4L2: 1 is manual
        self._capture.set(cv2.CAP_PROP_EXPOSURE, self._config.exposure_s * 1e4)  # V4L2: units of 100 us
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0.0)
