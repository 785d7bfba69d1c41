"""`parfocal calibrate focus`: how well the loop repeats, where it ends, and where it takes its shots."""

import msgspec

from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate import focus_loop
from parfocal.edge.calibrate.focus_loop import LoopCalibration
from parfocal.edge.calibrate.keeper import KeptValue
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, reported_bench
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.engine import Engines, checked_engine

LOOP_STEPS = focus_loop.N_STEPS


class LoopReport(msgspec.Struct, frozen=True):
    """How well the loop repeats. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    values: tuple[KeptValue, ...]
    images: int
    elapsed_s: float
    calibration: UsedCalibration | None


@on_microscope()
def loop(asked: Asked) -> None:
    """Run the loop on one field again and again: how well it repeats, and where it ends."""
    asked = msgspec.structs.replace(asked, settings=measuring(asked.settings))
    engine = checked_engine(asked.settings)
    with reported_bench(asked, LOOP_STEPS, by_optics=True) as (bench, report):
        values, images = measure_loop(bench, engine)
        report(lambda head: LoopReport(*head.place, values, images, head.elapsed_s, head.used))


def measuring(config: Config) -> Config:
    """The configuration without `focus.at_sharpest`: what it would remove is measured."""
    return msgspec.structs.replace(config, focus=msgspec.structs.replace(config.focus, at_sharpest=None))


def measure_loop(bench: Bench, engine: Engines) -> tuple[tuple[KeptValue, ...], int]:
    """What `LoopCalibration` measures, shown; and how many images it took. Raises as `LoopCalibration.run`."""
    predictor, _ = bench.instrument.calibrated(engine.predictor, bench.config.focus)
    running = LoopCalibration(bench.instrument, bench.config, bench.store, bench.stamp, predictor)
    values = running.run(bench.step)
    say(bench.console, f"focus: {loop_words(values)}")
    if bench.config.calibration.keep_spacing:
        told = (
            "focus.z0_below_um and focus.z1_below_um of the configuration stay in use until they are removed"
        )
        say(bench.console, f"focus: {told}")
    return values, running.images


def loop_words(values: tuple[KeptValue, ...]) -> str:
    """What was measured, in words."""
    found = {one.name: one for one in values}
    repeats, above = found["focus_repeatability_um"], found["focus_above_sharpest_um"]
    z0, z1 = found["focus_z0_below_um"], found["focus_z1_below_um"]
    return (
        f"repeats within {repeats.value:.2f} +- {repeats.uncertainty:.2f} um (standard deviation); ends "
        f"{above.value:+.2f} +- {above.uncertainty:.2f} um above the sharpest plane; z0 {z0.value:g} um and z1 "
        f"{z1.value:g} um below the pivot"
    )
