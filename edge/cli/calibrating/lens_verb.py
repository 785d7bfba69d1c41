"""`parfocal calibrate lens`: which current of a tunable lens does what a move of the stage would do."""

import msgspec

from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate.keeper import KeptValue
from parfocal.edge.calibrate.lens import LensCalibration, n_steps
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, reported_bench
from parfocal.edge.cli.showing.say import say
from parfocal.edge.errors import ConfigError


class LensReport(msgspec.Struct, frozen=True):
    """What was measured of the lens. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    values: tuple[KeptValue, ...]
    images: int
    elapsed_s: float
    calibration: UsedCalibration | None


@on_microscope()
def lens(asked: Asked) -> None:
    """Find the focal plane at each current of the lens, with the Z motor, on a slide with structure."""
    if asked.settings.lens.kind == "none":
        raise ConfigError("no lens is configured: set lens.kind to 'board' or 'optotune'")
    with reported_bench(asked, n_steps(asked.settings)) as (bench, report):
        values, images = measure_lens(bench)
        report(lambda head: LensReport(*head.place, values, images, head.elapsed_s, head.used))


def measure_lens(bench: Bench) -> tuple[tuple[KeptValue, ...], int]:
    """What `LensCalibration` measures, shown; and how many images it took. Raises as `LensCalibration.run`."""
    if bench.instrument.lens is None:
        raise ConfigError("no lens is configured: set lens.kind to 'board' or 'optotune'")
    try:
        running = LensCalibration(
            bench.instrument, bench.instrument.lens, bench.config, bench.store, bench.stamp, bench.step
        )
    except ValueError as error:
        raise ConfigError(f"invalid configuration: {error}") from error
    values = running.run()
    say(bench.console, f"lens: {lens_words(values)}")
    if not bench.config.lens.focuses:
        say(bench.console, "lens: set lens.focuses = true to focus with it")
    return values, running.images


def lens_words(values: tuple[KeptValue, ...]) -> str:
    """What was measured, in words."""
    found = {one.name: one for one in values}
    error, play, slope = found["lens_error_um"], found["lens_play_um"], found["lens_um_per_ma"]
    told = (
        f"{slope.value:+.3f} +- {slope.uncertainty:.1g} um per mA at no current; curve within "
        f"{error.uncertainty:.2f} um (95 %), focal planes {error.value:.2f} um from it (root mean square); hysteresis "
        f"{play.value:.2f} +- {play.uncertainty:.2f} um"
    )
    if (settle := found.get("lens_settle_s")) is None:
        return told
    return f"{told}; at rest after {settle.value:.3f} +- {settle.uncertainty:.3f} s"
