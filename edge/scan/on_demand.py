"""Pictures of a scan, exposed when they are wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec

from parfocal.edge.camera.on_demand import OnDemandCamera, Triggering
from parfocal.edge.config import CameraConfig
from parfocal.edge.instrument import Instrument


def is_triggered(instrument: Instrument) -> bool:
    """Whether the board triggers the camera."""
    is_able = isinstance(instrument.board, Triggering) and instrument.board.capabilities.has_strobe
    return is_able and instrument.triggered is not None


@contextlib.contextmanager
def on_demand(instrument: Instrument, config: CameraConfig) -> Iterator[Instrument]:
    """The instrument with a camera that exposes when it is asked to, for as long as the block lasts.

    With a free-running one a picture waits for half a frame on average, and every switch to triggers and back for more
    than one. As it is, where the board does not trigger the camera. Raises CameraFailed.
    """
    board, camera = instrument.board, instrument.triggered
    if camera is None or not (isinstance(board, Triggering) and is_triggered(instrument)):
        yield instrument
        return
    camera.arm(1)
    try:
        exposed_s = None if instrument.trigger is None else instrument.trigger.exposed_s
        exposing = OnDemandCamera(instrument.camera, camera, board, instrument.clock, config, exposed_s)
        yield msgspec.structs.replace(instrument, camera=exposing)
    finally:
        camera.disarm()
