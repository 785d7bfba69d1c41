"""`parfocal stub`: a stub motor board to try things on."""

from pathlib import Path
from typing import Annotated

import typer

from parfocal.edge.cli.options import ConfigOption, configured, finite
from parfocal.edge.errors import ConfigError


def stub(
    link: Annotated[Path, typer.Option(help="Where to create the link to the pseudo-terminal.")] = Path(
        "stub-board"
    ),
    speed: Annotated[
        float,
        typer.Option(
            min=0.001,
            max=1000.0,
            callback=finite,
            help="Speed of the board's clock; 2 runs it at twice real time.",
        ),
    ] = 1.0,
    faults: Annotated[Path | None, typer.Option(help="TOML file of faults to inject.")] = None,
    firmware: Annotated[
        bool,
        typer.Option(
            "--firmware", help="Run the board's firmware, compiled here, in place of the stub's own."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run a stub motor board, of the kind that is configured, on a pseudo-terminal until Ctrl-C."""
    from parfocal.board.stub.config import StubConfig
    from parfocal.board.stub.faults import load_faults
    from parfocal.board.stub.serving.process import run_stub

    board = configured(config, None).board
    if faults is not None and board.kind != "parfocal":
        raise ConfigError(
            f"--faults damages frames of our own protocol, and board.kind is {board.kind!r}. Leave it out."
        )
    if firmware and board.kind != "parfocal":
        raise ConfigError(
            f"--firmware is that of our own board, and board.kind is {board.kind!r}. Leave it out."
        )
    try:
        wrong = None if faults is None else load_faults(faults)
        run_stub(str(link), StubConfig(), speed, wrong, board, firmware)
    except (FileExistsError, ValueError) as error:
        raise ConfigError(str(error)) from error
