"""The frames of a sweep, each with the trigger that it began with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import msgspec

from parfocal.board.own.board import TriggeredFrame
from parfocal.edge.camera.frame import TriggeredCamera
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.scan.continuous.matching import told_once, tolerance_s, trigger_of
from parfocal.edge.words import counted

GRAB_S = 1.0  # how long a frame may take to come over the cable


class Flashed(msgspec.Struct, frozen=True):
    """A frame, RGB uint8 (h, w, 3): the index of its trigger, and the time of the middle of its flash, s."""

    index: int
    pixels: UInt8Array
    flash_s: float


@contextlib.contextmanager
def armed(camera: TriggeredCamera, n_frames: int) -> Iterator[None]:
    """The camera waits for triggers; it runs freely again however the block ends. Raises CameraFailed."""
    camera.arm(n_frames)
    try:
        yield
    finally:
        camera.disarm()


def flashed(
    camera: TriggeredCamera, told: Sequence[TriggeredFrame], n_armed: int, flash_middle_s: float
) -> Iterator[Flashed]:
    """The frames of the triggers that the board has told of, while the camera is armed.

    `flash_middle_s`: from a trigger until the middle of its flash. An event or a frame may be lost on its cable: then
    the other one is left out. Raises CameraFailed if no frame came at all.
    """
    triggers = told_once(told, n_armed)
    times_s = [each.trigger_s for each in triggers]
    within_s = tolerance_s(times_s, GRAB_S)
    n_taken, strays_s = 0, list[float]()
    while n_taken < len(triggers):
        try:
            frame = camera.grab(GRAB_S)
        except CameraFailed as failed:
            if n_taken == 0:
                raise _none_fits(strays_s, times_s, within_s) if strays_s else failed from failed
            return
        found = trigger_of(frame.exposure_start_s, times_s, n_taken, within_s)
        if found is None:
            strays_s.append(frame.exposure_start_s)
            if frame.exposure_start_s <= times_s[-1] + within_s:
                continue
            if n_taken == 0:
                raise _none_fits(strays_s, times_s, within_s)
            return  # later ones belong to no trigger of this sweep
        n_taken = found + 1
        trigger = triggers[found]
        yield Flashed(trigger.index, frame.pixels, trigger.trigger_s + flash_middle_s)


def _none_fits(strays_s: Sequence[float], triggers_s: Sequence[float], within_s: float) -> CameraFailed:
    """The error for frames of which none began with a trigger."""
    late_s = min((frame_s - trigger_s for frame_s in strays_s for trigger_s in triggers_s), key=abs)
    return CameraFailed(
        f"{counted(len(strays_s), 'frame')} came for {counted(len(triggers_s), 'trigger')}, none of them with its "
        f"trigger: the nearest began {1000.0 * late_s:.1f} ms after one, and {1000.0 * within_s:.1f} ms are allowed. "
        "Check camera.exposure_s, and that the camera exposes for each trigger."
    )
