"""`parfocal doctor`: look for every part of the instrument, and say what to do about those that are not ok."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import typer
from rich.text import Text

from parfocal.board.clock import MonotonicClock
from parfocal.board.errors import BoardError
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.gpio import GpioConfig, GpioFailed, Lines, imported_library
from parfocal.board.link.ports import port_path, usb_ports
from parfocal.board.link.probe import Probed
from parfocal.board.open import foreign_serial
from parfocal.calib.errors import CalibError
from parfocal.calib.store import Calibration, Store
from parfocal.edge.camera.opened import open_camera
from parfocal.edge.camera.video import device_path
from parfocal.edge.cli import findings as findings_of
from parfocal.edge.cli.ending.end import one_line
from parfocal.edge.cli.findings import Finding, Verdict
from parfocal.edge.cli.options import (
    ConfigOption,
    JsonOption,
    PortOption,
    SimOption,
    configured,
    probed_board,
    with_port,
)
from parfocal.edge.cli.showing.output import check_writable, console_for, write_json
from parfocal.edge.config import Config, chosen_path
from parfocal.edge.engine import opened_engine
from parfocal.edge.errors import CameraFailed, ConfigError
from parfocal.edge.measured.calibration import store_for
from parfocal.edge.measured.optics_in_use import Which, damaged_of
from parfocal.edge.scan.due import noted
from parfocal.engines.errors import EngineError
from parfocal.engines.model.contract import Contract, contract_from_onnx
from parfocal.engines.model.shipped import Model, list_models, model_path

_STYLES: dict[Verdict, str] = {"ok": "green", "missing": "yellow", "wrong": "red"}


def doctor(
    sim: SimOption = False,
    config: ConfigOption = None,
    port: PortOption = None,
    json: JsonOption = None,
) -> None:
    """Check software, board, camera, engine, GPIO lines and calibration. Nothing is moved or lit."""
    check_writable(json)
    try:
        settings, error = configured(config, port), None
    except ConfigError as refused:
        settings, error = with_port(Config(), port), refused
    console = console_for(json)
    findings = list[Finding]()
    looked = _looked(settings, sim, virtual=sim and port is None)
    first = [
        findings_of.of_software(_package_version()),
        findings_of.of_configuration(chosen_path(config), error),
    ]
    for found in itertools.chain(first, looked):  # each is shown before the next is looked for
        # File names are not always valid text; JSON must be.
        finding = msgspec.structs.replace(found, told=one_line(found.told))
        findings.append(finding)
        mark = (f"{finding.verdict:8}", _STYLES[finding.verdict])
        console.print(Text.assemble(mark, f"{finding.subject:17}", finding.told), soft_wrap=True)
        console.file.flush()
    write_json(json, findings)
    raise typer.Exit(findings_of.first_exit_code(findings))


def _looked(settings: Config, sim: bool, virtual: bool) -> Iterator[Finding]:
    """A finding on every part, as each is looked for. `virtual`: the board is a stub in virtual time."""
    of_board, answer = _of_board(settings, virtual)
    yield from of_board
    yield findings_of.of_simulated_camera(settings) if sim else _of_camera(settings)
    installed, used = _models(settings)
    yield findings_of.of_models(installed, used, settings)
    yield findings_of.of_engine(None if isinstance(used, EngineError) else _engine(settings))
    yield findings_of.simulated("GPIO lines", "not used") if sim else _of_gpio(settings.board.gpio)
    now, store = datetime.now(timezone.utc), _store(answer, settings)
    found = _calibration(store)
    damaged: dict[Which, str] = {}
    if isinstance(found, Calibration) and isinstance(store, Store):
        damaged = damaged_of(found, settings, store)
    yield from findings_of.of_calibration(found, settings, now, damaged)
    if isinstance(store, Store):
        in_force = found if isinstance(found, Calibration) else store.empty()
        yield from findings_of.of_due(noted(store, in_force), now)


def _of_board(config: Config, virtual: bool) -> tuple[list[Finding], Probed | Recognised | BoardError | None]:
    """Findings on port, USB ports and board; and what the board answered, None without a port."""
    if virtual:
        stub = probed_board(config, virtual)
        port = findings_of.simulated("board port", "a stub in virtual time")
        return [port, findings_of.of_board(stub)], stub
    path = _path_of_port(config)
    there = path if isinstance(path, Path) and path.exists() else None
    answer: Probed | Recognised | BoardError | None = None
    if there is not None:
        try:
            answer = probed_board(config, virtual)
        except BoardError as error:
            answer = error
    findings = [
        findings_of.of_port(config.board, path),
        *findings_of.of_usb_ports(usb_ports(), there),
        findings_of.of_board(answer),
    ]
    return findings, answer


def _path_of_port(config: Config) -> Path | ValueError | BoardError:
    if config.board.micromanager:
        return Path(config.board.micromanager)
    try:
        return Path(port_path(config.board.port))
    except (ValueError, BoardError) as error:
        return error


def _store(answer: Probed | Recognised | BoardError | None, config: Config) -> Store | CalibError | None:
    """The store of the board that answered, with the configured objective; None if no board answered."""
    if answer is None or isinstance(answer, BoardError):
        return None
    serial = answer.unit_serial if isinstance(answer, Probed) else foreign_serial(config.board)
    try:
        return store_for(serial, config)
    except CalibError as error:
        return error


def _calibration(store: Store | CalibError | None) -> Calibration | CalibError | None:
    """What was measured on this microscope."""
    if not isinstance(store, Store):
        return store
    try:
        return store.load()
    except CalibError as error:
        return error


def _of_camera(config: Config) -> Finding:
    try:
        is_there = config.camera.kind != "v4l2" or device_path(config.camera).exists()
    except CameraFailed as error:
        return findings_of.of_camera(config, True, error)
    notes: tuple[str, ...] = ()
    failed = None
    if is_there:
        try:
            camera, notes = open_camera(config.camera)
            camera.close()
        except CameraFailed as error:
            failed = error
    return findings_of.of_camera(config, is_there, failed, notes)


def _of_gpio(config: GpioConfig) -> Finding:
    """Set up and read only the e-stop line: it is an input, so this drives nothing."""
    seen: bool | GpioFailed | None = None
    try:
        imported_library()
        is_usable = True
    except GpioFailed as error:
        is_usable, seen = False, error
    if is_usable and config.estop_pin is not None:
        try:
            with Lines(GpioConfig(estop_pin=config.estop_pin), MonotonicClock()) as lines:
                seen = lines.estop_pressed()
        except GpioFailed as error:
            seen = error
    return findings_of.of_gpio(config, is_usable, seen)


def _models(config: Config) -> tuple[list[Model], Contract | EngineError]:
    """The installed models, and the contract of the configured one."""
    try:
        return list_models(), contract_from_onnx(model_path(config.focus.model))
    except EngineError as error:
        return [], error


def _engine(config: Config) -> str | EngineError:
    """The engine that `focus` would use. Only opening it shows that its file is there, undamaged and not stale."""
    try:
        return opened_engine(config.focus).description
    except EngineError as error:
        return error


def _package_version() -> str | None:
    try:
        return version("parfocal")
    except PackageNotFoundError:
        return None
