"""What a camera gives, and how to get a frame that shows the stage at rest."""

from collections.abc import Callable
from typing import Protocol

from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

# More frames than any camera driver queues; a camera that still gives old ones after them has stopped.
MAX_STALE_FRAMES = 32


class Frame:
    """One exposure: when it began, and its pixels, decoded only when they are looked at.

    A camera that runs free delivers frames that are thrown away because the stage was still moving;
    those need no decoding.
    """

    def __init__(self, exposure_start_s: float, decode: Callable[[], UInt8Array]) -> None:
        """`decode` gives RGB uint8 (h, w, 3); it is called at most once."""
        self.exposure_start_s = exposure_start_s
        self._decode = decode
        self._pixels: UInt8Array | None = None

    @property
    def pixels(self) -> UInt8Array:
        """RGB uint8 (h, w, 3)."""
        if self._pixels is None:
            self._pixels = self._decode()
        return self._pixels


def overtaken() -> RuntimeError:
    """The error about pixels that are gone: a camera has room for those of its newest frame only."""
    return RuntimeError(
        "the pixels of a frame were asked for after the camera had been asked for another one, and are gone: look at "
        "the pixels of a frame before the next `grab`"
    )


class Camera(Protocol):
    """A camera that runs free: `grab` gives the next frame it has, which may be an old one.

    With each `grab` the pixels of the frame before are gone, unless they were looked at: asking for them raises
    RuntimeError, never gives another frame's.
    """

    def grab(self) -> Frame:
        """The next frame; blocks until there is one. Raises CameraFailed."""

    def close(self) -> None:
        """Let go of the device."""


def frame_after(camera: Camera, settled_s: float) -> Frame:
    """The first frame whose exposure began at or after `settled_s` (s on the clock of board and camera).

    Raises:
        CameraFailed: the camera gives nothing but older frames.
    """
    frame = camera.grab()
    for _ in range(MAX_STALE_FRAMES):
        if frame.exposure_start_s >= settled_s:
            return frame
        frame = camera.grab()
    raise CameraFailed(
        f"a frame exposed after {settled_s:.3f} s was asked for, {MAX_STALE_FRAMES} frames later the camera still "
        f"gives one of {frame.exposure_start_s:.3f} s. Check that the camera is running and that its time stamps "
        "are those of this machine's clock."
    )
