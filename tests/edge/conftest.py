"""Fixtures of the virtual microscope."""

import hashlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parfocal.edge.cli.ending.interrupts import ENDING
from parfocal.edge.config import Config
from parfocal.engines.cpu import openvino
from tests.edge.scope import Scope, small


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that do not exist yet, one for each test. Most tests write nothing there, and make none."""
    folder = tmp_path_factory.mktemp("users")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def no_engines_of_the_user(monkeypatch: pytest.MonkeyPatch, users: Iterator[Path]) -> None:
    """What was built, chosen and calibrated on this machine must not decide a test."""
    folder = next(users)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))


@pytest.fixture(scope="session")
def compiled_once() -> dict[object, Any]:
    """What OpenVINO compiled, by content of the model and settings."""
    return {}


@pytest.fixture(autouse=True)
def each_model_is_compiled_once(monkeypatch: pytest.MonkeyPatch, compiled_once: dict[object, Any]) -> None:
    """Every command compiles its model, which takes as long as its run on a small picture. Here they share it."""
    compile_anew = openvino._compiled

    def compiled(source: Path | bytes, *settings: Any) -> Any:  # noqa: ANN401
        content = source if isinstance(source, bytes) else source.read_bytes()
        key = (hashlib.sha256(content).digest(), *settings)
        if key not in compiled_once:
            compiled_once[key] = compile_anew(source, *settings)
        return compiled_once[key]

    monkeypatch.setattr(openvino, "_compiled", compiled)


@pytest.fixture
def config() -> Config:
    return small(Config())


@pytest.fixture
def scope(config: Config) -> Iterator[Scope]:
    made = Scope(config)
    yield made
    made.board.close()
    counters = made.board.counters
    assert counters.crc_errors == 0, counters
    assert counters.resends == 0, counters


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals as in a terminal, whatever this process inherited (nohup and `&` ignore some); put back afterwards.

    A command that was interrupted ignores signals until its process ends.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
