"""Pictures at rest from a camera that the board triggers: exposed when they are wanted, with no frame to wait for."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from parfocal.board.clock import Clock
from parfocal.edge.camera.frame import Camera, Coming, Frame, TriggeredCamera, come
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed

COMES_S = 1.0  # how long a frame may take to come over the cable
EARLY_S = 0.005  # by which a camera's clock may be behind: older frames are left over from before


@runtime_checkable
class Triggering(Protocol):
    """A board that triggers a camera."""

    def trigger_camera(self) -> None:
        """Trigger the camera once, now, in the light as it is."""


def frame_s(camera: CameraConfig) -> float:
    """The time from one trigger to the next that a camera needs, s."""
    # By its own clock a trigger may come a little too soon, and then it misses it.
    return 1.05 * max(camera.frame_period_s, camera.exposure_s)


class OnDemandCamera:
    """Triggers a camera that is armed, once for each picture. It stays armed: somebody else disarms it."""

    def __init__(
        self,
        raw: Camera,
        camera: TriggeredCamera,
        board: Triggering,
        clock: Clock,
        config: CameraConfig,
        exposed_s: float | None = None,
    ) -> None:
        """`raw`: the same camera where it runs freely. `clock` is that of board and camera. Nothing is triggered.

        `exposed_s`: how long after a trigger all lines have exposed; None if only the frame itself tells.
        """
        self.raw, self._board, self._camera, self._clock = raw, board, camera, clock
        self._apart_s, self._exposed_s = frame_s(config), exposed_s
        self._next_s = clock.now_s()

    def exposed_from(self, settled_s: float) -> Frame:
        """A frame exposed at `settled_s`, or now if that is over. Raises CameraFailed, BoardError."""
        self._wait_until(settled_s)
        try:
            return self._arrived(self._trigger())
        except CameraFailed:  # a trigger that came too soon after one of a sweep is missed
            return self._arrived(self._trigger())

    def expose_from(self, settled_s: float) -> Coming:
        """The same, but return as soon as all lines have exposed, if it is known when that is."""
        if self._exposed_s is None:
            return come(self.exposed_from(settled_s))
        self._wait_until(settled_s)
        asked_s = self._trigger()
        # The board has given the trigger before it answered.
        self._clock.sleep_s(self._exposed_s)
        return Coming(lambda: self._polled(asked_s), lambda: self._arrived(asked_s))

    def _wait_until(self, settled_s: float) -> None:
        self._clock.sleep_s(max(settled_s, self._next_s) - self._clock.now_s())

    def _trigger(self) -> float:
        """Trigger it now; returns the time before that, s. Raises CameraFailed, BoardError."""
        self._camera.arm(1)  # what is left over from before is dropped
        asked_s = self._clock.now_s()
        self._next_s = asked_s + self._apart_s
        self._board.trigger_camera()
        return asked_s

    def _polled(self, asked_s: float) -> Frame | None:
        """The frame of the trigger at `asked_s`, if it is there. Raises CameraFailed."""
        frame = self._camera.poll()
        return None if frame is None or frame.exposure_start_s < asked_s - EARLY_S else frame

    def _arrived(self, asked_s: float) -> Frame:
        """The same; waits for it. Raises CameraFailed."""
        while (frame := self._camera.grab(self._apart_s + COMES_S)).exposure_start_s < asked_s - EARLY_S:
            pass
        return frame

    def grab(self) -> Frame:
        """A frame exposed now. Raises CameraFailed, BoardError."""
        return self.exposed_from(self._clock.now_s())

    def close(self) -> None:
        """Nothing to release: the camera is not its own."""
