"""Dust on the camera's window while stacks are taken: looked for far out of focus, and evened out."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from parfocal.calib.models.fixed_pattern import light_through
from parfocal.edge.calibrate.curves import Curves
from parfocal.edge.camera.frame import Camera, Frame, frame_after
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

# Far enough below the focus that every structure is blurred over more than a speck. Through 20x/0.75, and as many
# depths of field through another objective.
BELOW_UM = 60.0
N_PLACES, MIN_PLACES = 6, 3


class Dust(msgspec.Struct, frozen=True):
    """Dust that was evened out: the share of the picture that it covers, and of the light where it is darkest."""

    covered_share: float
    least_light: float


class EvenedCamera:
    """A camera whose frames are evened out where dust lies on its window, once that was looked for."""

    def __init__(self, raw: Camera) -> None:
        """Frames are those of `raw` until `light` is set."""
        self._raw = raw
        self._at: NDArray[np.intp] = np.empty(0, np.intp)
        self._light: NDArray[np.float32] = np.empty(0, np.float32)
        self.dust: Dust | None = None

    def look(self, far: Sequence[UInt8Array]) -> None:
        """Find dust in frames of different fields far out of focus, RGB uint8 (h, w, 3); three or more."""
        light = light_through([frame.mean(axis=2, dtype=np.float32) for frame in far])
        if light is None:
            return
        self._at = np.flatnonzero(light != 1.0)
        self._light = light.ravel()[self._at]
        self.dust = Dust(len(self._at) / light.size, float(self._light.min()))

    def grab(self) -> Frame:
        """The next frame. Raises CameraFailed."""
        frame = self._raw.grab()
        return Frame(frame.exposure_start_s, lambda: self._changed(frame.pixels, 1.0 / self._light))

    def close(self) -> None:
        """Release the device."""
        self._raw.close()

    def with_dust(self, pixels: UInt8Array) -> UInt8Array:
        """A frame of this camera as it was, RGB uint8 (h, w, 3), to within rounding."""
        return self._changed(pixels, self._light)

    def _changed(self, pixels: UInt8Array, factors: NDArray[np.float32]) -> UInt8Array:
        if not len(self._at):
            return pixels
        changed: UInt8Array = pixels.copy()
        flat = changed.reshape(-1, pixels.shape[2])
        flat[self._at] = np.clip(np.rint(flat[self._at] * factors[:, None]), 0, 255).astype(np.uint8)
        return changed


def look_for_dust(
    instrument: Instrument,
    camera: EvenedCamera,
    curves: Curves,
    places: Sequence[tuple[float, float]],
    focus_um: float,
) -> int:
    """Look at different fields from far below the focus; returns how many images it took.

    The lamp is on. X and Y stay at the last place. Raises BoardError, CameraFailed.
    """
    if len(places) < MIN_PLACES:
        return 0
    curves.leave_at(max(focus_um - curves.scale * BELOW_UM, curves.lowest_um))
    far = []
    for x_um, y_um in places[:N_PLACES]:
        instrument.go_to(x_um, y_um)
        far.append(frame_after(instrument.camera, instrument.clock.now_s()).pixels)
    camera.look(far)
    return len(far)
