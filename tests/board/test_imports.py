"""The board needs no vision and no inference library: a program that only moves the stage starts fast."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["parfocal.board", "parfocal.board.own.board", "parfocal.board.guarded"])
def test_importing_the_board_loads_neither_opencv_nor_openvino(module: str) -> None:
    program = f"import sys, {module}; print([name for name in ('cv2', 'openvino') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout == "[]\n"
