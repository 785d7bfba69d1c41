"""The instrument that a command asks for, and its options; a simulation only where one is asked for."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from parfocal.board.clock import MonotonicClock
from parfocal.board.errors import BoardNotFound
from parfocal.board.link.probe import Probed
from parfocal.board.open import probe_board
from parfocal.edge.config import Config, config_from_file
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument, real_instrument

DEFAULT_CONFIG = Path("parfocal.toml")

MAX_SEED = 2**31 - 1  # whatever draws from it takes 32 bits
MAX_FIELDS = 100_000  # more than any stage has room for


def finite(value: float | None) -> float | None:
    """The value of an option, which must be finite: some versions of typer let nan pass any limit.

    Raises typer.BadParameter.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file; parfocal.toml in this folder if it is there.")
]
PortOption = Annotated[str | None, typer.Option("--port", help="Serial port of the board.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Also write the result to this file; - for standard output.")
]
SimOption = Annotated[bool, typer.Option("--sim", help="A virtual microscope instead of a real one.")]
SlideOption = Annotated[Path | None, typer.Option("--slide", help="With --sim: an image, or a stack.")]
UmPerPxOption = Annotated[
    float | None,
    typer.Option(
        "--um-per-px",
        min=0.001,
        max=100.0,
        callback=finite,
        help="With --sim: sampling of the slide's image.",
    ),
]
FieldsOption = Annotated[
    int, typer.Option("--fields", min=1, max=MAX_FIELDS, help="Number of neighbouring fields.")
]
SeedOption = Annotated[
    int,
    typer.Option("--seed", min=0, max=MAX_SEED, help="Of the virtual slide's surface and the noise."),
]
ZPlayOption = Annotated[
    float | None,
    typer.Option("--z-play-um", min=0.0, max=500.0, callback=finite, help="With --sim: play of the Z gear."),
]


def chosen_path(path: Path | None) -> Path | None:
    """The configuration to read: the one named, else that of this folder, else None."""
    return DEFAULT_CONFIG if path is None and DEFAULT_CONFIG.exists() else path


def configured(path: Path | None, port: str | None) -> Config:
    """The configuration, with the port of the command line in place of its own. Raises ConfigError."""
    chosen = chosen_path(path)
    return with_port(config_from_file(chosen) if chosen else Config(), port)


def with_port(config: Config, port: str | None) -> Config:
    """The same with another port, if there is one."""
    if port is None:
        return config
    return msgspec.structs.replace(config, board=msgspec.structs.replace(config.board, port=port))


def check_simulated(sim: bool, slide: Path | None, um_per_px: float | None, z_play_um: float | None) -> None:
    """Refuse options of a virtual slide without a virtual microscope, and a slide that is not there.

    Raises ConfigError.
    """
    if not sim and any(option is not None for option in (slide, um_per_px, z_play_um)):
        raise ConfigError(
            "--slide, --um-per-px and --z-play-um lay a virtual slide: add --sim, or leave them out"
        )
    if slide is not None and not slide.exists():
        raise ConfigError(f"slide {slide} is not there: no such file or folder. Give another --slide path.")


@contextlib.contextmanager
def opened_instrument(
    sim: bool,
    slide: Path | None,
    um_per_px: float | None,
    seed: int,
    z_play_um: float | None,
    config: Config,
    virtual: bool,
) -> Iterator[Instrument]:
    """The real microscope, or with ``sim`` a virtual one: in virtual time, or at a stub's port.

    Raises BoardError, CameraFailed, ConfigError.
    """
    if not sim:
        otherwise = "For a simulated microscope add --sim."
        with _or_otherwise(real_instrument(config), config, otherwise) as instrument:
            yield instrument
        return
    from parfocal.edge.simscope.bench import at_stub, in_virtual_time, sample_from, stub_of

    sample = sample_from(slide, um_per_px, config, seed)
    opened = (
        in_virtual_time(sample, config, stub_of(config, seed, z_play_um))
        if virtual
        else _or_otherwise(
            at_stub(sample, config),
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
    """What `opening` gives; where there is nothing at the board's port, the error says `otherwise` as well."""
    with contextlib.ExitStack() as stack:
        try:
            instrument = stack.enter_context(opening)
        except BoardNotFound as error:
            if Path(config.board.port).exists():
                raise
            raise BoardNotFound(f"{error} {otherwise}") from error
        yield instrument


def probed_board(config: Config, virtual: bool) -> Probed:
    """What the board at the configured port says of itself, or a stub in virtual time. Raises as `probe` does."""
    if not virtual:
        return probe_board(config.board, MonotonicClock())
    from parfocal.edge.simscope.bench import probed_stub

    return probed_stub()
