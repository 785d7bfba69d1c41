"""A camera whose response curve was measured: its grey levels are proportional to the light again."""

import cv2
import numpy as np

from parfocal.edge.camera.frame import Camera, Frame, TriggeredCamera
from parfocal.edge.camera.on_demand import OnDemandCamera
from parfocal.edge.pixels import UInt8Array


class LinearCamera:
    """Undoes the gamma of another camera, frame by frame, when pixels are first used."""

    def __init__(self, raw: Camera, gamma: float, dark_level: float) -> None:
        """`gamma` and `dark_level` as `parfocal calibrate camera` measures them; `raw` is the camera itself."""
        self.raw, self._table = raw, table_of(gamma, dark_level)

    def grab(self) -> Frame:
        """The next frame. Raises CameraFailed."""
        frame = self.raw.grab()
        return Frame(frame.exposure_start_s, lambda: _linear(frame.pixels, self._table))

    def close(self) -> None:
        """Release the device."""
        self.raw.close()


class LinearTriggered:
    """The same for a camera that is triggered."""

    def __init__(self, raw: TriggeredCamera, gamma: float, dark_level: float) -> None:
        """As `LinearCamera`."""
        self._raw, self._table = raw, table_of(gamma, dark_level)

    @property
    def n_lost(self) -> int:
        """As the camera itself says."""
        return self._raw.n_lost

    @property
    def is_armed(self) -> bool:
        """Whether it waits for triggers."""
        return self._raw.is_armed

    def arm(self, n_frames: int) -> None:
        """Expose only for triggers from now on. Raises CameraFailed."""
        self._raw.arm(n_frames)

    def grab(self, timeout_s: float = 1.0) -> Frame:
        """The frame of the next trigger. Raises CameraFailed."""
        return self._undone(self._raw.grab(timeout_s))

    def poll(self) -> Frame | None:
        """The same if it is there already. Raises CameraFailed."""
        frame = self._raw.poll()
        return None if frame is None else self._undone(frame)

    def _undone(self, frame: Frame) -> Frame:
        return Frame(frame.exposure_start_s, lambda: _linear(frame.pixels, self._table))

    def disarm(self) -> None:
        """Run freely again. Raises CameraFailed."""
        self._raw.disarm()


def table_of(gamma: float, dark_level: float) -> UInt8Array:
    """What each of the 256 grey levels becomes, (256,): white stays white, dark becomes 0."""
    share = np.clip((np.arange(256) - dark_level) / (255.0 - dark_level), 0.0, 1.0)
    return np.asarray(np.rint(255.0 * share ** (1.0 / gamma)), np.uint8)


def _linear(pixels: UInt8Array, table: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.LUT(pixels, table), np.uint8)


def raw_camera(camera: Camera) -> Camera:
    """The camera itself, whose settings can be read: without what is undone, and where it runs freely."""
    while isinstance(camera, LinearCamera | OnDemandCamera):
        camera = camera.raw
    return camera
