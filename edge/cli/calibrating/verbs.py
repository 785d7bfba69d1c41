"""`parfocal calibrate`: measure what a kit differs in from others, and keep it."""

import math
import sys
from typing import Annotated

import msgspec
import typer

from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate import camera as camera_part
from parfocal.edge.calibrate import pixel as pixel_part
from parfocal.edge.calibrate.camera import CameraCalibration
from parfocal.edge.calibrate.keeper import KeptValue
from parfocal.edge.calibrate.motion import fastest as fastest_part
from parfocal.edge.calibrate.motion import stage as stage_part
from parfocal.edge.calibrate.motion import xy_play, z_play
from parfocal.edge.calibrate.motion.backlash import AxisName, AxisPlay, Backlash
from parfocal.edge.calibrate.motion.returns import Trips
from parfocal.edge.calibrate.motion.stage import StageCalibration
from parfocal.edge.cli.asked import Asked, on_microscope
from parfocal.edge.cli.calibrating.bench import Bench, reported_bench
from parfocal.edge.cli.options import finite
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.measured.calibration import is_contradicted
from parfocal.edge.words import counted

app = typer.Typer(
    help="Measure the microscope; results are kept and used from then on.", no_args_is_help=True
)

_AXES: tuple[AxisName, ...] = ("z", "x", "y")


class BacklashReport(msgspec.Struct, frozen=True):
    """The measured play of axes, and the store that keeps it. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    axes: tuple[AxisPlay, ...]
    calibration: UsedCalibration | None


class StageReport(msgspec.Struct, frozen=True):
    """What was measured of the stage. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    values: tuple[KeptValue, ...]
    trips: tuple[Trips, ...]
    images: int
    elapsed_s: float
    calibration: UsedCalibration | None


class CameraReport(msgspec.Struct, frozen=True):
    """What was measured of the camera, and what follows from it. `calibration` names the calibration that results."""

    board_serial: int
    objective: str
    store: str
    values: tuple[KeptValue, ...]
    verdicts: tuple[str, ...]
    images: int
    elapsed_s: float
    calibration: UsedCalibration | None


@app.callback()
def options_of_calibrate() -> None:
    """Measure the microscope; results are kept and used from then on."""


@app.command()
@on_microscope()
def backlash(
    asked: Asked,
    axis: Annotated[str | None, typer.Option(help="x, y or z. Default: z, then x and y.")] = None,
) -> None:
    """Measure the play of the gears on a slide with structure, near the configured origin."""
    axes = tuple(name for name in _AXES if axis in (None, name))
    if not axes:
        raise ConfigError(f"no axis {axis!r}: give x, y or z")
    with reported_bench(asked, _n_steps(axes)) as (bench, report):
        measured = measure_backlash(bench, axes)
        report(lambda head: BacklashReport(*head.place, measured, head.used))


@app.command()
@on_microscope()
def stage(
    asked: Asked,
    pitch_um: Annotated[
        float | None,
        typer.Option(
            "--pitch-um",
            min=0.1,
            max=1000.0,
            callback=finite,
            help="Only measure the size of a pixel, on a slide with lines this far apart, um.",
        ),
    ] = None,
    fastest: Annotated[
        bool,
        typer.Option(
            "--fastest",
            help="Also find the fastest safe speed of X and Y: they are driven until they lose steps.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --fastest.")] = False,
) -> None:
    """Measure scale, camera angle, lost steps, settle times and homing on a slide with structure."""
    n_steps = stage_part.N_STEPS if pitch_um is None else pixel_part.N_STEPS
    if fastest:
        if pitch_um is not None:
            raise ConfigError("--pitch-um measures nothing but the size of a pixel: leave out --fastest")
        _ask_to_lose_steps(yes)
        n_steps += 2 * fastest_part.N_STEPS
    with reported_bench(asked, n_steps) as (bench, report):
        if fastest and not bench.instrument.board.capabilities.has_homing:
            raise ConfigError("--fastest needs a board that homes its axes: leave it out")
        values, trips, images = (
            measure_stage(bench, fastest) if pitch_um is None else measure_pixel(bench, pitch_um)
        )
        report(lambda head: StageReport(*head.place, values, trips, images, head.elapsed_s, head.used))


@app.command()
@on_microscope()
def camera(asked: Asked) -> None:
    """Find the exposure; measure response, flicker, flat field, and what the camera does to its pictures."""
    with reported_bench(asked, camera_part.N_STEPS) as (bench, report):
        values, verdicts, images = measure_camera(bench)
        report(lambda head: CameraReport(*head.place, values, verdicts, images, head.elapsed_s, head.used))


def measure_camera(bench: Bench) -> tuple[tuple[KeptValue, ...], tuple[str, ...], int]:
    """What `CameraCalibration` measures, shown; also its verdicts, and how many images it took.

    Raises as `CameraCalibration.run`.
    """
    running = CameraCalibration(bench.instrument, bench.config, bench.store, bench.stamp, bench.step)
    values = tuple(running.run())
    for value in values:
        say(bench.console, camera_line(value, bench.config))
    verdicts = camera_part.camera_verdicts(running.seen)
    for verdict in verdicts:
        say(bench.console, verdict)
    return values, verdicts, running.images


_CAMERA_WORDS = {
    "camera_exposure_s": "exposure {0.value:.5f} s",
    "camera_gain": "gain {0.value:g}, locked",
    "camera_white_balance": "white balance {0.value:g}, locked",
    "camera_dark_level": "dark level {0.value:.2f} +- {0.uncertainty:.2f} of 255",
    "camera_gamma": "gamma {0.value:.3f} +- {0.uncertainty:.3f}",
    "camera_flicker_share": "flicker {percent:.2f} +- {percent_uncertainty:.2f} % from frame to frame",
    "camera_falloff_share": "darkest corner {percent:.0f} +- {percent_uncertainty:.0f} % below the brightest part",
    "camera_fine_noise": "noise in fine over that in coarse detail {0.value:.2f} +- {0.uncertainty:.2f}",
    "camera_mosaic": "noise of least over most noisy pixels of 2 by 2 {0.value:.2f} +- {0.uncertainty:.2f}",
    "camera_blocks": "fine detail on over between blocks of 8 {0.value:.2f} +- {0.uncertainty:.2f}",
    "camera_lag_share": "{percent:.0f} +- {percent_uncertainty:.0f} % of the frame before in each picture",
}


def camera_line(value: KeptValue, config: Config) -> str:
    """A measured value of the camera in words."""
    percents = {"percent": 100.0 * value.value, "percent_uncertainty": 100.0 * value.uncertainty}
    line = f"camera: {_CAMERA_WORDS[value.name].format(value, **percents)}"
    if value.name == "camera_exposure_s" and config.calibration.keep_exposure:
        line += "; camera.exposure_s of the configuration stays in use until that key is removed"
    return line


def measure_backlash(bench: Bench, axes: tuple[AxisName, ...] = _AXES) -> tuple[AxisPlay, ...]:
    """The play of `axes`, each shown as it is kept. Raises as `Backlash.run`."""
    measured = []
    for done in Backlash(bench.instrument, bench.config, bench.store, bench.stamp).run(axes, bench.step):
        measured.append(done)
        say(bench.console, _line(done, bench.config))
    return tuple(measured)


def _ask_to_lose_steps(yes: bool) -> None:
    """Ask a person before motors are driven until they stall. Raises ConfigError for a no, or where nobody is asked."""
    told = "X and Y are driven faster and faster until their motors lose steps, and homed each time; Z goes down first."
    may_go = yes or (sys.stdin.isatty() and typer.confirm(f"{told} Is the way free?", err=True))
    if not may_go:
        raise ConfigError(
            f"--fastest: {told} Nothing moved. Look at the stage, then answer yes, or give --yes."
        )


def measure_stage(
    bench: Bench, tries_rates: bool = False
) -> tuple[tuple[KeptValue, ...], tuple[Trips, ...], int]:
    """What `StageCalibration` measures, each value shown as it is kept; also the trips, and how many images it took.

    `tries_rates`: also the fastest safe speed and acceleration.
    Raises as `StageCalibration.run`.
    """
    running = StageCalibration(
        bench.instrument, bench.config, bench.store, bench.stamp, bench.step, tries_rates
    )
    values = []
    for value in running.run():
        values.append(value)
        say(bench.console, stage_line(value, bench.config))
    for trip in running.trips:
        away = f"{trip.lost_um:.2f} um away after {trip.n_trips} trips of {trip.trip_um:g} um"
        say(bench.console, f"{trip.axis}: {away}")
    return tuple(values), tuple(running.trips), running.images


BACKLASH_STEPS = z_play.N_CURVES + 2 * xy_play.N_RUNS


def measure_pixel(bench: Bench, pitch_um: float) -> tuple[tuple[KeptValue, ...], tuple[Trips, ...], int]:
    """The size of a pixel, shown, as `measure_stage` returns its values. Raises as `pixel.measure_pixel`."""
    one = pixel_part.measure_pixel(
        bench.instrument, bench.config, bench.store, bench.stamp, bench.step, pitch_um
    )
    say(bench.console, stage_line(one, bench.config))
    return (one,), (), pixel_part.N_PICTURES


def _n_steps(axes: tuple[AxisName, ...]) -> int:
    """How many curves and staircases there will be."""
    first = z_play.N_CURVES if axes[0] == "z" else 2
    return first + xy_play.N_RUNS * sum(name != "z" for name in axes)


def _line(done: AxisPlay, config: Config) -> str:
    line = (
        f"{done.axis}: play {done.play_um:.2f} +- {done.uncertainty_um:.2f} um (it was {done.before_um:g} um)"
    )
    if done.axis in config.calibration.keep_play:
        line += f"; board.{done.axis}.play_um of the configuration stays in use until that key is removed"
    return f"{line}; {done.images} images, {done.elapsed_s:.0f} s of microscope time"


def stage_line(value: KeptValue, config: Config) -> str:
    """A measured value in words, and whether it is used."""
    axis, _, key = value.name.partition("_")
    before = "" if value.before is None else f" (it was {value.before:g})"
    if value.name == "camera_angle_deg":
        angle = f"{round(value.value, 2) + 0.0:+.2f} +- {value.uncertainty:.2f} degrees"
        return f"camera: turned by {angle} against the stage{before}"
    if value.name == "camera_um_per_px":
        line = (
            f"camera: {value.value:.4f} +- {value.uncertainty:.4f} um per px (configured: {value.before:g})"
        )
        is_off = is_contradicted(config.camera.um_per_px, value.value, value.uncertainty)
        return f"{line}. Set camera.um_per_px = {value.value:.4f}." if is_off else line
    if value.name == "camera_is_mirrored":
        return f"camera: its picture is {'mirrored' if value.value > 0.5 else 'not mirrored'}"
    if key == "home_um":
        return f"{axis}: comes back to {value.value:.2f} um (standard deviation) after homing"
    if key == "settle_s":
        n_frames = math.ceil(value.value / config.camera.frame_period_s)
        line = f"{axis}: at rest after {value.value:.3f} +- {value.uncertainty:.3f} s, {counted(n_frames, 'frame')}"
        return f"{line}{before}{_kept_by_user(axis, key, axis in config.calibration.keep_settle)}"
    if key in ("speed_um_per_s", "accel_um_per_s2"):
        word, unit = ("speed", "um/s") if key == "speed_um_per_s" else ("acceleration", "um/s2")
        kept = _kept_by_user(axis, key, axis in config.calibration.keep_rates)
        return (
            f"{axis}: fastest safe {word} {value.value:.0f} +- {value.uncertainty:.0f} {unit}{before}{kept}"
        )
    configured_scale = config.board.axis(axis).um_per_step
    line = f"{axis}: {value.value:.4f} +- {value.uncertainty:.4f} um per step{before}"
    if not is_contradicted(configured_scale, value.value, value.uncertainty):
        return f"{line}; {configured_scale:g} as configured agrees and stays in use"
    return f"{line}{_kept_by_user(axis, key, axis in config.calibration.keep_scale)}"


def _kept_by_user(axis: str, key: str, is_kept: bool) -> str:
    return (
        f"; board.{axis}.{key} of the configuration stays in use until that key is removed" if is_kept else ""
    )
