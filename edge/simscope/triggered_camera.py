"""A camera that exposes when the board triggers it, and sees the stage where the light fell on it."""

from __future__ import annotations

from typing import Protocol

from parfocal.board.clock import Clock
from parfocal.board.stub.true_stage import TrueStage
from parfocal.edge.camera.frame import Frame, overtaken
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render

_LOOK_S = 0.001  # how often to look for the next trigger


class TriggeredStage(TrueStage, Protocol):
    """The true state of a stage, the light on it, and the wire to the camera's trigger."""

    def light(self, begin_s: float, end_s: float) -> tuple[tuple[float, float], ...]:
        """Duty of the lamp from `begin_s` to `end_s`: pairs of time, s, and duty from then on, 0..1."""
        ...

    def triggers_s(self, after_s: float) -> tuple[float, ...]:
        """Times of the triggers after `after_s`."""
        ...


class TriggeredCamera:
    """Exposes once for every trigger of the board, for the configured exposure; `grab` gives the frames in order.

    A trigger during an exposure is ignored, as cameras do. A frame shows the true position at the middle of the light
    that fell during its exposure, and is as bright as that light. Blur by motion during the flash is not drawn.
    """

    def __init__(self, stage: TriggeredStage, clock: Clock, config: CameraConfig, render: Render) -> None:
        """`render(x_um, y_um, z_um, lamp_duty)` gives RGB uint8 (h, w, 3)."""
        self._stage, self._clock, self._config, self._render = stage, clock, config, render
        self._ready_s = clock.now_s()  # triggers before this are ignored
        self._n_grabbed = 0

    def grab(self, timeout_s: float = 1.0) -> Frame:
        """The frame of the next trigger; waits for it. Raises CameraFailed when none comes within `timeout_s`."""
        deadline_s = self._clock.now_s() + timeout_s
        while not (triggers_s := self._stage.triggers_s(self._ready_s)):
            if self._clock.now_s() >= deadline_s:
                raise CameraFailed(
                    f"no trigger within {timeout_s:g} s. Arm the board with a strobe or positions, then move the axis."
                )
            self._clock.sleep_s(_LOOK_S)
        start_s = triggers_s[0]
        self._ready_s = end_s = start_s + self._config.exposure_s
        self._clock.sleep_s(max(end_s + 1e-6 - self._clock.now_s(), 0.0))
        middle_s, duty = _light(self._stage.light(start_s, end_s), end_s)
        position_um = self._stage.true_um(middle_s)
        self._n_grabbed += 1
        grabbed = self._n_grabbed

        def decoded() -> UInt8Array:
            if grabbed != self._n_grabbed:
                raise overtaken()
            # `render` knows the light of a whole exposure.
            return self._render(*position_um, duty)

        return Frame(start_s, decoded)

    def close(self) -> None:
        """Nothing to release."""


def _light(changes: tuple[tuple[float, float], ...], end_s: float) -> tuple[float, float]:
    """Middle of the light, s, and its mean duty over the exposure, 0..1. Middle of the exposure in the dark."""
    begin_s = changes[0][0]
    ends_s = [time_s for time_s, _ in changes[1:]] + [end_s]
    doses = [
        (duty * (until_s - from_s), (from_s + until_s) / 2.0)
        for (from_s, duty), until_s in zip(changes, ends_s, strict=True)
    ]
    total = sum(dose for dose, _ in doses)
    if total == 0.0:
        return (begin_s + end_s) / 2.0, 0.0
    return sum(dose * at_s for dose, at_s in doses) / total, total / (end_s - begin_s)
