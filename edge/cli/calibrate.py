"""`parfocal calibrate`: measure what a kit differs in from others, and keep it."""

from datetime import datetime, timezone
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from parfocal import __version__
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate import xy_play, z_play
from parfocal.edge.calibrate.backlash import AxisName, AxisPlay, Backlash, Stamp
from parfocal.edge.calibration import store_for
from parfocal.edge.cli.options import (
    ConfigOption,
    JsonOption,
    PortOption,
    SeedOption,
    SimOption,
    Simulation,
    SlideOption,
    UmPerPxOption,
    ZPlayOption,
    configured,
    opened_instrument,
)
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.progress import shown_progress
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.engine import check_frame_size
from parfocal.edge.errors import ConfigError
from parfocal.edge.words import named

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


@app.callback()
def options_of_calibrate() -> None:
    """Measure the microscope; results are kept and used from then on."""


@app.command()
def backlash(
    axis: Annotated[str | None, typer.Option(help="x, y or z. Default: z, then x and y.")] = None,
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Measure the play of the gears on a slide with structure, near the configured origin."""
    axes = tuple(name for name in _AXES if axis in (None, name))
    if not axes:
        raise ConfigError(f"no axis {axis!r}: give x, y or z")
    settings = configured(config, port)
    simulation = Simulation(sim, slide, um_per_px, seed, z_play_um)
    check_frame_size(settings)
    check_writable(json)
    console = console_for(json)
    stamp = Stamp(datetime.now(timezone.utc).replace(microsecond=0), __version__)
    measured = []
    with opened_instrument(simulation, settings, virtual=port is None) as instrument:
        show_notes(console, instrument.notes)
        store = store_for(instrument.board.unit_serial, settings)
        running = Backlash(instrument, settings, store, stamp)
        with shown_progress(console, "measuring", _n_steps(axes), "first sweep") as step:
            for done in running.run(axes, step):
                measured.append(done)
                _show(console, done, settings)
    console.print(f"kept in {named(store.path)}", highlight=False, markup=False, soft_wrap=True)
    owner = store.owner
    report = BacklashReport(
        owner.board_serial, owner.objective, named(store.path), tuple(measured), store.load().used
    )
    write_json(json, report)


def _n_steps(axes: tuple[AxisName, ...]) -> int:
    """How many curves and staircases there will be."""
    first = z_play.N_CURVES if axes[0] == "z" else 2
    return first + xy_play.N_RUNS * sum(name != "z" for name in axes)


def _show(console: Console, done: AxisPlay, config: Config) -> None:
    line = (
        f"{done.axis}: play {done.play_um:.2f} +- {done.uncertainty_um:.2f} um (it was {done.before_um:g} um)"
    )
    if done.axis in config.calibration.keep_play:
        line += f"; board.{done.axis}.play_um of the configuration stays in use until that key is removed"
    took = f"{done.images} images, {done.elapsed_s:.0f} s of microscope time"
    console.print(f"{line}; {took}", highlight=False, markup=False, soft_wrap=True)
