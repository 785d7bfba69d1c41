"""Micro-Manager's own demo devices to test: files that load them, and cores that misbehave."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import X_DEFAULT, Y_DEFAULT, BoardConfig
from parfocal.board.foreign.board import ForeignBoard
from parfocal.board.foreign.memory import Memory, NoFile
from parfocal.board.open import open_micromanager

DEVICES = """\
Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,Z,DemoCamera,DStage
Device,XY,DemoCamera,DXYStage
Property,Core,Initialize,1
Property,XY,Velocity,100.0
Property,Core,Camera,Camera
Property,Core,Focus,Z
Property,Core,XYStage,XY
"""
UPWARDS = "FocusDirection,Z,1\n"
AT_REST = 0.0  # the demo stages do not swing


def file_of(folder: Path, devices: str = DEVICES + UPWARDS) -> str:
    """A configuration file that loads `devices`; its test skips where Micro-Manager is missing."""
    pytest.importorskip("pymmcore")
    pytest.importorskip("mm_test_adapters")
    file = folder / "MMConfig.cfg"
    file.write_text(devices)
    return str(file)


def board_config(file: str) -> BoardConfig:
    x, y = (
        msgspec.structs.replace(axis, play_um=0.0, settle_s=AT_REST, um_per_step=0.25)
        for axis in (X_DEFAULT, Y_DEFAULT)
    )
    z = msgspec.structs.replace(BoardConfig().z, play_um=0.0, settle_s=AT_REST)
    return BoardConfig(kind="micromanager", micromanager=file, x=x, y=y, z=z)


def declared(file: str, memory: Memory | None = None, z_um: float = 700.0) -> ForeignBoard:
    """Open, and declared to stand at 20000, 10000 and `z_um`, where the devices say 0."""
    board = open_micromanager(MonotonicClock(), board_config(file), NoFile() if memory is None else memory)
    board.declare(20_000.0, 10_000.0, z_um)
    return board
