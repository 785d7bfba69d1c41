"""An instrument that is ready to work."""

import contextlib
from collections.abc import Callable, Iterator

import msgspec

from parfocal.board.board import Board
from parfocal.board.clock import Clock, MonotonicClock
from parfocal.board.guarded import open_guarded
from parfocal.edge.camera.frame import Camera
from parfocal.edge.camera.video import VideoCamera
from parfocal.edge.config import Config


class FieldTruth(msgspec.Struct, frozen=True):
    """What only a simulation knows: height of the focus and of the stage, both true."""

    focus_z_um: float
    stage_z_um: float


TruthAt = Callable[[float, float], FieldTruth]


class Instrument(msgspec.Struct, frozen=True):
    """Board, camera and clock that belong together; `truth_at` only where a simulation knows the truth.

    `may_home` lets a run home the axes by itself: a virtual stage may; in a real one somebody looks first.
    `notes`: what to know of its pictures, to be shown before a run.
    """

    board: Board
    camera: Camera
    clock: Clock
    truth_at: TruthAt | None = None
    may_home: bool = False
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def real_instrument(config: Config) -> Iterator[Instrument]:
    """The board at the configured port and the configured video device.

    Raises what `open_guarded` does, and CameraFailed.
    """
    clock = MonotonicClock()
    with open_guarded(config.board, clock) as board:
        camera = VideoCamera(config.camera)
        try:
            yield Instrument(board, camera, clock, notes=camera.notes)
        finally:
            camera.close()
