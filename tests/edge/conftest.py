"""Fixtures of the virtual microscope."""

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from parfocal.edge.cli.ending.interrupts import ENDING
from parfocal.edge.config import Config
from tests.compiled_once import share_compiled_models
from tests.edge.scope import Scope, small
from tests.rendered_once import share_pictures

# matplotlib lists all fonts once for each folder, in a second or two: no empty one for each test.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
FONTS = CACHE / "matplotlib"
# The library is named by what it was compiled from.
FIRMWARE = Path("parfocal", "firmware")


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
    monkeypatch.setenv("MPLCONFIGDIR", str(FONTS))


@pytest.fixture
def firmware(no_engines_of_the_user: None) -> None:  # noqa: ARG001  # it names the cache
    """The firmware, compiled once for this machine and not for each test. Without a C compiler its tests skip."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler `cc` here, so the firmware cannot be built")
    (CACHE / FIRMWARE).mkdir(parents=True, exist_ok=True)
    here = Path(os.environ["XDG_CACHE_HOME"], FIRMWARE)
    here.parent.mkdir(parents=True)
    here.symlink_to(CACHE / FIRMWARE)


@pytest.fixture(autouse=True)
def each_model_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command compiles its model. Here they share it."""
    share_compiled_models(monkeypatch)


@pytest.fixture(autouse=True)
def each_picture_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every virtual microscope draws its slide. Here they share what it looks like."""
    share_pictures(monkeypatch)


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
