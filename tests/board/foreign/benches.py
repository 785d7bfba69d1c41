"""Foreign boards to test: a stub of each kind on a bench, and what can happen on its cable."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parfocal.board.config import X_DEFAULT, Y_DEFAULT, BoardConfig
from parfocal.board.foreign.board import ForeignBoard
from parfocal.board.stub.foreign.grbl_stub import GrblStub
from parfocal.board.stub.foreign.sangaboard_stub import SangaboardStub
from parfocal.board.stub.foreign.text_bench import TextBench

GRBL = BoardConfig(kind="grbl", spindle_lamp=True)
OFFSET_UM = 4.0  # between 0 of a homed axis and 0 of the stub's stage: the ramp down of its slow homing leg

X = msgspec.structs.replace(X_DEFAULT, speed_um_per_s=4000.0, accel_um_per_s2=100_000.0)
Y = msgspec.structs.replace(Y_DEFAULT, speed_um_per_s=4000.0, accel_um_per_s2=100_000.0)
SANGABOARD = BoardConfig(kind="sangaboard", x=X, y=Y)

Damage = Callable[[bytes], bytes]


def grbl() -> tuple[TextBench, GrblStub]:
    bench = TextBench(GRBL)
    assert isinstance(bench.stub, GrblStub)
    return bench, bench.stub


def homed_grbl() -> tuple[TextBench, GrblStub, ForeignBoard]:
    bench, stub = grbl()
    board = bench.open_board()
    board.home()
    return bench, stub, board


def sangaboard() -> tuple[TextBench, SangaboardStub]:
    bench = TextBench(SANGABOARD)
    assert isinstance(bench.stub, SangaboardStub)
    return bench, bench.stub


def declared_sangaboard() -> tuple[TextBench, SangaboardStub, ForeignBoard]:
    """The stub starts at 6000, 4000, 700 um."""
    bench, stub = sangaboard()
    board = bench.open_board()
    board.declare(6000.0, 4000.0, 700.0)
    assert board.z.is_homed
    return bench, stub, board


def true_z_um(bench: TextBench) -> float:
    bench.clock.sleep_s(0.5)
    return bench.true_um(bench.clock.now_s())[2]


def once(line_start: bytes, become: Damage) -> Damage:
    """Damage the first bytes that begin so."""
    left = [1]

    def damage(data: bytes) -> bytes:
        if left[0] and data.startswith(line_start):
            left[0] = 0
            return become(data)
        return data

    return damage
