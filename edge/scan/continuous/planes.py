"""Planes through a field while Z rises without a stop: camera and flash triggered by its position."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from parfocal.board.own.triggers import Flash, TriggerPositions
from parfocal.edge.camera.on_demand import frame_s
from parfocal.edge.config import Config
from parfocal.edge.focus.shots import Plane
from parfocal.edge.instrument import Instrument
from parfocal.edge.scan.continuous.frames import FramesOfSweep, Triggers, armed
from parfocal.edge.scan.continuous.plan import SweepPlan
from parfocal.edge.scan.continuous.sweep import sweeping_of
from parfocal.edge.scan.tiling.moving.light import Light


class PlaneSweeper:
    """Takes evenly spaced planes in one rise of Z: a frame each, where a stage that stops takes two or three."""

    def __init__(self, instrument: Instrument, config: Config, plan: SweepPlan, light: Light) -> None:
        """`light` is that of the scan. Nothing moves. Raises ConfigError if board or camera cannot be triggered."""
        self._board, self._camera = sweeping_of(instrument)
        self._instrument, self._config, self._plan, self._light = instrument, config, plan, light

    def __call__(self, heights_um: Sequence[float]) -> list[Plane]:
        """The planes at these heights, two or more, upwards and evenly spaced; one whose frame was lost is left out.

        None of them where Z has no room to speed up below them and to slow down above. Inside `Light.exposure`.
        Raises BoardError, CameraFailed.
        """
        z, clock, plan = self._instrument.board.z, self._instrument.clock, self._plan
        scale = z.config.um_per_step
        step_um = min(high - low for low, high in pairwise(heights_um))
        speed_um_per_s = min(step_um / frame_s(self._config.camera), z.config.speed_um_per_s)
        run_um = speed_um_per_s**2 / (2.0 * z.config.accel_um_per_s2) + 2.0 * scale
        ahead_um = plan.ahead_at_um(speed_um_per_s, scale)
        begin_um, end_um = heights_um[0] - ahead_um - run_um, heights_um[-1] + run_um
        low_um, high_um = z.limits_um
        if begin_um - z.overshoot_um < low_um or end_um > high_um:
            return []
        with armed(self._camera, len(heights_um)), self._light.dark():
            settled_s = z.approach_up(begin_um)
            armed_um = self._board.trigger_at(
                "z",
                TriggerPositions(heights_um[0] - ahead_um, step_um, len(heights_um)),
                Flash(plan.trigger.delay_s, plan.flash_s, plan.duty),
            )
            clock.sleep_s(settled_s - clock.now_s())
            self._board.rise(end_um, speed_um_per_s)
            triggers = Triggers(len(armed_um), step_um / speed_um_per_s, plan.flash_middle_s)
            frames = FramesOfSweep(self._camera, self._board.take_triggered_frames, triggers)
            return [Plane(armed_um[frame.index] + ahead_um, frame.pixels) for frame in frames.others()]
