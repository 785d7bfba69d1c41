"""`parfocal calibrate trigger`: when a camera exposes after the board's trigger."""

import msgspec

from parfocal.calib.camera.exposure_window import ExposureWindow
from parfocal.edge.calibrate.trigger import TriggerCalibration, flash_delay_s, n_steps
from parfocal.edge.cli.options import (
    ConfigOption,
    JsonOption,
    PortOption,
    SeedOption,
    SimOption,
    Simulation,
    SlideOption,
    UmPerPxOption,
    configured,
    opened_instrument,
)
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes


class TriggerReport(msgspec.Struct, frozen=True):
    """When the camera exposes after a trigger, and the `scan.flash_delay_s` that follows from it."""

    window: ExposureWindow
    flash_delay_s: float
    elapsed_s: float


def trigger(
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    seed: SeedOption = 1,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Find when a triggered camera exposes, with flashes of the lamp. Nothing moves; nothing is kept."""
    settings = configured(config, port)
    simulation = Simulation(sim, slide, um_per_px, seed, None)
    check_writable(json)
    console = console_for(json)
    with opened_instrument(simulation, settings, port is None) as instrument:
        show_notes(console, instrument.notes)
        began_s = instrument.clock.now_s()
        with shown_progress(console, "flashing", n_steps(settings), "first flash") as step:
            window = TriggerCalibration(instrument, settings, step).run()
        elapsed_s = instrument.clock.now_s() - began_s
    found_s = flash_delay_s(window)
    say(console, f"trigger: {trigger_words(window)}")
    say(console, f"trigger: set scan.flash_delay_s = {found_s:.5f}")
    write_json(json, TriggerReport(window, found_s, elapsed_s))


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
