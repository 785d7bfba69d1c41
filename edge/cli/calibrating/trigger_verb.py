"""`parfocal calibrate trigger`: when a camera exposes after the board's trigger."""

import msgspec

from parfocal.calib.camera.exposure_window import ExposureWindow
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate.keeper import KeptValue
from parfocal.edge.calibrate.trigger import TriggerCalibration, n_steps
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, reported_bench
from parfocal.edge.cli.showing.say import say
from parfocal.edge.measured.trigger_in_use import safe_delay_s


class TriggerReport(msgspec.Struct, frozen=True):
    """When the camera exposes after a trigger, and when a continuous scan flashes from now on.

    `calibration` names the calibration that results.
    """

    board_serial: int
    objective: str
    store: str
    values: tuple[KeptValue, ...]
    window: ExposureWindow
    flash_delay_s: float
    elapsed_s: float
    calibration: UsedCalibration | None


@on_microscope("z_play_um")
def trigger(asked: Asked) -> None:
    """Find when a triggered camera exposes, with flashes of the lamp. Nothing moves."""
    with reported_bench(asked, n_steps(asked.settings)) as (bench, report):
        window, values = measure_trigger(bench)
        delay_s = _delay_s(window)
        report(lambda head: TriggerReport(*head.place, values, window, delay_s, head.elapsed_s, head.used))


def measure_trigger(bench: Bench) -> tuple[ExposureWindow, tuple[KeptValue, ...]]:
    """What `TriggerCalibration` measures, shown. Raises as `TriggerCalibration.run`."""
    measuring = TriggerCalibration(bench.instrument, bench.config, bench.store, bench.stamp, bench.step)
    window, values = measuring.run()
    say(bench.console, f"trigger: {trigger_words(window)}")
    line = f"trigger: continuous scans flash {1e3 * _delay_s(window):.2f} ms after it from now on"
    if bench.config.calibration.keep_flash_delay:
        line = "trigger: scan.flash_delay_s of the configuration stays in use until that key is removed"
    say(bench.console, line)
    return window, values


def trigger_words(window: ExposureWindow) -> str:
    """What was measured, in words."""
    words = (
        f"all lines expose from {1e3 * window.delay_s:.3f} +- {1e3 * window.uncertainty_s:.1g} ms after it, for "
        f"{1e3 * window.room_s:.2f} ms"
    )
    if window.is_rolling:
        return (
            f"{words}; rolling shutter: they begin one after the other over {1e3 * window.read_out_s:.2f} ms"
        )
    return words


def _delay_s(window: ExposureWindow) -> float:
    return safe_delay_s(window.delay_s, window.uncertainty_s)
