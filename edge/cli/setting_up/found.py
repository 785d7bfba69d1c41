"""What `parfocal init` finds by itself: boards that answer, and cameras with their modes."""

from __future__ import annotations

import msgspec

from parfocal.board.clock import MonotonicClock
from parfocal.board.config import PORT_KINDS, BoardConfig
from parfocal.board.errors import BoardError, BoardNotFound
from parfocal.board.flash.flash import PRODUCT_ID, VENDOR_ID
from parfocal.board.foreign.dialect import Recognised
from parfocal.board.foreign.mmcore import MicroManagerFailed, open_core
from parfocal.board.link.ports import UsbPort
from parfocal.board.link.probe import Probed
from parfocal.board.open import probe_board
from parfocal.edge.camera import v4l2
from parfocal.edge.camera.devices import VideoDevice, video_devices
from parfocal.edge.camera.v4l2 import Mode
from parfocal.edge.camera.vision.aravis import cameras_there, size_and_inputs
from parfocal.edge.errors import CameraFailed


class FoundBoard(msgspec.Struct, frozen=True):
    """A board that answered: its kind, its port as the configuration names it, and what it said."""

    kind: str
    port: str
    told: str
    travel_steps: tuple[int, int, int] | None = None


class FoundCore(msgspec.Struct, frozen=True):
    """A configuration file of Micro-Manager: what its stages are and what speaks against them, and its camera.

    `size_px`: width and height of a frame, None without a camera.
    """

    path: str
    told: str
    problems: tuple[str, ...]
    size_px: tuple[int, int] | None


class FoundCamera(msgspec.Struct, frozen=True):
    """A video device that captures images, and its modes; none where the driver lists none."""

    device: VideoDevice
    modes: tuple[Mode, ...]

    def __str__(self) -> str:
        return str(self.device)


class FoundGenicam(msgspec.Struct, frozen=True):
    """A USB3 Vision or GigE Vision camera, the size of its sensor, px, and its inputs for triggers.

    `size_px` is None where it answers but cannot be opened.
    """

    name: str
    told: str
    size_px: tuple[int, int] | None
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.told})"


def board_at(port: str) -> FoundBoard | str:
    """The board at a port, asked in every protocol until one is understood; else what was heard in our own.

    Nothing moves. A board with a serial adapter may restart when its port opens.
    """
    why = ""
    for kind in PORT_KINDS:
        try:
            answer = probe_board(BoardConfig(kind=kind, port=port), MonotonicClock())
        except BoardError as error:
            why = why or str(error)
            continue
        if isinstance(answer, Probed):
            told = f"board {answer.unit_serial} with firmware {answer.firmware_version}"
            return FoundBoard(kind, port, told, answer.max_steps)
        return FoundBoard(kind, port, answer.firmware)
    return why


def core_of(path: str) -> FoundCore:
    """What a configuration file of Micro-Manager holds. Raises BoardError, with what Micro-Manager says."""
    config = BoardConfig(kind="micromanager", micromanager=path)
    try:
        shared = open_core(path)
    except MicroManagerFailed as failed:
        raise BoardNotFound(f"{path} not loaded by Micro-Manager: {failed}.") from failed
    try:
        stages = probe_board(config, MonotonicClock())
        core = shared.core
        size_px = (core.getImageWidth(), core.getImageHeight()) if core.getCameraDevice() else None
    finally:
        shared.close()
    problems = stages.problems if isinstance(stages, Recognised) else ()
    told = stages.firmware if isinstance(stages, Recognised) else ""
    return FoundCore(path, told, problems, size_px)


def is_ours(port: UsbPort) -> bool:
    """Whether a USB port says that it is a board of our own protocol."""
    return (port.vendor_id, port.product_id) == (VENDOR_ID, PRODUCT_ID)


def cameras() -> list[FoundCamera]:
    """Every video device that captures images. A device that this user may not open is listed without modes."""
    found = (_camera(device) for device in video_devices())
    return [camera for camera in found if camera is not None]


def genicam_cameras() -> list[FoundGenicam]:
    """Every camera that Aravis finds; takes a second. None where Aravis is not installed."""
    try:
        there = cameras_there()
    except CameraFailed:
        return []
    return [_genicam(name, told) for name, told in there]


def _genicam(name: str, told: str) -> FoundGenicam:
    try:
        return FoundGenicam(name, told, *size_and_inputs(name))
    except CameraFailed:
        return FoundGenicam(name, told, None, ())


def _camera(device: VideoDevice) -> FoundCamera | None:
    try:
        with v4l2.opened(device.path) as call:
            return FoundCamera(device, tuple(v4l2.modes(call))) if v4l2.description(call).is_camera else None
    except OSError:
        return FoundCamera(device, ())
