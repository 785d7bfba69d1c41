"""A camera that exposes when the board triggers it, and sees the stage where the light fell on it."""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np

from parfocal.board.clock import Clock
from parfocal.board.stub.stage.true_stage import TrueStage
from parfocal.edge.camera.frame import Frame, overtaken
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array
from parfocal.edge.simscope.camera import Render, SimulatedCamera

LEAST_SMEAR_PX = 0.5  # a smear shorter than this does not show
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

    A trigger that comes sooner than the next frame of a free run would is ignored, as cameras do. A frame is there when
    it was read out, a frame period after its exposure. It shows the true position at the middle of the light that fell
    during its exposure, smeared by how far the stage went in that light, and is as bright as that light.
    """

    def __init__(
        self,
        free: SimulatedCamera,
        stage: TriggeredStage,
        clock: Clock,
        config: CameraConfig,
        render: Render,
        flash_brightness: float = 1.0,
        delay_s: float = 0.0,
    ) -> None:
        """`free`: the same device where it runs freely. `render(x_um, y_um, z_um, lamp_duty)`: RGB uint8 (h, w, 3).

        `flash_brightness`: how many times brighter a flash is than the steady lamp, which `render` knows.
        `delay_s`: from the trigger to the begin of the exposure.
        """
        self._free = free
        self._stage, self._clock, self._config, self._render = stage, clock, config, render
        self._brightness, self._delay_s = flash_brightness, delay_s
        self._ready_s = clock.now_s()  # triggers before this are ignored
        self._n_grabbed = 0

    def grab(self, timeout_s: float = 1.0) -> Frame:
        """The frame of the next trigger; waits for it. Raises CameraFailed when none comes within `timeout_s`."""
        deadline_s = self._clock.now_s() + timeout_s
        while (frame := self.poll()) is None:
            if self._clock.now_s() >= deadline_s:
                raise CameraFailed(
                    f"no trigger within {timeout_s:g} s. Arm the board with a strobe or positions, then move the axis."
                )
            exposure_s = self._next_exposure_s()
            # A little longer: after rounding, its end must not lie in the future.
            left_s = 0.0 if exposure_s is None else self._there_s(exposure_s) + 1e-6 - self._clock.now_s()
            self._clock.sleep_s(left_s if left_s > 0.0 else _LOOK_S)
        return frame

    def poll(self) -> Frame | None:
        """The frame of the next trigger if it is there already."""
        exposure_s = self._next_exposure_s()
        if exposure_s is None or self._there_s(exposure_s) >= self._clock.now_s():
            return None
        start_s, end_s = exposure_s
        self._take(start_s)
        light = self._stage.light(start_s, end_s)
        middle_s, duty = _light(light, end_s)
        # A lamp that is on for the whole exposure is no flash.
        brightness = 1.0 if len(light) == 1 else self._brightness
        position_um = self._stage.true_um(middle_s)
        first_s, last_s = _lit(light, end_s)
        x0_um, y0_um, _ = self._stage.true_um(first_s)
        x1_um, y1_um, _ = self._stage.true_um(last_s)
        smear_px = ((x1_um - x0_um) / self._config.um_per_px, (y1_um - y0_um) / self._config.um_per_px)
        self._n_grabbed += 1
        grabbed = self._n_grabbed

        def decoded() -> UInt8Array:
            if grabbed != self._n_grabbed:
                raise overtaken()
            # `render` knows the light of a whole exposure.
            return _smeared(self._render(*position_um, duty * brightness), smear_px)

        return Frame(start_s, decoded)

    def _next_exposure_s(self) -> tuple[float, float] | None:
        """When the exposure of the next trigger begins and ends, s; None before there is one."""
        triggers_s = self._stage.triggers_s(self._ready_s)
        if not triggers_s:
            return None
        start_s = triggers_s[0] + self._delay_s
        return start_s, start_s + self._config.exposure_s

    def _there_s(self, exposure_s: tuple[float, float]) -> float:
        """When the frame of an exposure (begin, end) is there, s."""
        return exposure_s[1] + self._config.frame_period_s

    def _take(self, start_s: float) -> None:
        """Until when the camera is busy with an exposure that began at `start_s`."""
        config = self._config
        self._ready_s = start_s - self._delay_s + max(config.exposure_s, config.frame_period_s)

    @property
    def n_lost(self) -> int:
        """No frame is lost here."""
        return 0

    @property
    def is_armed(self) -> bool:
        """Whether it waits for triggers."""
        return self._free.waits_for_triggers

    def arm(self, n_frames: int) -> None:
        """Ignore triggers from before. There is room for any number of frames."""
        del n_frames
        self._switch(waits_for_triggers=True)
        while (exposure_s := self._next_exposure_s()) is not None:
            self._take(exposure_s[0])
        self._ready_s = max(self._ready_s, self._clock.now_s())

    def disarm(self) -> None:
        """Run freely again."""
        self._switch(waits_for_triggers=False)

    def _switch(self, *, waits_for_triggers: bool) -> None:
        """It takes as long as `AravisCamera` waits for the frames that are still on their way."""
        if waits_for_triggers != self._free.waits_for_triggers:
            self._free.waits_for_triggers = waits_for_triggers
            self._clock.sleep_s(self._config.exposure_s + self._config.frame_period_s)

    def close(self) -> None:
        """Nothing to release."""


def _lit(changes: tuple[tuple[float, float], ...], end_s: float) -> tuple[float, float]:
    """When light first and last fell in the exposure, s; its middle twice in the dark."""
    ends_s = [time_s for time_s, _ in changes[1:]] + [end_s]
    lit = [(from_s, until_s) for (from_s, duty), until_s in zip(changes, ends_s, strict=True) if duty > 0.0]
    middle_s = (changes[0][0] + end_s) / 2.0
    return (lit[0][0], lit[-1][1]) if lit else (middle_s, middle_s)


def _smeared(pixels: UInt8Array, smear_px: tuple[float, float]) -> UInt8Array:
    """A picture whose content moved by this much to the right and down while it was exposed."""
    length_px = math.hypot(*smear_px)
    if length_px < LEAST_SMEAR_PX:
        return pixels
    n_shifted = 1 + math.ceil(length_px / LEAST_SMEAR_PX)
    size_px = pixels.shape[1], pixels.shape[0]
    total = np.zeros(pixels.shape, np.float32)
    for share in np.linspace(-0.5, 0.5, n_shifted):
        shift = np.array([[1.0, 0.0, share * smear_px[0]], [0.0, 1.0, share * smear_px[1]]])
        total += cv2.warpAffine(
            pixels.astype(np.float32), shift, size_px, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
    smeared: UInt8Array = np.rint(total / n_shifted).astype(np.uint8)
    return smeared


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
