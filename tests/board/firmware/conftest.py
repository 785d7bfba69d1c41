"""What `make firmware` builds, once for all tests."""

import shutil
import subprocess
from pathlib import Path

import pytest

from parfocal.board.stub.firmware.library import SOURCES


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of library and program. A warning of the compiler is an error."""
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler `cc` or no `make` here")
    folder = tmp_path_factory.mktemp("made")
    subprocess.run(["make", "--silent", "-C", SOURCES, f"OUT={folder}"], check=True)
    return folder
