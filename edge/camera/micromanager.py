"""A camera that Micro-Manager drives. Every frame is exposed when it is asked for."""

from __future__ import annotations

import functools
import time
from typing import Any

import numpy as np

from parfocal.board.foreign.mmcore import ANSWER_S, MicroManagerFailed, open_core
from parfocal.edge.camera.frame import CameraSettings, Frame
from parfocal.edge.config import CameraConfig
from parfocal.edge.errors import CameraFailed
from parfocal.edge.pixels import UInt8Array

_SAME_EXPOSURE = 0.05
_MS_PER_S = 1000.0


class MicroManagerCamera:
    """Snaps one image for each `grab`, so it never gives an old one.

    `notes` lists, a sentence each, what is not ideal but does not prevent use.
    """

    def __init__(self, config: CameraConfig) -> None:
        """Open the camera; nothing is exposed or lit. Raises CameraFailed."""
        self._config = config
        try:
            self._shared = open_core(config.micromanager)
        except MicroManagerFailed as failed:
            raise CameraFailed(f"Micro-Manager not opened: {failed}. Set camera.micromanager.") from failed
        try:
            self.notes = self._prepared()
        except MicroManagerFailed as failed:
            self.close()
            raise CameraFailed(f"camera of Micro-Manager not opened: {failed}.") from failed
        except CameraFailed:
            self.close()
            raise

    def grab(self) -> Frame:
        """A frame exposed now; waits for it. Raises CameraFailed."""
        core, start_s = self._shared.core, time.monotonic()

        def snapped() -> Any:  # noqa: ANN401  # of whatever type the camera gives
            core.snapImage()
            return core.getImage(), core.getImageBitDepth()

        try:
            image, bits = self._shared.ask(snapped, ANSWER_S + 2.0 * self._config.exposure_s)
        except MicroManagerFailed as failed:
            raise CameraFailed(
                f"no picture from Micro-Manager: {failed}. Check the camera and its cable."
            ) from failed
        rgb = functools.partial(rgb_from_image, image, bits)
        if image.shape[:2] != (self._config.height_px, self._config.width_px):
            raise self._wrong_size(image.shape[1], image.shape[0])
        return Frame(start_s, rgb)

    def settings(self) -> CameraSettings:
        """The exposure as the camera reports it. Raises CameraFailed."""
        try:
            return CameraSettings(exposure_s=self._exposure_s())
        except MicroManagerFailed as failed:
            raise CameraFailed(f"exposure not read: {failed}. Check the camera.") from failed

    def set_exposure(self, exposure_s: float) -> float:
        """Set the exposure; returns the one in effect, s. Raises CameraFailed."""
        core, label = self._shared.core, self._label
        try:
            self._shared.ask(lambda: core.setExposure(label, exposure_s * _MS_PER_S))
            return self._exposure_s()
        except MicroManagerFailed as failed:
            raise CameraFailed(f"exposure of {exposure_s} s refused: {failed}.") from failed

    def close(self) -> None:
        """Release the camera."""
        self._shared.close()

    def _prepared(self) -> tuple[str, ...]:
        """Choose and set the camera; what is not ideal about it."""
        core, config = self._shared.core, self._config
        self._label = config.device if isinstance(config.device, str) else core.getCameraDevice()
        if not self._label or self._label not in core.getLoadedDevices():
            raise CameraFailed(
                f"camera {config.device!r} is not in {config.micromanager}. Set camera.device to the label of one "
                "of its cameras, or 0 for the one that it names (`Property,Core,Camera,...`)."
            )
        self._shared.ask(lambda: core.setCameraDevice(self._label))
        width_px, height_px = core.getImageWidth(), core.getImageHeight()
        if (width_px, height_px) != (config.width_px, config.height_px):
            raise self._wrong_size(width_px, height_px)
        self._shared.ask(lambda: core.setExposure(self._label, config.exposure_s * _MS_PER_S))
        notes = []
        in_effect_s = self._exposure_s()
        if abs(in_effect_s - config.exposure_s) > _SAME_EXPOSURE * config.exposure_s:
            notes.append(f"exposes {in_effect_s:g} s, not {config.exposure_s:g} s as configured")
        if core.getNumberOfComponents() == 1:
            notes.append("gives grey images; the models were made for colour")
        if not core.getAutoShutter():
            notes.append("Micro-Manager's automatic shutter is off; turn the light on by hand")
        return tuple(notes)

    def _exposure_s(self) -> float:
        return float(self._shared.ask(lambda: self._shared.core.getExposure(self._label))) / _MS_PER_S

    def _wrong_size(self, width_px: int, height_px: int) -> CameraFailed:
        return CameraFailed(
            f"camera {self._label} gives {width_px} x {height_px} px, and {self._config.width_px} x "
            f"{self._config.height_px} are configured. Set camera.width_px and camera.height_px, or its binning."
        )


def rgb_from_image(image: Any, bits: int) -> UInt8Array:  # noqa: ANN401  # of whatever type the camera gives
    """RGB uint8 (h, w, 3) of an image as Micro-Manager gives it: grey of 8 or 16 bits, or colour of 8.

    `bits`: significant bits of a grey value. Colour is one uint32 a pixel: blue in its lowest byte, then green, red.
    Raises CameraFailed for any other type.
    """
    if image.dtype == np.uint32 and image.ndim == 2:
        little = np.ascontiguousarray(image, "<u4").view(np.uint8).reshape(*image.shape, 4)
        return np.ascontiguousarray(little[..., 2::-1])
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.ascontiguousarray(image)
    if image.ndim == 2 and image.dtype in (np.uint8, np.uint16):
        grey = image if image.dtype == np.uint8 else (image >> max(bits - 8, 0)).clip(0, 255)
        return np.repeat(grey.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    raise CameraFailed(
        f"image of {image.dtype} with shape {image.shape} not understood. Set the camera's pixel type in "
        "Micro-Manager to 8bit, 16bit or 32bitRGB."
    )
