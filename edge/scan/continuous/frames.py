"""The frames of a sweep, each with the trigger that it began with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from parfocal.board.own.triggers import TriggeredFrame
from parfocal.edge.camera.frame import Frame, TriggeredCamera
from parfocal.edge.camera.on_demand import COMES_S
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.matching import SAME_SHARE, trigger_of
from parfocal.edge.words import counted


class Triggers(msgspec.Struct, frozen=True):
    """The triggers that were armed: how many, and the least time between two, s.

    `flash_middle_s`: from a trigger until the middle of its flash.
    """

    count: int
    apart_s: float
    flash_middle_s: float


class Flashed(msgspec.Struct, frozen=True):
    """A frame, RGB uint8 (h, w, 3): the index of its trigger, and the time of the middle of its flash, s."""

    index: int
    pixels: UInt8Array
    flash_s: float


@contextlib.contextmanager
def armed(camera: TriggeredCamera, n_frames: int) -> Iterator[None]:
    """The camera waits for triggers; however the block ends, it then runs freely, if it did. Raises CameraFailed."""
    was_armed = camera.is_armed
    camera.arm(n_frames)
    try:
        yield
    finally:
        if not was_armed:
            camera.disarm()


class FramesOfSweep:
    """The frames of the triggers that the board tells of, in their order, while the camera is armed.

    An event or a frame may be lost on its cable: then the other one is left out.
    """

    def __init__(
        self,
        camera: TriggeredCamera,
        take_told: Callable[[], Sequence[TriggeredFrame]],
        triggers: Triggers,
    ) -> None:
        """`take_told` returns the triggers that the board has told of since its last call."""
        self._camera, self._take_told, self._triggers = camera, take_told, triggers
        self._told: dict[int, TriggeredFrame] = {}  # an event may be sent again
        self._within_s = SAME_SHARE * triggers.apart_s
        self._last_index = -1
        # Of whose trigger the board has not told yet. Meanwhile no other is taken, so it keeps its pixels.
        self._waiting: Frame | None = None
        self._strays_s: list[float] = []

    def ready(self) -> Flashed | None:
        """The next one if it is there already; for while the stage moves. Raises CameraFailed."""
        self._hear()
        while (frame := self._waiting or self._camera.poll()) is not None:
            self._waiting = None
            found = self._flashed(frame)
            if found is not None:
                return found
            if not self._is_stray(frame):
                self._waiting = frame
                return None
        return None

    def others(self) -> Iterator[Flashed]:
        """Those that are left after the sweep; waits for them. Raises CameraFailed if no frame came at all."""
        self._hear()
        while self._told and self._last_index < max(self._told):
            try:
                frame, self._waiting = self._waiting or self._camera.grab(COMES_S), None
            except CameraFailed as failed:
                if self._last_index < 0:
                    raise self._none_fits() if self._strays_s else failed from failed
                return
            found = self._flashed(frame)
            if found is not None:
                yield found
            elif not self._is_stray(frame):
                # Later than every trigger: those behind it belong to none of this sweep.
                self._strays_s.append(frame.exposure_start_s)
                if self._last_index < 0:
                    raise self._none_fits()
                return

    def _hear(self) -> None:
        told = (each for each in self._take_told() if each.index < self._triggers.count)
        self._told.update({each.index: each for each in told})

    def _flashed(self, frame: Frame) -> Flashed | None:
        """A frame with its trigger, None without one."""
        trigger = trigger_of(frame.exposure_start_s, self._told.values(), self._last_index, self._within_s)
        if trigger is None:
            return None
        self._last_index = trigger.index
        return Flashed(trigger.index, frame.pixels, trigger.trigger_s + self._triggers.flash_middle_s)

    def _is_stray(self, frame: Frame) -> bool:
        """Whether a frame without a trigger is one of none, by what the board has told since; then it is noted."""
        latest_s = max((each.trigger_s for each in self._told.values()), default=float("-inf"))
        is_stray = frame.exposure_start_s <= latest_s + self._within_s
        if is_stray:
            self._strays_s.append(frame.exposure_start_s)
        return is_stray

    def _none_fits(self) -> CameraFailed:
        """The error for frames of which none began with a trigger."""
        triggers_s = [each.trigger_s for each in self._told.values()]
        late_s = min((frame_s - trigger_s for frame_s in self._strays_s for trigger_s in triggers_s), key=abs)
        return CameraFailed(
            f"{counted(len(self._strays_s), 'frame')} came for {counted(len(triggers_s), 'trigger')}, none of them "
            f"with its trigger: the nearest began {1000.0 * late_s:.1f} ms after one, and "
            f"{1000.0 * self._within_s:.1f} ms are allowed. Check camera.exposure_s, and that the camera exposes for "
            "each trigger."
        )
