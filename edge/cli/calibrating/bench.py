"""What the verbs of `parfocal calibrate` share: their options, an open instrument with its store, and their result."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import msgspec
from rich.console import Console

from parfocal import __version__
from parfocal.calib.store import Store
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate.keeper import Stamp
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
from parfocal.edge.cli.showing.progress import Step, shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.engine import check_frame_size
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import store_for
from parfocal.edge.words import named


class Asked(msgspec.Struct, frozen=True):
    """What the shared options say. `virtual`: a simulated board is one in virtual time."""

    simulation: Simulation
    settings: Config
    virtual: bool
    json: Path | None


def asked_for(
    sim: SimOption = False,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> Asked:
    """What the shared options ask for. Raises ConfigError."""
    settings = configured(config, port)
    return Asked(Simulation(sim, slide, um_per_px, seed, z_play_um), settings, port is None, json)


def measures(verb: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `verb`, and those of `asked_for`, which it receives as its first argument."""
    own = [one for name, one in inspect.signature(verb, eval_str=True).parameters.items() if name != "asked"]
    shared = inspect.signature(asked_for, eval_str=True).parameters

    @functools.wraps(verb)
    def command(**given: object) -> None:
        asked = asked_for(**{name: given.pop(name) for name in shared})  # type: ignore[arg-type]
        verb(asked, **given)

    parameters = [*own, *shared.values()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


class Bench(msgspec.Struct, frozen=True):
    """What a calibration works with: an open instrument, the store for its results, and where it tells of them."""

    instrument: Instrument
    config: Config
    store: Store
    stamp: Stamp
    console: Console
    step: Step


@contextlib.contextmanager
def opened_bench(asked: Asked, n_steps: int) -> Iterator[Bench]:
    """The instrument with its store and a progress display of `n_steps`; says at the end where results are kept."""
    settings, console = asked.settings, console_for(asked.json)
    check_frame_size(settings)
    check_writable(asked.json)
    stamp = Stamp(datetime.now(timezone.utc).replace(microsecond=0), __version__)
    with opened_instrument(asked.simulation, settings, asked.virtual) as instrument:
        show_notes(console, instrument.notes)
        store = store_for(instrument.board.unit_serial, settings)
        with shown_progress(console, "measuring", n_steps, "first sweep") as step:
            yield Bench(instrument, settings, store, stamp, console, step)
    say(console, f"kept in {named(store.path)}")


class Head(msgspec.Struct, frozen=True):
    """What every result has: whose it is and where it is kept, the microscope's time, and what is in force now."""

    place: tuple[int, str, str]
    elapsed_s: float
    used: UsedCalibration | None


Result = Callable[[Head], object]


@contextlib.contextmanager
def reported_bench(asked: Asked, n_steps: int) -> Iterator[tuple[Bench, Callable[[Result], None]]]:
    """An open bench, and a function that takes how to make the JSON result, which is written at the end.

    Nothing is written if the block raises.
    """
    results: list[Result] = []
    with opened_bench(asked, n_steps) as bench:
        clock, store = bench.instrument.clock, bench.store
        began_s = clock.now_s()
        yield bench, results.append
        elapsed_s = clock.now_s() - began_s
    head = Head(place_of(store), elapsed_s, store.load().used)
    for result in results:
        write_json(asked.json, result(head))


def place_of(store: Store) -> tuple[int, str, str]:
    """Whose results a store keeps, and where: the first fields of every result."""
    return store.owner.board_serial, store.owner.objective, named(store.path)
