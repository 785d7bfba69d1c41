"""Options that several commands share, and the instrument they ask for: a simulation only with `--sim`."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parfocal.board.clock import MonotonicClock
from parfocal.board.errors import BoardNotFound
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.link.probe import Probed
from parfocal.board.open import probe_board
from parfocal.edge.config import Config, config_from, simulated_through
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument, real_instrument
from parfocal.edge.objectives import FOCUS_OF
from parfocal.edge.scan.plan import MAX_FIELDS
from parfocal.edge.simscope.ranges import SEEDS, UM_PER_PX, Z_PLAYS_UM
from parfocal.edge.simscope.relief import ReliefName

MAX_SEED = SEEDS[1]  # of what is drawn by chance on a real microscope too


def finite(value: float | None) -> float | None:
    """The value of an option, if it is finite: some versions of typer let nan pass `min` and `max`.

    Raises typer.BadParameter.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration in TOML. Default: parfocal.toml in this folder, if there is one."
    ),
]
PortOption = Annotated[
    str | None, typer.Option("--port", help="Serial port of the board, or of a stub. Default: board.port.")
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the result to this file as JSON; - for standard output."),
]
SimOption = Annotated[bool, typer.Option("--sim", help="Use a virtual microscope.")]
SlideOption = Annotated[
    Path | None,
    typer.Option("--slide", help="With --sim: image or stack to use as the slide. Default: sample tissue."),
]
UmPerPxOption = Annotated[
    float | None,
    typer.Option(
        "--um-per-px",
        min=UM_PER_PX[0],
        max=UM_PER_PX[1],
        callback=finite,
        help="With --sim: sampling of the slide image, um per pixel.",
    ),
]
FieldsOption = Annotated[
    int, typer.Option("--fields", min=1, max=MAX_FIELDS, help="Number of neighbouring fields.")
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=SEEDS[0], max=MAX_SEED, help="Seed for the virtual slide and the camera noise."
    ),
]
ZPlayOption = Annotated[
    float | None,
    typer.Option(
        "--z-play-um",
        min=Z_PLAYS_UM[0],
        max=Z_PLAYS_UM[1],
        callback=finite,
        help="With --sim: true play of the Z gear, um. Default: board.z.play_um.",
    ),
]
ReliefOption = Annotated[
    ReliefName | None,
    typer.Option(
        "--relief",
        help="With --sim: make the fields uneven: tilted, tissue at two depths, or folded. Default: even fields.",
    ),
]


ObjectiveOption = Annotated[
    str | None,
    typer.Option(
        "--objective",
        help=f"With --sim: look through this objective, {' or '.join(FOCUS_OF)}, with the camera and the model for it.",
    ),
]


def through(objective: str | None, config: Config, sim: bool) -> Config:
    """The configuration for the objective of the command line, if one was given. Raises ConfigError."""
    if objective is None:
        return config
    if not sim:
        raise ConfigError(
            f"--objective chooses a simulated one: add --sim, or set focus.objective to {objective!r} for yours"
        )
    return simulated_through(objective, config)


def configured(path: Path | None, port: str | None) -> Config:
    """The configuration, with the port of the command line if one was given. Raises ConfigError."""
    return with_port(config_from(path), port)


def with_port(config: Config, port: str | None) -> Config:
    """The configuration with another port; unchanged for None."""
    if port is None:
        return config
    if config.board.micromanager:
        raise ConfigError(
            f"--port {port} names a serial port, and board.kind is 'micromanager'. Leave it out, or change board.kind."
        )
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, port=port))


class Simulation(msgspec.Struct, frozen=True):
    """The options of a virtual microscope as they were given; `is_asked_for` is False for a real one.

    `um_per_px` is the sampling of the slide's image. `z_play_um` is the true play of the Z gear; None means as
    configured. `relief` makes the fields uneven. `drift_um_per_s`: how fast their focus rises.
    """

    is_asked_for: bool = False
    slide: Path | None = None
    um_per_px: float | None = None
    seed: int = 1
    z_play_um: float | None = None
    relief: ReliefName | None = None
    drift_um_per_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises ConfigError for a virtual slide under a real microscope."""
        options = self.slide, self.um_per_px, self.z_play_um, self.relief, self.drift_um_per_s or None
        if any(option is not None for option in options) and not self.is_asked_for:
            raise ConfigError(
                "--slide, --um-per-px, --z-play-um, --relief and --drift-um-per-s describe a virtual slide: add --sim, "
                "or leave them out"
            )


@contextlib.contextmanager
def opened_instrument(
    simulation: Simulation, config: Config, virtual: bool, without_damaged: bool = False
) -> Iterator[Instrument]:
    """The real microscope, or a virtual one if asked for: with `virtual` in virtual time, else at a stub's port.

    `without_damaged`: as `use_calibration` takes it. Raises BoardError, CalibError, CameraFailed, ConfigError.
    """
    if not simulation.is_asked_for:
        otherwise = "For a simulated microscope add --sim."
        with _or_otherwise(real_instrument(config, without_damaged), config, otherwise) as instrument:
            yield instrument
        return
    from parfocal.edge.simscope.bench import at_stub, in_virtual_time, sample_from, stub_of

    sample = sample_from(simulation.slide, simulation.um_per_px, config, simulation.seed, simulation.relief)
    opened = (
        in_virtual_time(
            sample,
            config,
            stub_of(config, simulation.seed, simulation.z_play_um),
            simulation.drift_um_per_s,
            without_damaged,
        )
        if virtual
        else _or_otherwise(
            at_stub(sample, config, simulation.drift_um_per_s, without_damaged),
            config,
            f"Or start a stub there: `parfocal stub --link {config.board.port}`.",
        )
    )
    with opened as instrument:
        yield instrument


@contextlib.contextmanager
def _or_otherwise(
    opening: contextlib.AbstractContextManager[Instrument], config: Config, otherwise: str
) -> Iterator[Instrument]:
    """What `opening` opens. If there is nothing at the board's port, the error ends with `otherwise`."""
    with contextlib.ExitStack() as stack:
        try:
            instrument = stack.enter_context(opening)
        except BoardNotFound as error:
            if Path(config.board.port).exists():
                raise
            raise BoardNotFound(f"{error} {otherwise}") from error
        yield instrument


def probed_board(config: Config, virtual: bool) -> Probed | Recognised:
    """What the board at the configured port answers, or a stub in virtual time. Raises as `probe_board` does."""
    if not virtual:
        return probe_board(config.board, MonotonicClock())
    from parfocal.edge.simscope.bench import probed_stub

    return probed_stub(config)
