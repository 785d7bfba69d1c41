"""When the lamp flashes after a trigger, and how long the camera then exposes: measured, or as configured."""

import math
from datetime import datetime

import msgspec

from parfocal.calib.store import Calibration, TriggeredInput
from parfocal.edge.config import CameraConfig, Config


class TriggerInUse(msgspec.Struct, frozen=True):
    """From a trigger until its flash begins, s; with half the 95 % interval of the delay that it was chosen by.

    For `room_s` from then on all lines of the sensor expose. Uncertainty, room and date are None if the configuration
    gives the delay. `remark`: what the user should know of it, a sentence. `exposed_s`: how long after a trigger all
    lines have exposed, None if it was not measured.
    """

    delay_s: float
    uncertainty_s: float | None = None
    room_s: float | None = None
    measured_at: datetime | None = None
    remark: str | None = None
    exposed_s: float | None = None

    def __str__(self) -> str:
        """As in messages: "0.05 ms after the trigger, as measured on 2026-11-27 (+- 0.02 ms)"."""
        told = f"{1e3 * self.delay_s:.2f} ms after the trigger"
        if self.measured_at is None or self.uncertainty_s is None:
            return f"{told}, as configured"
        return f"{told}, as measured on {self.measured_at:%Y-%m-%d} (+- {1e3 * self.uncertainty_s:.1g} ms)"


def input_of(camera: CameraConfig, exposure_s: float) -> TriggeredInput:
    """The configured camera and its input for triggers, with the exposure that it has."""
    return TriggeredInput(camera.kind, str(camera.device), camera.trigger_line, exposure_s)


def safe_delay_s(delay_s: float, uncertainty_s: float) -> float:
    """From which delay on all lines surely expose, s; to 10 us."""
    return math.ceil(round(1e5 * (delay_s + uncertainty_s), 6)) / 1e5


def trigger_of(calibration: Calibration, config: Config, exposure_s: float) -> TriggerInUse:
    """What was measured, unless the user decided the delay or it was another camera; else what is configured.

    `exposure_s`: that of the camera now.
    """
    configured = TriggerInUse(config.scan.flash_delay_s)
    delay, room, before = calibration.trigger_delay_s, calibration.trigger_room_s, calibration.trigger
    if delay is None or room is None or before is None:
        return configured
    now = input_of(config.camera, exposure_s)
    if _named(before) != _named(now):
        told = f"{_named(before)}, and {_named(now)} is configured. Run `parfocal calibrate trigger`."
        return msgspec.structs.replace(
            configured, remark=f"the delay of the trigger was measured with {told}"
        )
    # All lines end as much later as the exposure is longer now.
    until_s = delay.value + room.value - room.uncertainty + exposure_s - before.exposure_s
    chosen_s = safe_delay_s(delay.value, delay.uncertainty)
    exposed_s = chosen_s + exposure_s  # the last line begins before `chosen_s`
    if config.calibration.keep_flash_delay:
        if delay.interval[0] <= configured.delay_s < until_s:
            return msgspec.structs.replace(configured, exposed_s=exposed_s)
        told = f"from {1e3 * delay.value:.2f} until {1e3 * until_s:.2f} ms after a trigger. Remove that key."
        remark = f"scan.flash_delay_s = {configured.delay_s:g} is configured, but all lines expose {told}"
        return msgspec.structs.replace(configured, remark=remark, exposed_s=exposed_s)
    room_s = max(0.0, until_s - chosen_s)
    return TriggerInUse(chosen_s, delay.uncertainty, room_s, delay.measured_at, exposed_s=exposed_s)


def _named(one: TriggeredInput) -> str:
    return f"camera {one.device} of kind {one.kind}" + (f" at its input {one.line}" if one.line else "")
