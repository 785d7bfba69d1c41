"""`parfocal calibrate trigger`: when a camera exposes after its trigger, by flashes of the lamp. Nothing moves."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np

from parfocal.calib.camera.exposure_window import ExposureWindow, Floats, window_from_levels
from parfocal.calib.errors import CalibMissing, CalibPoor
from parfocal.calib.store import Store, TriggeredInput
from parfocal.edge.calibrate.curves import Step
from parfocal.edge.calibrate.keeper import Found, Keeper, KeptValue, Stamp
from parfocal.edge.camera.frame import TriggeredCamera
from parfocal.edge.config import Config
from parfocal.edge.errors import ConfigError
from parfocal.edge.instrument import Instrument
from parfocal.edge.measured.calibration import exposure_s_of
from parfocal.edge.measured.trigger_in_use import input_of
from parfocal.edge.pixels import UInt8Array

METHOD = "flashes of the lamp sooner and later after the trigger, an eighth of the exposure apart"
STEM = "trigger"
_N_BANDS = 8
_N_FLASHES = 2  # a delay
_WIDTH_SHARE = 1.0 / 8.0  # of the exposure: long enough to be seen, short enough to find its edges
_FRAME_S = 1.0  # how long a frame may take to come over the cable
_BRIGHT, _GOOD = 220.0, 120.0  # grey levels: above the first, flashes are dimmed, from white to the second
_LEAST_DUTY = 0.0005
_UNLIKE_SHARE = 0.05


@runtime_checkable
class Strobing(Protocol):
    """A board that triggers and flashes by time."""

    def strobe(self, count: int, period_s: float, delay_s: float, width_s: float, duty: float) -> None:
        """Trigger the camera `count` times and flash."""


def n_steps(config: Config) -> int:
    """How many steps `run` reports."""
    return len(_delays_s(config))


class RawTrigger(msgspec.Struct, frozen=True):
    """What the window was computed from; `refused` says why it was not kept.

    `levels`: (delays, bands), mean grey level of each band of lines under flashes of `width_s` that begin `delays_s`
    after the trigger.
    """

    input: TriggeredInput
    width_s: float
    delays_s: tuple[float, ...]
    levels: tuple[tuple[float, ...], ...]
    window: ExposureWindow | None = None
    refused: str | None = None


class TriggerCalibration:
    """Measures when the lines of the triggered camera expose."""

    def __init__(
        self, instrument: Instrument, config: Config, store: Store, stamp: Stamp, step: Step
    ) -> None:
        """Nothing is lit. Raises ConfigError if board or camera cannot be triggered.

        Raises CalibError for a store that could not take the result.
        """
        board, camera = instrument.board, instrument.triggered
        if not (isinstance(board, Strobing) and instrument.board.capabilities.has_strobe):
            raise ConfigError("this board gives no triggers, so their delay cannot be measured")
        if camera is None:
            raise ConfigError(
                "the camera runs free, so there is no delay to measure: set camera.trigger_line (docs/cameras.md)"
            )
        self._board: Strobing = board
        self._camera: TriggeredCamera = camera
        self._clock, self._config, self._step = instrument.clock, config, step
        self._keeper = Keeper(store, stamp)
        self._width_s = _WIDTH_SHARE * config.camera.exposure_s
        self._duty = 1.0

    def run(self) -> tuple[ExposureWindow, tuple[KeptValue, ...]]:
        """Flash sooner and later after the trigger, and keep the window.

        Raises CalibPoor where it is refused; the earlier one stays. BoardError, CameraFailed.
        """
        delays_s, levels = self._seen()
        raw = RawTrigger(
            input_of(self._config.camera, self._exposure_s()),
            self._width_s,
            tuple(delays_s.tolist()),
            tuple(map(tuple, levels.tolist())),
        )
        try:
            window = window_from_levels(delays_s, levels, self._width_s)
            self._check_exposure(window)
        except CalibPoor as error:
            raw = msgspec.structs.replace(raw, refused=str(error))
            raise self._keeper.poor(error, "the trigger", STEM, raw) from error
        return window, self._kept(window, msgspec.structs.replace(raw, window=window))

    def _seen(self) -> tuple[Floats, Floats]:
        """Delays of the flashes, (n,), and mean grey levels under them, (n, bands)."""
        delays_s = _delays_s(self._config)
        with self._armed():
            self._dim()
            levels = []
            for delay_s in delays_s:
                levels.append(self._levels(float(delay_s)))
                self._step(f"flash {1e3 * delay_s:.2f} ms after the trigger")
        return delays_s, np.array(levels)

    def _dim(self) -> None:
        """Dim the flashes until none saturates the picture. Raises CalibPoor for a lamp that is too bright."""
        # In the middle of a global shutter's exposure, and in no band of a rolling one brighter than there.
        while self._levels(self._config.camera.exposure_s / 2.0).max() > _BRIGHT:
            self._duty *= _GOOD / 255.0
            if self._duty < _LEAST_DUTY:
                raise CalibPoor(
                    f"flashes of {1e3 * self._width_s:.2g} ms saturate the picture even at {100.0 * _LEAST_DUTY:g} % "
                    "of the lamp. Lower the gain of the camera, or close its aperture."
                )

    def _check_exposure(self, window: ExposureWindow) -> None:
        """Raises CalibPoor for a window that is not as long as the exposure: other light, or a camera that differs."""
        seen_s, exposure_s = window.room_s + window.read_out_s, self._exposure_s()
        if abs(seen_s - exposure_s) > _UNLIKE_SHARE * exposure_s + 2.0 * window.uncertainty_s:
            raise CalibPoor(
                f"flashes are seen for {1e3 * seen_s:.2f} ms, but the camera exposes for {1e3 * exposure_s:.2f} ms. "
                "Keep other light out, and set camera.exposure_s to what the camera does."
            )

    def _exposure_s(self) -> float:
        """The exposure that the camera was opened with, s."""
        store = self._keeper.store
        with contextlib.suppress(CalibMissing):
            return exposure_s_of(store.load(), self._config)
        return self._config.camera.exposure_s

    def _kept(self, window: ExposureWindow, raw: RawTrigger) -> tuple[KeptValue, ...]:
        # An interval between two edges is as uncertain as both.
        between_s = math.sqrt(2.0) * window.uncertainty_s
        found = (
            Found("trigger_delay_s", window.delay_s, window.uncertainty_s),
            Found("trigger_room_s", window.room_s, between_s),
            Found("trigger_read_out_s", window.read_out_s, between_s),
        )
        file = self._keeper.keep(found, METHOD, STEM, raw, {"trigger": raw.input})
        return tuple(KeptValue(one.name, one.value, one.uncertainty, None, file) for one in found)

    def _levels(self, delay_s: float) -> Floats:
        """Mean grey level of each band of lines under flashes of this delay, (bands,)."""
        period_s = (
            delay_s + self._width_s + self._config.camera.exposure_s + self._config.camera.frame_period_s
        )
        # Since its last frame the camera may not be ready for another one yet.
        self._clock.sleep_s(self._config.camera.frame_period_s)
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


def _delays_s(config: Config) -> Floats:
    """Delays from 0 until after the last line of a rolling shutter, a flash apart."""
    width_s = _WIDTH_SHARE * config.camera.exposure_s
    last_s = config.camera.exposure_s + config.camera.frame_period_s + 2.0 * width_s
    return np.arange(0.0, last_s, width_s)


def _bands(pixels: UInt8Array) -> list[float]:
    """Mean grey level of each band of lines, from the top."""
    return [float(part.mean()) for part in np.array_split(pixels, _N_BANDS, axis=0)]
