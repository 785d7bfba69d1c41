"""How long after its trigger a camera exposes: flashes of the board's lamp that come later and later. Nothing moves."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np

from parfocal.calib.camera.exposure_window import ExposureWindow, window_from_levels
from parfocal.edge.calibrate.curves import Step
from parfocal.edge.camera.frame import TriggeredCamera
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.pixels import UInt8Array

_N_BANDS = 8
_N_FLASHES = 2  # a delay
_WIDTH_SHARE = 1.0 / 8.0  # of the exposure: long enough to be seen, short enough to find its edges
_FRAME_S = 1.0  # how long a frame may take to come over the cable
_BRIGHT, _GOOD = 220.0, 120.0  # grey levels: above the first, flashes are dimmed to the second


@runtime_checkable
class Strobing(Protocol):
    """A board that triggers and flashes by time."""

    def strobe(self, count: int, period_s: float, delay_s: float, width_s: float, duty: float) -> None:
        """Trigger the camera `count` times and flash."""


def n_steps(config: Config) -> int:
    """How many steps `run` reports."""
    return len(_delays_s(config))


class TriggerCalibration:
    """Measures when the lines of the triggered camera expose."""

    def __init__(self, instrument: Instrument, config: Config, step: Step) -> None:
        """Nothing is lit. Raises ConfigError if board or camera cannot be triggered."""
        board, camera = instrument.board, instrument.triggered
        if not (isinstance(board, Strobing) and instrument.board.capabilities.has_strobe):
            raise ConfigError("this board gives no triggers, so their delay cannot be measured")
        if camera is None:
            raise ConfigError(
                "the camera runs free, so there is no delay to measure: set camera.trigger_line (docs/cameras.md)"
            )
        self._board: Strobing = board
        self._camera: TriggeredCamera = camera
        self._config, self._step = config, step
        self._width_s = _WIDTH_SHARE * config.camera.exposure_s
        self._duty = 1.0

    def run(self) -> ExposureWindow:
        """Flash sooner and later after the trigger. Raises CalibPoor, BoardError, CameraFailed."""
        delays_s = _delays_s(self._config)
        with self._armed():
            # In the middle of a global shutter's exposure, and in no band of a rolling one brighter than there.
            brightest = self._levels(self._config.camera.exposure_s / 2.0).max()
            if brightest > _BRIGHT:
                self._duty = _GOOD / 255.0
            levels = []
            for delay_s in delays_s:
                levels.append(self._levels(float(delay_s)))
                self._step(f"flash {1e3 * delay_s:.2f} ms after the trigger")
        return window_from_levels(delays_s, np.array(levels), self._width_s)

    def _levels(self, delay_s: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Mean grey level of each band of lines under flashes of this delay, (bands,)."""
        period_s = (
            delay_s + self._width_s + self._config.camera.exposure_s + self._config.camera.frame_period_s
        )
        self._board.strobe(_N_FLASHES, period_s, delay_s, self._width_s, self._duty)
        bands = [_bands(self._camera.grab(_FRAME_S + period_s).pixels) for _ in range(_N_FLASHES)]
        return np.asarray(np.mean(bands, axis=0), np.float64)

    @contextlib.contextmanager
    def _armed(self) -> Iterator[None]:
        self._camera.arm(_N_FLASHES)
        try:
            yield
        finally:
            self._camera.disarm()


def flash_delay_s(window: ExposureWindow) -> float:
    """What to set `scan.flash_delay_s` to, s: all lines surely expose; to 10 us."""
    return math.ceil(1e5 * (window.delay_s + window.uncertainty_s)) / 1e5


def _delays_s(config: Config) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Delays from 0 until after the last line of a rolling shutter, a flash apart."""
    width_s = _WIDTH_SHARE * config.camera.exposure_s
    last_s = config.camera.exposure_s + config.camera.frame_period_s + 2.0 * width_s
    return np.arange(0.0, last_s, width_s)


def _bands(pixels: UInt8Array) -> list[float]:
    """Mean grey level of each band of lines, from the top."""
    return [float(part.mean()) for part in np.array_split(pixels, _N_BANDS, axis=0)]
