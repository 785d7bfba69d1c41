"""`parfocal init`: from parts on a table to a configuration that the doctor has read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from parfocal.board.config import AXIS_NAMES
from parfocal.board.link.ports import usb_ports
from parfocal.edge.cli.doctor import doctor
from parfocal.edge.cli.setting_up import found
from parfocal.edge.cli.setting_up.answers import (
    SCREWS,
    Screw,
    axes_from_screws,
    best_mode,
    magnification_of,
    um_per_px,
)
from parfocal.edge.cli.setting_up.found import FoundBoard, FoundCamera, FoundCore, FoundGenicam
from parfocal.edge.cli.setting_up.written import Instrument, toml_of
from parfocal.edge.cli.showing.output import console_for
from parfocal.edge.cli.showing.say import say
from parfocal.edge.config import DEFAULT_CONFIG, CameraConfig, FocusConfig, config_from_toml
from parfocal.edge.errors import ConfigError
from parfocal.edge.whole_file import whole_file

_PIXEL_UM, _ADAPTER = 3.45, 0.5  # of many sensors (Sony Pregius); 20x and 0.5x give the default 0.345 um

T = TypeVar("T")


class Asker:
    """Asks questions in a terminal; takes every default where it may not ask."""

    def __init__(self, console: Console, may_ask: bool) -> None:
        self.console, self._may_ask = console, may_ask

    def value(self, question: str, default: T, check: Callable[[T], object] = lambda _: None) -> T:
        """An answer of the type of `default`, asked again until `check` raises no ValueError."""
        if not self._may_ask:
            check(default)
            return default
        while True:
            answer: T = typer.prompt(question, default=default, err=True)
            try:
                check(answer)
            except ValueError as error:
                say(self.console, str(error))
                continue
            return answer

    def together(self, answers: Callable[[], T]) -> T:
        """What several answers make together; they are asked again until `answers` raises no error.

        Raises ConfigError where it may not ask.
        """
        while True:
            try:
                made = answers()
            except (ValueError, ConfigError) as error:
                if not self._may_ask:
                    raise ConfigError(f"the defaults do not fit: {error} Leave out --yes.") from error
                say(self.console, f"{error} Once more, please:")
                continue
            return made

    def choice(self, question: str, options: list[T]) -> T:
        """One of several, by its number; the first one where it may not ask."""
        for number, option in enumerate(options, start=1):
            say(self.console, f"  {number}: {option}")

        def check(number: int) -> None:
            if not 1 <= number <= len(options):
                raise ValueError(f"1 to {len(options)}, please")

        return options[self.value(question, 1, check) - 1]

    def agrees(self, question: str, otherwise: bool) -> bool:
        """A yes or no; `otherwise` where it may not ask."""
        return typer.confirm(question, err=True) if self._may_ask else otherwise


def init(
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = DEFAULT_CONFIG,
    port: Annotated[
        str | None, typer.Option("--port", help="Port of the board. Default: ask the USB serial ports.")
    ] = None,
    micromanager: Annotated[
        Path | None,
        typer.Option(
            "--micromanager", help="Configuration file of Micro-Manager that has stages or a camera."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take every default.")] = False,
) -> None:
    """Find board and camera, ask for objective and screws, write parfocal.toml, and run the doctor.

    Nothing moves. An existing file is overwritten only after a yes.
    """
    console = console_for(None)
    asker = Asker(console, may_ask=not yes and sys.stdin.isatty())
    if not yes and not sys.stdin.isatty():
        raise ConfigError(
            "init asks questions, and there is no terminal to answer them. Use --yes for the defaults."
        )
    if out.exists() and not asker.agrees(f"{out} exists. Overwrite it?", otherwise=False):
        raise ConfigError(
            f"{out} exists and was left as it is. Name another file with --out, or move it away."
        )
    core = None if micromanager is None else _core(asker, micromanager)
    drives_stages = core is not None and not core.problems
    board = None if drives_stages else _board(asker, port)
    camera = _camera(asker) if core is None or core.size_px is None else None
    instrument = _asked(asker, board, camera, core)
    text = toml_of(instrument)
    config_from_toml(text, str(out))  # what is written can be read
    with whole_file(out) as file:
        file.write(text.encode())
    say(console, f"wrote {out}; now `parfocal doctor` looks at every part:")
    doctor(config=out)


def _board(asker: Asker, port: str | None) -> FoundBoard | None:
    """The board at `port`, or the one that is chosen of those that answer."""
    console = asker.console
    asked = [port] if port is not None else []
    if port is None:
        for usb in usb_ports():
            question = f"Ask {usb} who it is? A board with a serial adapter may restart."
            if found.is_ours(usb) or asker.agrees(question, otherwise=True):
                asked.append(usb.name)
    boards = []
    for name in asked:
        say(console, f"asking {name} ...")
        answer = found.board_at(name)
        say(console, f"  {answer.told if isinstance(answer, FoundBoard) else answer}")
        if isinstance(answer, FoundBoard):
            boards.append(answer)
    if not boards:
        say(console, "no board found; the file gets a line to fill in")
        return None
    if len(boards) == 1:
        return boards[0]
    names = [f"{board.port}: {board.told}" for board in boards]
    return boards[names.index(asker.choice("Which board?", names))]


def _camera(asker: Asker) -> FoundCamera | FoundGenicam | None:
    cameras: list[FoundCamera | FoundGenicam] = [*found.cameras(), *found.genicam_cameras()]
    if not cameras:
        say(asker.console, "no camera found; the file gets a line to fill in")
        return None
    say(asker.console, f"cameras: {', '.join(map(str, cameras))}")
    if len(cameras) == 1:
        return cameras[0]
    names = [str(camera) for camera in cameras]
    return cameras[names.index(asker.choice("Which camera?", names))]


def _core(asker: Asker, file: Path) -> FoundCore:
    """What Micro-Manager drives. Raises BoardError."""
    core = found.core_of(str(file.resolve()))
    camera = "no camera" if core.size_px is None else "a camera of {} x {} px".format(*core.size_px)
    say(asker.console, f"{core.told}; {camera}")
    if core.problems:
        say(asker.console, f"its stages are not used: {'; '.join(core.problems)}")
    return core


def _asked(
    asker: Asker,
    board: FoundBoard | None,
    camera: FoundCamera | FoundGenicam | None,
    core: FoundCore | None,
) -> Instrument:
    """The answers, and what follows from them."""
    mode = best_mode(camera.modes, CameraConfig()) if isinstance(camera, FoundCamera) else None
    if isinstance(camera, FoundCamera) and len(camera.modes) > 1 and mode is not None:
        say(asker.console, f"modes of the camera; {mode} fits best")
        modes = sorted(camera.modes, key=lambda other: other != mode)[:12]
        names = [str(each) for each in modes]
        mode = modes[names.index(asker.choice("Which mode?", names))]
    objective, scale = asker.together(lambda: _seen_through(asker))
    if core is not None and not core.problems:
        screws = dict(SCREWS)
        return Instrument(board, camera, mode, objective, scale, screws, axes_from_screws(screws, None), core)
    travel_steps = None if board is None else board.travel_steps

    def driven() -> Instrument:
        screws = _screws(asker)
        axes = axes_from_screws(screws, travel_steps)
        made = Instrument(board, camera, mode, objective, scale, screws, axes, core)
        config_from_toml(toml_of(made), "with these screws")
        return made

    return asker.together(driven)


def _seen_through(asker: Asker) -> tuple[str, float]:
    """The objective, and the size of a pixel on the sample, um. Raises ValueError for one that no microscope has."""
    objective = asker.value("Objective (magnification/aperture)", FocusConfig().objective, magnification_of)
    pixel_um = asker.value("Pixel of the camera's sensor, um", _PIXEL_UM, _require_positive)
    adapter = asker.value("Magnification between objective and camera", _ADAPTER, _require_positive)
    return objective, um_per_px(pixel_um, magnification_of(objective), adapter)


def _screws(asker: Asker) -> dict[str, Screw]:
    leads_mm = {
        name: asker.value(
            f"{name.upper()}: lead of the screw, mm a turn", SCREWS[name].lead_mm, _require_positive
        )
        for name in AXIS_NAMES
    }
    steps = asker.value("Full steps a turn of the motors", SCREWS["z"].steps_per_turn, _require_positive)
    microsteps = asker.value("Microsteps a full step", SCREWS["z"].microsteps, _require_positive)
    return {name: Screw(lead_mm, steps, microsteps) for name, lead_mm in leads_mm.items()}


def _require_positive(value: float) -> None:
    if not value > 0.0:
        raise ValueError("a positive number, please")
