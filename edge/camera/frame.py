"""Frames, and how to get one that shows the stage at rest."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

# More frames than any camera driver queues: a camera that still gives old ones after this many has stopped.
MAX_STALE_FRAMES = 32


class Frame:
    """One exposure: when it began, and its pixels, decoded when they are first used.

    A free-running camera also delivers frames from while the stage was moving. They are dropped undecoded.
    """

    def __init__(self, exposure_start_s: float, decode: Callable[[], UInt8Array]) -> None:
        """`decode` returns RGB uint8 (h, w, 3); it is called at most once."""
        self.exposure_start_s = exposure_start_s
        self._decode = decode
        self._pixels: UInt8Array | None = None

    @property
    def pixels(self) -> UInt8Array:
        """RGB uint8 (h, w, 3)."""
        if self._pixels is None:
            self._pixels = self._decode()
        return self._pixels


class Coming:
    """A frame that was exposed, and may still be on its way from the camera."""

    def __init__(self, poll: Callable[[], Frame | None], wait: Callable[[], Frame]) -> None:
        """`poll` returns the frame if it is there, `wait` waits for it; both raise CameraFailed."""
        self._poll, self._wait = poll, wait
        self._frame: Frame | None = None

    def has_come(self) -> bool:
        """Whether it has come. Raises CameraFailed."""
        if self._frame is None:
            self._frame = self._poll()
        return self._frame is not None

    def frame(self) -> Frame:
        """The frame; waits for it. Raises CameraFailed if it does not come."""
        if self._frame is None:
            self._frame = self._wait()
        return self._frame


def come(frame: Frame) -> Coming:
    """A frame that is there already."""
    return Coming(lambda: frame, lambda: frame)


def overtaken() -> RuntimeError:
    """The error for pixels that are gone: a camera keeps those of its newest frame only."""
    return RuntimeError(
        "the pixels of this frame are gone, because the camera was asked for another one: use the pixels of a frame "
        "before the next `grab`"
    )


class Camera(Protocol):
    """A free-running camera: `grab` returns the next frame it has, which may be an old one.

    Each `grab` discards the pixels of the frame before, unless they were used already. Asking for them then raises
    RuntimeError; it never returns another frame's.
    """

    def grab(self) -> Frame:
        """The next frame; blocks until there is one. Raises CameraFailed."""

    def close(self) -> None:
        """Release the device."""


class TriggeredCamera(Protocol):
    """A camera that, while it is armed, exposes once for every trigger, and keeps the frames in order.

    It may be the same as the free-running one: then it runs freely while it is not armed.
    """

    @property
    def n_lost(self) -> int:
        """How many frames since it was armed were lost between camera and computer, as far as the camera tells."""

    @property
    def is_armed(self) -> bool:
        """Whether it waits for triggers."""

    def arm(self, n_frames: int) -> None:
        """Expose only for triggers from now on, and keep up to `n_frames` frames until they are asked for.

        Frames from before are dropped. To switch over takes several frame periods; where it is armed already, nearly
        no time. Raises CameraFailed.
        """

    def grab(self, timeout_s: float = 1.0) -> Frame:
        """The frame of the next trigger. Raises CameraFailed when none comes within `timeout_s`."""

    def poll(self) -> Frame | None:
        """The same if it is there already. Raises CameraFailed."""

    def disarm(self) -> None:
        """Run freely again; frames that were not asked for are dropped. Raises CameraFailed."""


class CameraSettings(msgspec.Struct, frozen=True):
    """What a camera says of its exposure, s, and of gain and white balance in its own units; None without a control."""

    exposure_s: float | None = None
    gain: float | None = None
    white_balance: float | None = None


UNCALIBRATED = CameraSettings()


@runtime_checkable
class Adjustable(Protocol):
    """A camera whose settings can be read back, and whose exposure can be set while it runs."""

    def settings(self) -> CameraSettings:
        """The settings as the camera reports them."""

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure; returns the one in effect, s. Raises CameraFailed."""


@runtime_checkable
class OnDemand(Protocol):
    """A camera that exposes when it is asked to."""

    def exposed_from(self, settled_s: float) -> Frame:
        """A frame exposed at `settled_s`, or now if that is over. Raises CameraFailed, BoardError."""

    def expose_from(self, settled_s: float) -> Coming:
        """The same, but return as soon as all lines have exposed, where it is known when that is."""


def expose_after(camera: Camera, settled_s: float) -> Coming:
    """Expose a frame as `frame_after`, and return when the stage may move, which may be before the frame is there.

    A frame that is lost on its way raises CameraFailed when it is asked for; nothing exposes it again.
    """
    if isinstance(camera, OnDemand):
        return camera.expose_from(settled_s)
    return come(frame_after(camera, settled_s))


def frame_after(camera: Camera, settled_s: float) -> Frame:
    """The first frame whose exposure began at or after `settled_s`, s on the clock of board and camera.

    Raises:
        CameraFailed: the camera gives only older frames.
    """
    if isinstance(camera, OnDemand):
        return camera.exposed_from(settled_s)
    frame = camera.grab()
    for _ in range(MAX_STALE_FRAMES):
        if frame.exposure_start_s >= settled_s:
            return frame
        frame = camera.grab()
    raise CameraFailed(
        f"no frame exposed after {settled_s:.3f} s: after {MAX_STALE_FRAMES} frames the camera still gives one of "
        f"{frame.exposure_start_s:.3f} s. Check that the camera is running and that its time stamps are on this "
        "machine's clock."
    )
