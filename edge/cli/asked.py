"""The options of every verb that works on the microscope, declared once, and what they ask for."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from pathlib import Path

import msgspec

from parfocal.edge.cli.options import (
    ConfigOption,
    JsonOption,
    ObjectiveOption,
    PortOption,
    SeedOption,
    SimOption,
    Simulation,
    SlideOption,
    UmPerPxOption,
    ZPlayOption,
    configured,
    opened_instrument,
    through,
)
from parfocal.edge.config import Config
from parfocal.edge.instrument import Instrument
from parfocal.edge.simscope.relief import ReliefName


class Asked(msgspec.Struct, frozen=True):
    """What the shared options say. `virtual`: a simulated board is one in virtual time."""

    simulation: Simulation
    settings: Config
    virtual: bool
    json: Path | None

    def uneven(self, relief: ReliefName | None, drift_um_per_s: float = 0.0) -> "Asked":
        """The same over a virtual slide whose fields are uneven, or whose focus rises.

        Raises ConfigError for a real microscope.
        """
        simulation = msgspec.structs.replace(self.simulation, relief=relief, drift_um_per_s=drift_um_per_s)
        return msgspec.structs.replace(self, simulation=simulation)

    def opened(
        self, settings: Config, without_damaged: bool = False
    ) -> contextlib.AbstractContextManager[Instrument]:
        """The microscope that is asked for, with `settings`. Takes and raises what `opened_instrument` does."""
        return opened_instrument(self.simulation, settings, self.virtual, without_damaged)


def asked_for(
    sim: SimOption = False,
    objective: ObjectiveOption = None,
    slide: SlideOption = None,
    um_per_px: UmPerPxOption = None,
    seed: SeedOption = 1,
    z_play_um: ZPlayOption = None,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> Asked:
    """What the shared options ask for. Raises ConfigError."""
    settings = through(objective, configured(config, port), sim)
    return Asked(Simulation(sim, slide, um_per_px, seed, z_play_um), settings, port is None, json)


def on_microscope(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a verb: with its own options, then those of `asked_for`, which it receives as `asked`.

    `without`: parameters of `asked_for` that mean nothing to this verb.
    """

    def command_of(verb: Callable[..., None]) -> Callable[..., None]:
        own = [
            one for name, one in inspect.signature(verb, eval_str=True).parameters.items() if name != "asked"
        ]
        every = inspect.signature(asked_for, eval_str=True).parameters
        shared = {name: one for name, one in every.items() if name not in without}

        @functools.wraps(verb)
        def command(*of_verb: object, **given: object) -> None:
            of_all = {name: given.pop(name) for name in shared if name in given}
            verb(asked_for(**of_all), *of_verb, **given)  # type: ignore[arg-type]

        parameters = [*own, *shared.values()]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return command_of
