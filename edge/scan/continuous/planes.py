"""Planes through a field while Z rises without a stop: camera and flash triggered by its position."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.edge.camera.on_demand import frame_s
from parfocal.edge.config import Config
from parfocal.edge.focus.shots import Plane
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.frames import FramesOfSweep, Triggers, armed
from parfocal.edge.scan.continuous.plan import ahead_um_of, flash_like_rest
from parfocal.edge.scan.continuous.sweep import Sweeping, sweeping_of
from parfocal.edge.scan.on_demand import is_triggered
from parfocal.edge.scan.tiling.moving.light import Light


class _Rise(msgspec.Struct, frozen=True):
    """One rise through planes: their distance, speed, how far ahead of each it is triggered, begin and end, um."""

    step_um: float
    speed_um_per_s: float
    ahead_um: float
    begin_um: float
    end_um: float


class PlaneSweeper:
    """Takes evenly spaced planes in one rise of Z: a frame each, where a stage that stops takes two or three."""

    def __init__(self, instrument: Instrument, config: Config, flash: Flash, light: Light) -> None:
        """`flash` makes pictures as bright as at rest; `light` is that of the scan. Nothing moves.

        Raises ConfigError if board or camera cannot be triggered.
        """
        self._board, self._camera = sweeping_of(instrument)
        self._instrument, self._config, self._flash, self._light = instrument, config, flash, light

    def begin_um(self, heights_um: Sequence[float]) -> float:
        """Where the stage stands before it passes these heights, engaged upwards."""
        return self._rise(heights_um).begin_um

    def __call__(self, heights_um: Sequence[float]) -> list[Plane]:
        """The planes at these heights, two or more, upwards and evenly spaced; one whose frame was lost is left out.

        None of them where Z has no room to speed up below them and to slow down above. Inside `Light.exposure`.
        Raises BoardError, CameraFailed.
        """
        z, clock, rise = self._instrument.board.z, self._instrument.clock, self._rise(heights_um)
        low_um, high_um = z.limits_um
        if rise.begin_um - z.overshoot_um < low_um or rise.end_um > high_um:
            return []
        with armed(self._camera, len(heights_um)), self._light.dark():
            settled_s = z.approach_up(rise.begin_um)
            armed_um = self._board.trigger_at(
                "z",
                TriggerPositions(heights_um[0] - rise.ahead_um, rise.step_um, len(heights_um)),
                self._flash,
            )
            clock.sleep_s(settled_s - clock.now_s())
            self._board.rise(rise.end_um, rise.speed_um_per_s)
            triggers = Triggers(len(armed_um), rise.step_um / rise.speed_um_per_s, self._flash.middle_s)
            frames = FramesOfSweep(self._camera, self._board.take_triggered_frames, triggers)
            return [Plane(armed_um[frame.index] + rise.ahead_um, frame.pixels) for frame in frames.others()]

    def _rise(self, heights_um: Sequence[float]) -> _Rise:
        z = self._instrument.board.z.config
        step_um = min(high - low for low, high in pairwise(heights_um))
        speed_um_per_s = min(step_um / frame_s(self._config.camera), z.speed_um_per_s)
        run_um = speed_um_per_s**2 / (2.0 * z.accel_um_per_s2) + 2.0 * z.um_per_step
        ahead_um = ahead_um_of(self._flash, speed_um_per_s, z.um_per_step)
        begin_um, end_um = heights_um[0] - ahead_um - run_um, heights_um[-1] + run_um
        return _Rise(step_um, speed_um_per_s, ahead_um, begin_um, end_um)


def flash_of_planes(instrument: Instrument, config: Config) -> Flash | None:
    """The flash by which planes are taken in a scan that stops for its tiles; None where it stops for planes too.

    So it does unless board and camera can be triggered and it was measured when all lines expose: nobody has asked
    for flashes, so none is tried that may miss its picture.
    """
    is_able = (
        isinstance(instrument.board, Sweeping)
        and instrument.board.capabilities.has_lamp
        and is_triggered(instrument)
    )
    return flash_like_rest(config, instrument.trigger) if is_able else None
