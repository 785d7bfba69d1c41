"""What the verbs of `parfocal calibrate` share: an open instrument with its store, and their result."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import msgspec
from rich.console import Console

from parfocal import __version__
from parfocal.calib.store import Store
from parfocal.calib.value import UsedCalibration
from parfocal.edge.calibrate.keeper import Stamp
from parfocal.edge.cli.asked import Asked
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.cli.showing.progress import Step, shown_progress
from parfocal.edge.cli.showing.say import say
from parfocal.edge.cli.showing.tables import show_notes
from parfocal.edge.config import Config
from parfocal.edge.engine import check_frame_size
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import store_for
from parfocal.edge.words import named


class Bench(msgspec.Struct, frozen=True):
    """What a calibration works with: an open instrument, the store for its results, and where it tells of them."""

    instrument: Instrument
    config: Config
    store: Store
    stamp: Stamp
    console: Console
    step: Step


@contextlib.contextmanager
def opened_bench(asked: Asked, n_steps: int, by_optics: bool = False) -> Iterator[Bench]:
    """The instrument with its store and a progress display of `n_steps`; says at the end where results are kept.

    `by_optics`: it focuses by the measured optics, which must then be whole. Any other measurement leaves them out if
    they are damaged, since it is what replaces them, or has no use for them.
    """
    settings, console = asked.settings, console_for(asked.json)
    check_frame_size(settings)
    check_writable(asked.json)
    stamp = Stamp(datetime.now(timezone.utc).replace(microsecond=0), __version__)
    with asked.opened(settings, without_damaged=not by_optics) as instrument:
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
def reported_bench(
    asked: Asked, n_steps: int, by_optics: bool = False
) -> Iterator[tuple[Bench, Callable[[Result], None]]]:
    """An open bench, and a function that takes how to make the JSON result, which is written at the end.

    `by_optics`: as `opened_bench` takes it. Nothing is written if the block raises.
    """
    results: list[Result] = []
    with opened_bench(asked, n_steps, by_optics) as bench:
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
