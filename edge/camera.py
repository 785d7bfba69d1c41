"""The USB camera through OpenCV, locked so that two shots can be compared. The only user of `cv2.VideoCapture`."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.frame import Frame

UInt8Array = NDArray[np.uint8]


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
        self._lock()

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

    def _lock(self) -> None:
        config = self._config
        wanted = {
            "width": (cv2.CAP_PROP_FRAME_WIDTH, float(config.width_px)),
            "height": (cv2.CAP_PROP_FRAME_HEIGHT, float(config.height_px)),
        }
        for name, (key, value) in wanted.items():
            self._capture.set(key, value)
            found = self._capture.get(key)
            if found != value:
                self.close()
                raise CameraFailed(
                    f"camera {config.device} was asked for a frame {name} of {value:.0f} px and gives {found:.0f}. "
                    f"Set camera.{name}_px to a mode of this camera (`v4l2-ctl --list-formats-ext`)."
                )
        self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, 1.0)  # V4L2: 1 is manual
        self._capture.set(cv2.CAP_PROP_EXPOSURE, config.exposure_s * 1e4)  # V4L2: units of 100 us
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0.0)
