"""A camera that sees the true position of the stub board's stage, and runs free as a USB camera does."""

import math
from collections.abc import Callable

from parfocal.board.clock import Clock
from parfocal.board.stub.stage.true_stage import TrueStage
from parfocal.edge.camera.frame import CameraSettings, Frame, overtaken
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

# A driver keeps this many finished frames. A late `grab` gets the oldest of them, not the newest.
QUEUED_FRAMES = 2

Render = Callable[[float, float, float, float], UInt8Array]


class SimulatedCamera:
    """Exposes a frame every period, whether it is read or not; `grab` gives the oldest one in the queue.

    A frame is there when it was read out, a period after its exposure: a sensor that runs at its highest rate takes a
    whole period to be read, and so `VideoCamera` takes it. It shows the TRUE position in the middle of its exposure,
    and is rendered when its pixels are first read.
    """

    def __init__(self, stage: TrueStage, clock: Clock, config: CameraConfig, render: Render) -> None:
        """`render(x_um, y_um, z_um, lamp_duty)` gives RGB uint8 (h, w, 3)."""
        self._stage, self._clock, self._config, self._render = stage, clock, config, render
        self._began_s = clock.now_s()
        self._next, self._n_grabbed = 0, 0
        self._exposure_s = config.exposure_s
        self.waits_for_triggers = False  # the same device as a `TriggeredCamera`, which then has its frames

    def grab(self) -> Frame:
        """The next frame; waits until one is finished. Raises CameraFailed while the camera waits for triggers."""
        if self.waits_for_triggers:
            raise CameraFailed("the camera gave no frame: it waits for triggers.")
        period_s, exposure_s = self._config.frame_period_s, self._exposure_s
        until_there_s = exposure_s + period_s
        finished = math.floor((self._clock.now_s() - self._began_s - until_there_s) / period_s)
        number = max(self._next, finished - QUEUED_FRAMES + 1, 0)
        start_s = self._began_s + number * period_s
        # A little longer: after rounding, its end must not lie in the future.
        self._clock.sleep_s(start_s + until_there_s + 1e-6 - self._clock.now_s())
        self._next = number + 1
        exposed = self._exposed(number)
        self._n_grabbed += 1
        grabbed = self._n_grabbed

        def decoded() -> UInt8Array:
            # As with a real camera, only the newest frame has pixels.
            if grabbed != self._n_grabbed:
                raise overtaken()
            return exposed()

        return Frame(start_s, decoded)

    def _exposed(self, number: int) -> Callable[[], UInt8Array]:
        """What frame `number` shows, rendered when it is called."""
        exposure_s = self._exposure_s
        middle_s = self._began_s + number * self._config.frame_period_s + exposure_s / 2.0
        position_um, duty = self._stage.true_um(middle_s), self._stage.lamp_duty(middle_s)
        # `render` knows the light of the configured exposure only.
        return lambda: self._render(*position_um, duty * exposure_s / self._config.exposure_s)

    def settings(self) -> CameraSettings:
        """Its exposure; gain and white balance cannot be set."""
        return CameraSettings(exposure_s=self._exposure_s)

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure of the frames to come; at most the frame period."""
        self._exposure_s = min(exposure_s, self._config.frame_period_s)
        return self._exposure_s

    def close(self) -> None:
        """Nothing to release."""
