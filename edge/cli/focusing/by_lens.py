"""A tunable lens in place of the Z motor, for every command that focuses."""

from collections.abc import Callable

from rich.console import Console

from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.lens_focus import check_lens, parked_by_motor, parked_by_sweep, through_lens
from parfocal.edge.scan.plan import Field
from parfocal.engines.predictor import Predictor


def by_lens(
    instrument: Instrument,
    config: Config,
    console: Console,
    plan: tuple[Field, ...],
    predictor: Predictor | None = None,
    single: Predictor | None = None,
) -> tuple[Instrument, Config, float | None]:
    """Instrument and configuration that focus with the lens, and the height of the Z motor under it, um.

    As they are, and None, where the configuration does not say so. Without `lens.park_um` the Z motor finds the focus
    of a field of `plan` first; without a predictor by a sweep. Raises FocusLost, CalibError, ConfigError, BoardError.
    """
    if not config.lens.focuses:
        return instrument, config, None
    check_lens(instrument, config)
    park_um = config.lens.park_um
    if park_um is None:
        say(console, "lens: the Z motor looks for the focus first")
        park_um = (
            parked_by_sweep(instrument, config, plan)
            if predictor is None
            else parked_by_motor(instrument, predictor, config, plan, single)
        )
    seen, settings = through_lens(instrument, config, park_um)
    say(console, seen.notes[-1])
    return seen, settings, park_um


def once(pivot_um: float | None) -> Callable[[Field], float | None] | None:
    """Where the first field starts; the others start from the one before. None for None."""
    if pivot_um is None:
        return None
    left = [pivot_um]
    return lambda _field: left.pop() if left else None
