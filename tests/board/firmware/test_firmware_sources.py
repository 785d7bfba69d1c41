"""What the C sources promise: a fresh message header, the stage of the paper, no heap, no floating point."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from parfocal.board.stub.config import StubConfig
from parfocal.board.stub.firmware.firmware_board import config_row
from parfocal.board.stub.firmware.library import SOURCES, AxisRow, BoardRow, firmware_library
from parfocal.board.stub.stage.ratings import Ratings
from tools.firmware.c_header import HEADER, header

STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-pedantic")
# Compiling takes longer than the packets. `make firmware-fuzz` optimises, and sends millions.
OPTIMISED_LESS = "OPTIMISATION=-O0"
OUTSIDE = {"memcpy", "memset", "memmove", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_"}


def test_the_message_header_matches_the_table() -> None:
    assert HEADER.read_text() == header(), "run `python -m tools.firmware.c_header`"
    assert HEADER.parent == SOURCES


@pytest.mark.usefixtures("firmware")
def test_the_firmware_of_the_paper_s_stage_has_the_numbers_of_the_stub() -> None:
    compiled = BoardRow.in_dll(firmware_library(), "pf_paper_stage")
    stub = StubConfig()
    expected = config_row(Ratings((stub.x, stub.y, stub.z)))
    assert compiled.features == expected.features
    assert (compiled.lens_min_ua, compiled.lens_max_ua) == (expected.lens_min_ua, expected.lens_max_ua)
    for i in range(3):
        for name, *_ in AxisRow._fields_:
            assert getattr(compiled.axis[i], name) == getattr(expected.axis[i], name), (i, name)
    assert ctypes.sizeof(compiled) == 3 * ctypes.sizeof(AxisRow) + 12


@pytest.mark.usefixtures("firmware")
def test_the_core_has_no_floating_point_no_heap_and_no_library(tmp_path: Path) -> None:
    core = sorted(SOURCES.glob("*.c"))
    is_x86 = ctypes.sizeof(ctypes.c_void_p) == 8 and "x86" in _machine()
    without_floats = ["-mgeneral-regs-only"] if is_x86 or "aarch64" in _machine() else []
    for source in core:
        made = tmp_path / f"{source.stem}.o"
        subprocess.run(["cc", *STRICT, *without_floats, "-Os", "-c", "-o", made, source], check=True)
    defined: set[str] = set()
    wanted: set[str] = set()
    for line in subprocess.check_output(
        ["nm", *map(str, sorted(tmp_path.glob("*.o")))], text=True
    ).splitlines():
        if match := re.search(r" ([A-Za-z]) (\S+)$", line):
            (wanted if match[1] == "U" else defined).add(match[2])
    hal = {name for name in wanted if name.startswith("pf_hal_")}
    assert len(hal) == 19
    assert wanted - defined - hal <= OUTSIDE
    for source in core:
        assert not re.search(r"\b(float|double|malloc|free)\b", source.read_text()), source


def _machine() -> str:
    return subprocess.check_output(["uname", "-m"], text=True)


def test_the_makefile_builds_library_and_program_without_a_warning(made: Path) -> None:
    assert {file.name for file in made.iterdir() if file.is_file()} == {
        "libparfocal-board.so",
        "parfocal-board",
    }


def test_random_packets_move_nothing_and_trouble_no_sanitizer(tmp_path: Path) -> None:
    if shutil.which("cc") is None or shutil.which("make") is None:
        pytest.skip("no C compiler `cc` or no `make` here")
    target = tmp_path / "fuzz"
    built = subprocess.run(
        ["make", "--silent", "-C", SOURCES, f"OUT={tmp_path}", OPTIMISED_LESS, target],
        capture_output=True,
        text=True,
        check=False,
    )
    if "cannot find" in built.stderr and "san" in built.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    said = subprocess.check_output([target, "2000", "5"], text=True)
    assert "2000 random packets with a valid CRC: no step" in said
