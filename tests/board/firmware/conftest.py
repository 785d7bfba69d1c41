"""What `make firmware` builds, once for all tests, and the emulated RP2040."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from parfocal.board.stub.firmware.library import SOURCES
from tests.board.firmware.emulator.emulated import EmulatedBoard

# `make firmware-check` puts it there.
RP2040JS = Path(os.environ.get("RP2040JS", Path(__file__).parents[3] / "build" / "rp2040js"))
FAST = Path(__file__).parent / "emulator" / "fast.c"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of library and program. A warning of the compiler is an error."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler `cc` or no `make` here")
    folder = tmp_path_factory.mktemp("made")
    subprocess.run(["make", "--silent", "-C", SOURCES, f"OUT={folder}"], check=True)
    return folder


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image for the RP2040, with the stage of the paper."""
    return _image(tmp_path_factory.mktemp("rp2040"))


@pytest.fixture(scope="session")
def fast_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image of a stage that follows 20,000 steps/s on every axis."""
    return _image(tmp_path_factory.mktemp("fast"), f"CONFIG={FAST}")


def _image(out: Path, *options: str) -> Path:
    if shutil.which("arm-none-eabi-gcc") is None or shutil.which("make") is None:
        pytest.skip("no compiler for the RP2040 here: `apt install gcc-arm-none-eabi`")
    subprocess.run(["make", "--silent", "-C", SOURCES / "rp2040", f"OUT={out}", *options], check=True)
    return out / "parfocal-rp2040.bin"


@pytest.fixture(scope="session")
def emulator() -> Path:
    """The folder of rp2040js."""
    if shutil.which("node") is None or not (RP2040JS / "node_modules" / "rp2040js").is_dir():
        pytest.skip("no emulator here: `make firmware-check` fetches rp2040js and runs this test")
    return RP2040JS


@pytest.fixture
def emulated(emulator: Path, image: Path) -> Iterator[EmulatedBoard]:
    """A board that has just started."""
    board = EmulatedBoard(image, emulator)
    yield board
    board.close()


@pytest.fixture(scope="module")
def fast(emulator: Path, fast_image: Path) -> Iterator[EmulatedBoard]:
    """One board for all tests of a module, with the stage of `fast.c`."""
    board = EmulatedBoard(fast_image, emulator)
    yield board
    board.close()
